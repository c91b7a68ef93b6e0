"""What azure-iot-device exports for devices and modules, each client over MQTT and in a WebSocket, blocking and for asyncio."""

import asyncio
import dataclasses
import os
import queue
import re
import threading
import time

from azure.iot.device import Message, MethodResponse, X509

import certificate
from harness import Cell, Table, clients, operations, poll, told, within
from hub_side import Place, SOON_S, custom, sas, system, text

SDK = "azure-iot-device"
EXPORTS = {"azure.iot.device": "", "azure.iot.device.aio": "aio."}
TRANSPORTS = ("mqtt", "mqtt-ws")

# All clients for asyncio live in one loop.
LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()

both, for_device, for_module = Table(), Table(), Table()


def asynchronous(call, *args, seconds=SOON_S, **named):
    async def made():
        result = call(*args, **named)
        return await result if asyncio.iscoroutine(result) else result

    return asyncio.run_coroutine_threadsafe(made(), LOOP).result(seconds)


@dataclasses.dataclass(frozen=True)
class At(Place):
    """Where a cell is: a device of its own, and perhaps a module."""

    module: str = None

    @property
    def twin(self):
        return f"{self.device}/modules/{self.module}" if self.module else self.device

    @property
    def identity(self):
        return f"/devices/{self.twin}"

    @property
    def uri(self):
        return f"{self.hub.host}{self.identity}"

    def enrol(self):
        key = self.hub.device(self.device)
        return self.hub.module(self.device, self.module) if self.module else key

    def make(self, how, *args, **options):
        """A client, driven without waiting for ever."""
        options = {"server_verification_cert": self.hub.ca, **options}
        options = {name: value for name, value in options.items() if value is not None}
        make = getattr(self.client, how)
        call = asynchronous if self.is_async else lambda make, *args, **named: make(*args, **named)
        return Driven(self, call(make, *args, websockets=self.transport == "mqtt-ws", **options))

    def string(self):
        module = f";ModuleId={self.module}" if self.module else ""
        return f"HostName={self.hub.host};DeviceId={self.device}{module};SharedAccessKey={self.enrol()}"

    def from_string(self, **options):
        return self.make("create_from_connection_string", self.string(), **options)

    def connected(self, **options):
        client = self.from_string(**options)
        client.call("connect")
        return client


class Driven:
    """A client whose operations end, whichever kind it is."""

    def __init__(self, at, client):
        self.at, self.client = at, client

    def call(self, name, *args):
        call = getattr(self.client, name)
        if self.at.is_async:
            return asynchronous(call, *args)
        return within(SOON_S, name, call, *args)

    def hear(self, handler):
        """Sets a handler, and gives the queue of what it hears."""
        heard = queue.Queue()
        within(SOON_S, handler, setattr, self.client, handler, lambda *args: heard.put(args))
        return heard

    def receiving(self, name, *args):
        """Asks for what has not come yet, as the SDK listens with the first question; gives a function that waits for it."""
        got = queue.Queue()

        def receive():
            try:
                got.put(self.call(name, *args))
            except Exception as error:
                got.put(error)

        threading.Thread(target=receive, daemon=True).start()

        def wait():
            answer = got.get(timeout=SOON_S)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return wait

    def send_and_see(self, body="hello"):
        self.call("send_message", body)
        return self.at.hub.event(self.at.device, body.encode())

    def disconnects(self):
        self.at.hub.wait_connected(self.at.identity, False)


def expect(saw, wanted, what):
    if saw != wanted:
        raise AssertionError(f"{what}: {saw!r} and not {wanted!r}")


@both.of("connect")
def connect(at):
    client = at.from_string()
    expect(at.hub.is_connected(at.identity), False, "before")
    client.call("connect")
    at.hub.wait_connected(at.identity, True)
    return "the registry says Connected"


@both.of("disconnect")
def disconnect(at):
    client = at.connected()
    at.hub.wait_connected(at.identity, True)
    client.call("disconnect")
    client.disconnects()
    client.send_and_see()
    return "the registry says Disconnected, and the next message connects anew"


