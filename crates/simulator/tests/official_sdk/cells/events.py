"""What azure-eventhub exports, over AMQP and in a WebSocket, blocking and for asyncio."""

import asyncio
import dataclasses
import queue
import re
import threading

from azure.eventhub import EventData, TransportType

from device import LOOP, asynchronous, expect
from harness import Cell, Table, clients, operations, poll, within
from hub_side import Place, SOON_S, body_of, checked, device_of

SDK = "azure-eventhub"
EXPORTS = {"azure.eventhub": "", "azure.eventhub.aio": "aio."}
TRANSPORTS = {"amqp": TransportType.Amqp, "amqp-ws": TransportType.AmqpOverWebsocket}

both, consuming, producing = Table(), Table(), Table()
TABLES = {"EventHubConsumerClient": consuming, "EventHubProducerClient": producing}


@dataclasses.dataclass(frozen=True)
class At(Place):
    """Where a cell is: a device of its own, for what is to be read."""

    @property
    def consumes(self):
        return "Consumer" in self.client.__name__

    def make(self):
        group = {"consumer_group": "$Default"} if self.consumes else {}
        options = {"transport_type": TRANSPORTS[self.transport], "connection_verify": self.hub.ca_file, "retry_total": 0}
        if self.consumes:
            # Between two looks of the SDK, whether it is closed as well.
            options["load_balancing_interval"] = 1
        make = lambda: self.client.from_connection_string(self.hub.events_string, **group, **options)
        return asynchronous(make) if self.is_async else make()

    def call(self, client, name, *args, **named):
        call = getattr(client, name)
        if self.is_async:
            return asynchronous(call, *args, **named)
        return within(SOON_S, name, call, *args, **named)

    def ask(self, name, *args):
        client = self.make()
        try:
            return self.call(client, name, *args)
        finally:
            self.call(client, "close")

    def send(self, body):
        self.hub.device(self.device)
        self.hub.telemetry(self.device, body)

    def reading(self, name, **options):
        """Reads from the beginning in the background; gives the client, its events, and what says when reading has ended."""
        client, heard, ended = self.make(), queue.Queue(), threading.Event()
        options = {"starting_position": "-1", **options}

        def handle(_, events):
            for event in events if isinstance(events, list) else [events]:
                heard.put(event)

        def read():
            try:
                if self.is_async:
                    asyncio.run_coroutine_threadsafe(self.read(client, name, handle, options), LOOP).result()
                else:
                    getattr(client, name)(handle, **options)
            except Exception as error:
                heard.put(error)
            finally:
                ended.set()

        threading.Thread(target=read, daemon=True).start()
        return client, heard, ended

    @staticmethod
    async def read(client, name, handle, options):
        async def handler(context, events):
            handle(context, events)

        await getattr(client, name)(handler, **options)


@both.of("from_connection_string")
def from_connection_string(at):
    expect(at.ask("get_partition_ids"), ["0", "1", "2", "3"], "partitions")
    return "what it makes is answered"


@both.of("get_eventhub_properties")
def get_eventhub_properties(at):
    told = at.ask("get_eventhub_properties")
    wanted = (at.hub.host.split(".")[0], ["0", "1", "2", "3"])
    expect((told["eventhub_name"], told["partition_ids"]), wanted, "properties")
    return "name and partitions"


@both.of("get_partition_ids")
def get_partition_ids(at):
    expect(at.ask("get_partition_ids"), ["0", "1", "2", "3"], "partitions")
    return "the four that there are"


@both.of("get_partition_properties")
def get_partition_properties(at):
    at.send("counted")
    at.hub.event(at.device, b"counted")
    told = [at.ask("get_partition_properties", partition) for partition in ("0", "1", "2", "3")]
    expect(any(not one["is_empty"] and one["last_enqueued_sequence_number"] >= 0 for one in told), True, "filled")
    return "numbers and offsets; one at least has events"


@both.of("close")
def close(at):
    client = at.make()
    at.call(client, "get_partition_ids")
    at.call(client, "close")
    return "closes what was open"


# A partition has five readers at most, and some of other checks are there as well: two at a time.
READING = threading.Semaphore(2)


def reads(at, name, **options):
    with READING:
        at.send("read me")
        client, heard, ended = at.reading(name, **options)
        # Others' events come as well.
        while device_of(event := checked(heard.get(timeout=SOON_S))) != at.device:
            pass
        expect(body_of(event), b"read me", "body")
        at.call(client, "close")
        poll(SOON_S, "end of reading", ended.is_set)
        return "the device's message, and an end when it is closed"


@consuming.of("receive")
def receive(at):
    return reads(at, "receive")


@consuming.of("receive_batch")
def receive_batch(at):
    return reads(at, "receive_batch", max_batch_size=10, max_wait_time=1)


# Nor is it at the real service: policies of a hub's endpoint may read there and nothing else.
ONLY_READ = {"absent": "sending past the hub's devices", "told": "404006|Unauthorized"}


@producing.of("create_batch")
def create_batch(at):
    expect(at.ask("create_batch").max_size_in_bytes > 0, True, "room")
    return "with the room that the link offers; to send it is another matter"


@producing.of("send_batch", **ONLY_READ)
def send_batch(at):
    at.ask("send_batch", [EventData("past the devices")])


@producing.of("send_event", **ONLY_READ)
def send_event(at):
    at.ask("send_event", EventData("past the devices"))


@producing.of("flush")
def flush(at):
    at.ask("flush")
    return "nothing to do without a buffer"


@producing.of("get_buffered_event_count")
def get_buffered_event_count(at):
    expect(at.make().get_buffered_event_count("0"), None, "count")
    return "none without a buffer; asks nobody"


@producing.of("total_buffered_event_count")
def total_buffered_event_count(at):
    expect(at.make().total_buffered_event_count, None, "count")
    return "none without a buffer; asks nobody"


def cells(hub):
    for exports, prefix in EXPORTS.items():
        for client in clients(exports):
            checks = {**both, **TABLES.get(client.__name__, {})}
            for operation in operations(client):
                name = f"{prefix}{client.__name__}.{operation}"
                for transport in TRANSPORTS:
                    device = re.sub("[^a-z0-9]+", "-", f"py-{name}-{transport}".lower())
                    yield Cell(SDK, transport, name, checks.get(operation), At(hub, client, transport, device))
