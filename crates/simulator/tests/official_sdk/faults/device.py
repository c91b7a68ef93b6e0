"""What azure-iot-device shows a device at the hub, over MQTT and in a WebSocket."""

import queue
import time

from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import NoConnectionError, OperationCancelled

from acts import Place, Table, silent, words
from harness import within
from hub_side import SOON_S, sas, signed

SDK = "azure-iot-device"

faults = Table("Mqtt", "MqttWs")

# A CONNACK that says "not authorized", or "server unavailable".
REFUSED = "^CredentialError: Credentials invalid, could not connect .*not authori[sz]ed"
AWAY = "^ConnectionFailedError: Could not connect to IoTHub .*unavailable"
CLOSED = "^ConnectionDroppedError: Unexpected disconnection"
CLOSED_SENDING = "^OperationCancelled: .*; in the background ConnectionDroppedError: Unexpected disconnection"
SLOW_S = 1.4


class At(Place):
    """Where a cell is: a device of its own."""

    def prepare(self):
        self.hub.device(self.device)

    @property
    def options(self):
        trusted = {"server_verification_cert": self.hub.ca, "websockets": self.transport == "MqttWs"}
        return {**trusted, "connection_retry": False}

    @property
    def key(self):
        return self.hub.key_of(self.device)

    def client(self, key=None):
        """One that does not connect again by itself."""
        create = IoTHubDeviceClient.create_from_symmetric_key
        return Driven(create(key or self.key, self.hub.host, self.device, **self.options))

    def client_with(self, token):
        return Driven(IoTHubDeviceClient.create_from_sastoken(token, **self.options))

    def connected(self):
        client = self.client()
        client.connect()
        return client

    def sending(self):
        """One that is connected and has sent something."""
        client = self.connected()
        client.send()
        return client

    @property
    def recorded(self):
        return self.hub.control("/api/state")["counts"]["messages"].get(self.device, 0)


class Driven:
    """A client whose operations end, and that keeps what it says in the background."""

    def __init__(self, client):
        self.client, self.heard = client, queue.Queue()
        client.on_background_exception = self.heard.put

    def connect(self):
        within(SOON_S, "connect", self.client.connect)

    def send(self, body="hello"):
        within(SOON_S, "send_message", self.client.send_message, body)

    def in_background(self):
        return words(self.heard.get(timeout=SOON_S))

    def send_and_say(self):
        """What it says of a message, and in the background when that fails."""
        try:
            self.send()
        except (OperationCancelled, NoConnectionError):
            # It depends on what the SDK is doing just then.
            said = "OperationCancelled: Operation was cancelled before completion, or NoConnectionError"
            return f"{said}; in the background {self.in_background()}"
        return "success: sent"


@faults.of("wrong signature", sees=REFUSED)
def wrong_signature(at):
    at.client(signed(at.key, "another")).connect()


@faults.of("token expired", sees=REFUSED)
def token_expired(at):
    # The SDK takes none that has run out already.
    lives_s = 2
    client = at.client_with(sas(f"{at.hub.host}/devices/{at.device}", at.key, lives_s))
    time.sleep(lives_s + 0.1)
    client.connect()


@faults.of("device unknown", sees=REFUSED)
def device_unknown(at):
    at.hub.control(f"/api/devices/{at.device}/delete", {})
    at.client().connect()


@faults.of("device disabled", sees=REFUSED)
def device_disabled(at):
    at.hub.control(f"/api/devices/{at.device}/disable", {})
    at.client().connect()


@faults.of("hub suspended", "hub gone", sees=REFUSED)
@faults.of("throttled at the door", "hub unavailable", sees=AWAY)
@faults.of("hub closes connections", sees="^ConnectionDroppedError: Lost connection to IoTHub")
def at_the_door(at):
    at.connected()


@faults.of("device disabled while connected", "device deleted while connected", "connections reset", sees=CLOSED)
@faults.of("token runs out while connected", sees=CLOSED)
def is_told(at):
    client = at.sending()
    yield
    return client.in_background()


@faults.of("another connection took the device", sees=CLOSED)
def taken(at):
    client = at.sending()
    at.connected()
    return client.in_background()


@faults.of("message throttled", "backlog of throttled messages full", "internal error", sees=CLOSED_SENDING)
def sends(at):
    client = at.sending()
    yield
    return client.send_and_say()


@faults.of("daily quota used up", sees="^success: sent; not recorded")
def quota(at):
    client = at.sending()
    yield
    return f"{client.send_and_say()}; {recorded_beside(at, 1)}"


@faults.of("answer lost", sees=f"{CLOSED_SENDING}.*; recorded")
def answer_lost(at):
    client = at.sending()
    yield
    return f"{client.send_and_say()}; {recorded_beside(at, 1)}"


def recorded_beside(at, before):
    return "recorded" if at.recorded > before else "not recorded"


@faults.of("hub silent", "connections silent and open", sees="^nothing: send_message")
def no_answer(at):
    client = at.sending()
    yield
    return silent("send_message", client.client.send_message, "hello")


@faults.of("hub slow", sees="^success: sent; late")
def slow(at):
    client = at.sending()
    yield
    begun = time.monotonic()
    told = client.send_and_say()
    return f"{told}; {'late' if time.monotonic() - begun > SLOW_S else 'at once'}"


def too_large(size):
    """The SDK looks at the size itself, and asks nobody."""

    @faults.of(f"message of {size:,} bytes".replace(",", " "), sees="^ValueError: .*256 KB")
    def act(at):
        at.connected().send("x" * size)


too_large(300_000)
too_large(2_000_000)


@faults.of("reported properties too large", sees="^ClientError: .*status 400", but="not the number 400004")
def reported(at):
    patch = {f"p{number}": "x" * 4000 for number in range(10)}
    within(SOON_S, "patch_twin_reported_properties", at.connected().client.patch_twin_reported_properties, patch)