@both.of("shutdown")
def shutdown(at):
    client = at.connected()
    at.hub.wait_connected(at.identity, True)
    client.call("shutdown")
    client.disconnects()
    return "the registry says Disconnected"


@both.of("connected")
def connected(at):
    client = at.from_string()
    states = [client.client.connected]
    for operation in ("connect", "disconnect"):
        client.call(operation)
        states.append(client.client.connected)
    expect(states, [False, True, False], "connected")
    return "before, between and after as it is"


@both.of("on_connection_state_change")
def on_connection_state_change(at):
    client = at.from_string()
    heard = client.hear("on_connection_state_change")
    client.call("connect")
    heard.get(timeout=SOON_S)
    client.call("disconnect")
    heard.get(timeout=SOON_S)
    return "told when it connects and when it disconnects"


@both.of("on_background_exception")
def on_background_exception(at):
    client = at.connected(connection_retry=False)
    heard = client.hear("on_background_exception")
    at.hub.done("DELETE", at.identity, If_Match="*")
    error = heard.get(timeout=SOON_S)[0]
    expect(type(error).__name__, "ConnectionDroppedError", "error")
    return "ConnectionDroppedError when its identity is deleted"


@both.of("create_from_connection_string")
def create_from_connection_string(at):
    at.from_string().send_and_see()
    return "its message is at the reader"


@both.of("create_from_sastoken")
def create_from_sastoken(at):
    at.make("create_from_sastoken", sas(at.uri, at.enrol(), 3600)).send_and_see()
    return "its message is at the reader"


@both.of("on_new_sastoken_required")
def on_new_sastoken_required(at):
    # The SDK asks two minutes before the end.
    client = at.make("create_from_sastoken", sas(at.uri, at.enrol(), 122))
    heard = client.hear("on_new_sastoken_required")
    client.call("connect")
    heard.get(timeout=SOON_S)
    return "told two minutes before the token runs out"


@both.of("update_sastoken")
def update_sastoken(at):
    key, seconds = at.enrol(), 4
    client = at.make("create_from_sastoken", sas(at.uri, key, seconds))
    begun = time.monotonic()
    client.call("connect")
    client.call("update_sastoken", sas(at.uri, key, 3600))
    poll(SOON_S, "connected again", lambda: client.client.connected)
    time.sleep(max(0, begun + seconds + 1 - time.monotonic()))
    expect(client.client.connected, True, "connected when the first token is over")
    client.send_and_see()
    return "connected and heard after the first token's end"


X509_TOLD = "Unauthorized|CredentialError|Credentials invalid"


@for_device.of("create_from_x509_certificate", absent="X.509 attestation", told=X509_TOLD)
def create_from_x509_certificate(at):
    at.enrol()
    client = at.make("create_from_x509_certificate", X509(*certificate.files(at.device)), at.hub.host, at.device)
    client.call("connect")


@for_module.of("create_from_x509_certificate", absent="X.509 attestation", told=X509_TOLD)
def module_from_x509_certificate(at):
    at.enrol()
    x509 = X509(*certificate.files(at.device))
    at.make("create_from_x509_certificate", x509, at.hub.host, at.device, at.module).call("connect")


@for_device.of("create_from_symmetric_key")
def create_from_symmetric_key(at):
    at.make("create_from_symmetric_key", at.enrol(), at.hub.host, at.device).send_and_see()
    return "its message is at the reader"


def described():
    message = Message('{"place":"Zürich ☃"}', content_encoding="utf-8", content_type="application/json")
    message.message_id, message.correlation_id = "m-1", "c:1"
    message.custom_properties = {"Port": "1", "with space": "a&b=c$%"}
    return message


def see_described(at, event):
    expect((event.message_id, event.correlation_id), ("m-1", "c:1"), "ids")
    expect(event.content_type, "application/json", "content type")
    expect(text(event.raw_amqp_message.properties.content_encoding), "utf-8", "content encoding")
    expect(custom(event), {"Port": "1", "with space": "a&b=c$%"}, "properties")
    expect(system(event).get("iothub-connection-module-id"), at.module, "module")


