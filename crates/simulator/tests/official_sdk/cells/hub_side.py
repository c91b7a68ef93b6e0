"""The simulator as all cells see it: its control API, the service's side without an SDK, and the events that come out.

What it is comes in the environment as JSON, AZURE_SIM: what `azure-sim --json` prints, the page's port, and the name of DPS.
"""

import base64
import dataclasses
import hashlib
import hmac
import http.client
import json
import os
import ssl
import threading
import time
import urllib.parse
import urllib.request

from harness import Late, poll, within

# For what follows at once. What the hub holds back (feedback) has a bound of its own.
SOON_S = 8
API_VERSION = "2021-04-12"


def signed(key, text):
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()


def sas(uri, key, seconds, policy=None):
    """A token as all SDKs make them: signed over the uri as it stands in it."""
    sr, se = urllib.parse.quote(uri, safe=""), int(time.time()) + seconds
    fields = {"sr": sr, "sig": urllib.parse.quote(signed(key, f"{sr}\n{se}"), safe=""), "se": se}
    if policy:
        fields["skn"] = policy
    return "SharedAccessSignature " + "&".join(f"{name}={value}" for name, value in fields.items())


class Refused(Exception):
    """The hub said no to the checks themselves, not to an SDK."""


class Log:
    """What has come, for those who ask sooner or later."""

    def __init__(self):
        self.seen, self.news = [], threading.Condition()

    def push(self, item):
        with self.news:
            self.seen.append(item)
            self.news.notify_all()

    def wait(self, what, fits, seconds=SOON_S):
        """The first that fits, be it here or to come."""
        with self.news:
            if not self.news.wait_for(lambda: any(map(fits, self.seen)), seconds):
                raise Late(f"{what}: not within {seconds} s")
            return next(filter(fits, self.seen))


