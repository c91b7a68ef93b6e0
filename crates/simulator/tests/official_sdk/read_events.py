"""Microsoft's reader of events for Python, unpatched: reads all partitions from their beginning until it has enough.

Takes as arguments: connection string, count, time limit in seconds, the CA's file. Prints lines of JSON: first the hub and
its partitions, then each event, with its body in base64. Fails when there are fewer events; `read_events.cjs` is its twin.
Runs with the Python that `install` made: .venv/bin/python.
"""

import base64
import json
import os
import sys
import threading

from azure.eventhub import EventHubConsumerClient

CONNECTION_STRING, COUNT, SECONDS, CA_FILE = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]


def tell(line):
    print(json.dumps(line, default=plain), flush=True)


def plain(value):
    """What JSON does not know: bytes, and times."""
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(pairs):
    """A map whose keys and values may be bytes, as text."""
    return {plain(key): plain(value) if isinstance(value, bytes) else value for key, value in (pairs or {}).items()}


def shown(partition, event):
    properties = event.raw_amqp_message.properties
    return {
        "partition": partition,
        "sequence_number": event.sequence_number,
        "offset": event.offset,
        "enqueued_ms": round(event.enqueued_time.timestamp() * 1000),
        "body": base64.b64encode(b"".join(event.body)).decode(),
        "message_id": event.message_id,
        "correlation_id": event.correlation_id,
        "content_type": event.content_type,
        "content_encoding": properties and properties.content_encoding,
        "properties": texts(event.properties),
        "system_properties": texts(event.system_properties),
    }


def describe(client):
    hub = client.get_eventhub_properties()
    partitions = [client.get_partition_properties(id) for id in hub["partition_ids"]]
    parts = [
        {
            "id": one["id"],
            "begin": one["beginning_sequence_number"],
            "last": one["last_enqueued_sequence_number"],
            "is_empty": one["is_empty"],
        }
        for one in partitions
    ]
    tell({"name": hub["eventhub_name"], "partition_ids": hub["partition_ids"], "partitions": parts})


def main():
    # A port in the connection string is let fall by the SDK; in a custom endpoint it counts.
    endpoint = dict(part.split("=", 1) for part in CONNECTION_STRING.split(";"))["Endpoint"]
    client = EventHubConsumerClient.from_connection_string(
        CONNECTION_STRING,
        consumer_group="$Default",
        connection_verify=CA_FILE,
        custom_endpoint_address=endpoint,
        retry_total=0,
    )
    describe(client)
    events, errors, lock, done = [], [], threading.Lock(), threading.Event()

    def on_event(context, event):
        with lock:
            events.append(shown(context.partition_id, event))
            if len(events) >= COUNT:
                done.set()

    def on_error(_, error):
        errors.append(error)
        done.set()

    def receive():
        client.receive(on_event, on_error=on_error, starting_position="-1")

    threading.Thread(target=receive, daemon=True).start()
    done.wait(SECONDS)
    for event in events:
        tell(event)
    if len(events) < COUNT:
        print(f"only {len(events)} of {COUNT} events came in {SECONDS} s: {errors}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # Not closed but left: the SDK's threads would be waited for.
    os._exit(0 if len(events) >= COUNT else 1)


main()