@both.of("send_message")
def send_message(at):
    client, message = at.connected(), described()
    client.call("send_message", message)
    see_described(at, at.hub.event(at.device, message.data.encode()))
    return "body, ids, content type and properties are at the reader"


@both.of("get_twin")
def get_twin(at):
    client = at.connected()
    version = at.hub.set_desired(at.twin, {"every_s": 60, "deep": {"a": [1, "x"]}})
    twin = client.call("get_twin")
    expect(twin["desired"], {"every_s": 60, "deep": {"a": [1, "x"]}, "$version": version}, "desired")
    expect(twin["reported"], {"$version": 1}, "reported")
    return "what the service side had set, with its version"


@both.of("patch_twin_reported_properties")
def patch_twin_reported_properties(at):
    client = at.connected()
    client.call("patch_twin_reported_properties", {"battery": 93, "gone": 1, "deep": {"a": 1, "b": 2}})
    client.call("patch_twin_reported_properties", {"gone": None, "deep": {"a": None}})
    reported = at.hub.twin(at.twin)["properties"]["reported"]
    expect(reported.pop("$version"), 3, "version")
    reported.pop("$metadata")
    expect(reported, {"battery": 93, "deep": {"b": 2}}, "reported")
    return "merged and removed as the service side sees it, two versions on"


@both.of("receive_twin_desired_properties_patch")
def receive_twin_desired_properties_patch(at):
    client = at.connected()
    wait = client.receiving("receive_twin_desired_properties_patch")
    heard_desired(at, wait)
    return "what the service side had set, with its version"


@both.of("on_twin_desired_properties_patch_received")
def on_twin_desired_properties_patch_received(at):
    client = at.connected()
    heard = client.hear("on_twin_desired_properties_patch_received")
    heard_desired(at, lambda: heard.get(timeout=SOON_S)[0])
    return "what the service side had set, with its version"


def heard_desired(at, wait):
    # Asking is not listening yet, and a change that comes before that is not told: so it is changed until it is.
    versions = {}

    def change():
        desired = {"n": len(versions), "gone": None}
        versions[at.hub.set_desired(at.twin, desired)] = desired

    change()
    patch = again_until(wait, change)
    version = patch.pop("$version")
    poll(SOON_S, "version of the patch", lambda: version in versions)
    expect(patch, versions[version], "patch")


def again_until(wait, nudge, every=1.0):
    """Waits for an answer; nudges while there is none, as nobody tells when the SDK's subscription stands."""
    done = threading.Event()

    def nudging():
        while not done.wait(every):
            nudge()

    threading.Thread(target=nudging, daemon=True).start()
    try:
        return wait()
    finally:
        done.set()


def answered(at, client, wait):
    """Calls a method until it is heard, answers, and looks at what the caller gets."""
    name, payload = "reboot", {"in_s": 5, "why": "Zürich"}
    call = at.hub.invoke(at.twin, name, payload)
    request = wait()
    expect((request.name, request.payload), (name, payload), "request")
    client.call("send_method_response", MethodResponse(request.request_id, 207, {"done": [True, None]}))
    expect(call(), {"status": 207, "payload": {"done": [True, None]}}, "answer")


@both.of("receive_method_request", "send_method_response")
def receive_method_request(at):
    client = at.connected()
    # Without a name: the SDK listens before it has a box for a name, and a call that comes between is lost in it.
    answered(at, client, client.receiving("receive_method_request"))
    return "name and payload are the caller's, and the answer comes to it"


@both.of("on_method_request_received")
def on_method_request_received(at):
    client = at.connected()
    heard = client.hear("on_method_request_received")
    answered(at, client, lambda: heard.get(timeout=SOON_S)[0])
    return "name and payload are the caller's, and the answer comes to it"


def received(at, wait):
    properties = {"Port": "1", "with space": "a&b=c$%"}
    named = {"messageId": "m-1", "correlationId": "c:1", "contentType": "text/plain", "contentEncoding": "utf-8"}
    at.hub.send(at.device, "Zürich ☃", {**properties, **named, "iothub-ack": "full"})
    message = wait()
    expect(message.data.decode(), "Zürich ☃", "body")
    expect((message.message_id, message.correlation_id), ("m-1", "c:1"), "ids")
    expect((message.content_type, message.content_encoding), ("text/plain", "utf-8"), "content")
    expect(message.ack, "full", "ack")
    expect({name: message.custom_properties.get(name) for name in properties}, properties, "properties")
    poll(SOON_S, "completed", lambda: at.hub.waiting(at.device) == 0)
    return "body, ids and properties as they were sent, and nothing waits at the hub after it"


