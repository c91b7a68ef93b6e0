"""What azure-eventhub shows a reader of the hub's events, over AMQP and in a WebSocket."""

import contextlib
import queue
import re
import threading

from azure.eventhub import EventHubConsumerClient, TransportType

from acts import Place, Table, words
from harness import Late, within
from hub_side import SOON_S, signed

SDK = "azure-eventhub"
TRANSPORTS = {"Amqp": TransportType.Amqp, "AmqpWs": TransportType.AmqpOverWebsocket}
# A reader of its own for each transport.
PARTITIONS = {"Amqp": "0", "AmqpWs": "1"}
# As many as it takes until both partitions have something to read: which one a device has stands in its name.
SENDERS = [f"py-events-{number}" for number in range(8)]

faults = Table(*TRANSPORTS)


class At(Place):
    """Where a cell is: a partition of its own."""

    def prepare(self):
        fill(self.hub)

    def client(self, group="$Default", **others):
        """One that does not ask again by itself. Of the connection string some parts may be others."""
        parts = dict(part.split("=", 1) for part in self.hub.events_string.split(";"))
        string = ";".join(f"{name}={value}" for name, value in {**parts, **others}.items())
        options = {"transport_type": TRANSPORTS[self.transport], "connection_verify": self.hub.ca_file, "retry_total": 0}
        return EventHubConsumerClient.from_connection_string(string, group, load_balancing_interval=1, **options)

    def properties(self, **others):
        with self.client(**others) as client:
            within(SOON_S, "get_eventhub_properties", client.get_eventhub_properties)

    @contextlib.contextmanager
    def reading(self, group="$Default", level=None, **others):
        """Reads in the background, from the beginning, until it is left: the SDK goes on without a pause otherwise; gives what it hears of errors, and what says that events come."""
        client, errors, begun = self.client(group, **others), queue.Queue(), threading.Event()

        def read():
            client.receive(
                lambda context, event: begun.set(),
                on_error=lambda context, error: errors.put(error),
                partition_id=PARTITIONS[self.transport],
                starting_position="-1",
                owner_level=level,
            )

        threading.Thread(target=read, daemon=True).start()
        try:
            yield errors, begun
        finally:
            client.close()


ONE = threading.Lock()
FILLED = set()


def fill(hub):
    """Something to read, once."""
    with ONE:
        for device in () if FILLED else SENDERS:
            hub.device(device)
            hub.telemetry(device, "something to read")
            FILLED.add(device)


def heard(errors):
    try:
        return words(errors.get(timeout=SOON_S))
    except queue.Empty:
        raise Late("no error") from None


def wait_reading(begun):
    if not begun.wait(SOON_S):
        raise Late("no event")


@faults.of("wrong key", sees="^AuthenticationError: .*Status code: 401")
def wrong_key(at):
    at.properties(SharedAccessKey=signed(at.hub.key, "another"))


HIDDEN = "the SDK does not say why its link to the entity does not open"


@faults.of("entity unknown", sees="^ConnectionLostError: Failed to open mgmt link", hidden=HIDDEN)
def entity_unknown(at):
    at.properties(EntityPath="nowhere")


# Any group is taken to be there whose name could be one.
NO_GROUP = "g" * 51


@faults.of("consumer group unknown", sees="not.found")
def group_unknown(at):
    with at.reading(NO_GROUP) as (errors, _):
        return heard(errors)


@faults.of("a higher epoch took the partition", sees="^ConnectionLostError: .*amqp:link:stolen")
def higher_epoch(at):
    with at.reading(level=1) as (errors, begun):
        wait_reading(begun)
        with at.reading(level=2):
            return heard(errors)


@faults.of("token refused for a moment", sees="^AuthenticationError: .*Status code: 503")
def token_refused(at):
    at.properties()


@faults.of("hub unavailable", sees="^ConnectError: 503008 .*amqp:connection:forced")
def is_cut_off(at):
    with at.reading() as (errors, begun):
        wait_reading(begun)
        yield
        return heard(errors)


# It depends on what the SDK is doing just then.
LOST = re.compile("^ConnectError: Can not (read frame|send frame out) due to exception: .*")


@faults.of("connections reset", sees="^ConnectError: Can not read frame")
def reset(at):
    with at.reading() as (errors, begun):
        wait_reading(begun)
        yield
        return LOST.sub("ConnectError: Can not read frame due to exception, or: Can not send frame out", heard(errors))