class Hub:
    def __init__(self, started=None):
        self.started = started or json.loads(os.environ["AZURE_SIM"])
        self.host, self.ca_file = self.started["hub"], self.started["ca_file"]
        # All hubs that there are.
        self.hosts = [self.started["hub"], *(hub["hub"] for hub in self.started.get("more_hubs", []) if hub)]
        self.dps = self.started.get("dps", self.host)
        self.connection_string = self.started["service_connection_string"]
        self.events_string = self.started["event_hub_connection_string"]
        with open(self.ca_file) as file:
            self.ca = file.read()
        self.tls = ssl.create_default_context(cafile=self.ca_file)
        parts = dict(part.split("=", 1) for part in self.connection_string.split(";"))
        self.policy, self.key = parts["SharedAccessKeyName"], parts["SharedAccessKey"]
        self.events = Log()
        self.sender, self.sending = None, threading.Lock()

    def at(self, host):
        """The same, seen at one of all hubs."""
        others = [other for other in self.started.get("more_hubs", []) if other and other["hub"] == host]
        return Hub({**self.started, **others[0]}) if others else self

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        address = f"http://localhost:{self.started['page']}{path}"
        with urllib.request.urlopen(urllib.request.Request(address, data), timeout=SOON_S) as answer:
            return json.load(answer)

    def ask(self, method, path, body=None, **headers):
        """A request of the service side, as it is written in the documentation, past all SDKs: status and body."""
        separator = "&" if "?" in path else "?"
        connection = http.client.HTTPSConnection(self.host, timeout=CALL_S, context=self.tls)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = sas(self.host, self.key, 3600, self.policy)
        data = None if body is None else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        try:
            connection.request(method, f"{path}{separator}api-version={API_VERSION}", data, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None

    def done(self, method, path, body=None, **headers):
        """The same where it must succeed."""
        status, answer = self.ask(method, path, body, **headers)
        if status >= 300:
            raise Refused(f"{method} {path.split('/')[1]}: {status} {message_of(answer)}")
        return answer

    def heard(self, path, ask):
        """What a method answered; nothing while the device is not there to hear."""
        status, answer = self.ask("POST", f"/twins/{path}/methods", ask)
        if status >= 300 and status != 404:
            raise Refused(f"method: {status} {message_of(answer)}")
        return answer if status < 300 else None

    def key_of(self, device):
        """What a device of the enrolment group signs with."""
        return signed(self.started["group_key"], device)

    def device(self, device):
        """Makes a device at this hub, with the key that its registration would give it, and gives that key."""
        key = self.key_of(device)
        keys = {"primaryKey": key, "secondaryKey": signed(self.started["group_key"], f"{device} (second)")}
        identity = {"deviceId": device, "status": "enabled", "authentication": {"type": "sas", "symmetricKey": keys}}
        status, answer = self.ask("PUT", f"/devices/{device}", identity)
        # It may be there already.
        if status not in (200, 409):
            raise Refused(f"device: {status} {message_of(answer)}")
        return key

    def telemetry(self, device, body):
        """A message of a device, past all SDKs."""
        uri = f"{self.host}/devices/{device}"
        headers = {"Authorization": sas(uri, self.key_of(device), 3600)}
        address = f"https://{uri}/messages/events?api-version={API_VERSION}"
        request = urllib.request.Request(address, body.encode(), headers)
        urllib.request.urlopen(request, timeout=SOON_S, context=self.tls).close()

    def module(self, device, module):
        """Makes a module of a device, and gives its key."""
        identity = {"deviceId": device, "moduleId": module, "authentication": {"type": "sas"}}
        made = self.done("PUT", f"/devices/{device}/modules/{module}", identity)
        return made["authentication"]["symmetricKey"]["primaryKey"]

    def is_connected(self, path):
        return self.done("GET", path)["connectionState"] == "Connected"

    def wait_connected(self, path, wanted):
        poll(SOON_S, f"registry: connected is {wanted}", lambda: self.is_connected(path) == wanted)

    def waiting(self, device):
        """Messages that wait for a device."""
        return self.done("GET", f"/devices/{device}")["cloudToDeviceMessageCount"]

    def twin(self, path):
        return self.done("GET", f"/twins/{path}")

    def set_desired(self, path, desired):
        """Patches desired properties, and gives the version that they have then."""
        answer = self.done("PATCH", f"/twins/{path}", {"properties": {"desired": desired}}, If_Match='"*"')
        return answer["properties"]["desired"]["$version"]

    def invoke(self, path, name, payload):
        """Calls a method; gives a function that waits for its answer. Asks again while the device does not listen yet."""
        ask = {"methodName": name, "payload": payload, "responseTimeoutInSeconds": SOON_S}
        answers = Log()

        def call():
            try:
                answers.push(poll(SOON_S, "a device that hears methods", lambda: self.heard(path, ask)))
            except Exception as error:
                answers.push(error)

        threading.Thread(target=call, daemon=True).start()
        return lambda: checked(answers.wait("answer of the method", lambda _: True))

    def send(self, device, body, properties):
        """Sends to a device. Only AMQP can, so an SDK does."""
        from azure.iot.hub import IoTHubRegistryManager

        def send():
            if self.sender is None:
                self.sender = IoTHubRegistryManager.from_connection_string(self.connection_string)
            self.sender.send_c2d_message(device, body, properties)

        with self.sending:
            within(SOON_S, "sending to a device", send)

    def listen(self):
        """Reads all events from now on into the log."""
        from azure.eventhub import EventHubConsumerClient

        reader = EventHubConsumerClient.from_connection_string(
            self.events_string, "$Default", connection_verify=self.ca_file, retry_total=0
        )
        receive = lambda: reader.receive(lambda _, event: self.events.push(event), starting_position="-1")
        threading.Thread(target=receive, daemon=True).start()

    def event(self, device, body):
        """The event of a device with this body."""
        return self.events.wait("event at the reader", lambda one: body_of(one) == body and device_of(one) == device)


# A method's call may last as long as its answer, and a little.
CALL_S = SOON_S + 4


def message_of(answer):
    return answer.get("Message", answer) if isinstance(answer, dict) else answer


def checked(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer


def body_of(event):
    return b"".join(event.body)


def device_of(event):
    return system(event).get("iothub-connection-device-id")


def system(event):
    """What the hub adds to an event."""
    return {text(name): text(value) for name, value in (event.system_properties or {}).items()}


def custom(event):
    return {text(name): text(value) for name, value in (event.properties or {}).items()}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a cell is: which client, on which transport, with a device of its own."""

    hub: Hub
    client: type
    transport: str
    device: str

    @property
    def is_async(self):
        return ".aio." in self.client.__module__