@for_device.of("receive_message")
def receive_message(at):
    return received(at, at.connected().receiving("receive_message"))


@for_device.of("on_message_received")
def on_message_received(at):
    heard = at.connected().hear("on_message_received")
    return received(at, lambda: heard.get(timeout=SOON_S)[0])


NO_FILES = {"absent": "file upload", "told": "40[0-9]|501"}


@for_device.of("get_storage_info_for_blob", **NO_FILES)
def get_storage_info_for_blob(at):
    at.connected().call("get_storage_info_for_blob", "picture.jpg")


@for_device.of("notify_blob_upload_status", **NO_FILES)
def notify_blob_upload_status(at):
    at.connected().call("notify_blob_upload_status", "correlation", True, 200, "OK")


@for_module.of("send_message_to_output")
def send_message_to_output(at):
    client, message = at.connected(), described()
    client.call("send_message_to_output", message, "alarms")
    see_described(at, at.hub.event(at.device, message.data.encode()))
    return "body, ids, content type and properties are at the reader"


class Dropped(Exception):
    """The hub closes the connection; what the SDK says of it depends on what it is doing just then."""


DROPPED = "ConnectionDropped|OperationCancelled|NoConnection|nothing within|Timeout|Empty"
ONLY_EDGE = {"absent": "inputs of modules, which Edge Hub has", "told": "Dropped: the connection goes"}


def dropped(call):
    try:
        call()
    except Exception as error:
        if not re.search(DROPPED, told(error)):
            raise
        raise Dropped("the connection goes when it subscribes") from error


@for_module.of("receive_message_on_input", **ONLY_EDGE)
def receive_message_on_input(at):
    client = at.connected(connection_retry=False)
    dropped(lambda: client.call("receive_message_on_input", "alarms"))


@for_module.of("on_message_received", **ONLY_EDGE)
def module_on_message_received(at):
    client = at.connected(connection_retry=False)
    dropped(lambda: client.hear("on_message_received").get(timeout=SOON_S))


# In the environment of Edge there is a security daemon, which the hub cannot be. For programs under development there is
# another, of two variables: a module's connection string with the gateway's name, and its CA.
ENVIRONMENT = threading.Lock()


def from_environment(at):
    with ENVIRONMENT:
        os.environ["EdgeHubConnectionString"] = f"{at.string()};GatewayHostName={at.hub.host}"
        os.environ["EdgeModuleCACertificateFile"] = at.hub.ca_file
        return at.make("create_from_edge_environment", server_verification_cert=None)


@for_module.of("create_from_edge_environment")
def create_from_edge_environment(at):
    from_environment(at).send_and_see()
    return "with a developer's variables: its message is at the reader"


@for_module.of("invoke_method", absent="methods that modules call, which Edge Hub has", told="401|Unauthorized")
def invoke_method(at):
    from_environment(at).call("invoke_method", {"methodName": "reboot", "payload": 1}, at.device)


TABLES = {"IoTHubDeviceClient": for_device, "IoTHubModuleClient": for_module}


def cells(hub):
    for exports, prefix in EXPORTS.items():
        for client in clients(exports):
            if client.__name__ in TABLES:
                yield from cells_of(hub, prefix, client)


def cells_of(hub, prefix, client):
    name, table = client.__name__, {**both, **TABLES[client.__name__]}
    for operation in operations(client):
        for transport in TRANSPORTS:
            device = re.sub("[^a-z0-9]+", "-", f"py-{prefix}{name}-{operation}-{transport}".lower())
            module = "camera" if name == "IoTHubModuleClient" else None
            at = At(hub, client, transport, device, module)
            yield Cell(SDK, transport, f"{prefix}{name}.{operation}", table.get(operation), at)
