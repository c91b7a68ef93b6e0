"""What azure-iot-hub shows its user: registry, twins and methods over HTTPS, messages to devices over AMQP."""


from azure.iot.device import IoTHubDeviceClient
from azure.iot.hub import IoTHubRegistryManager, models
from uamqp import TransportType

from acts import Place, Table, silent, words
from harness import within
from hub_side import SOON_S, signed

SDK = "azure-iot-hub"
TRANSPORTS = {"Https": None, "Amqp": TransportType.Amqp, "AmqpWs": TransportType.AmqpOverWebsocket}

HTTPS, AMQP = ("Https",), ("Amqp", "AmqpWs")
faults = Table(*HTTPS, *AMQP)


class At(Place):
    """Where a cell is: a device of its own, which is not made yet."""

    def manager(self, key=None, policy=None):
        """One that does not ask again by itself; over AMQP it cannot be told."""
        string = f"HostName={self.hub.host};SharedAccessKeyName={policy or self.hub.policy};SharedAccessKey={key or self.hub.key}"
        named = {"transport_type": TRANSPORTS[self.transport]} if TRANSPORTS[self.transport] else {}
        manager = IoTHubRegistryManager.from_connection_string(string, **named)
        manager.protocol.config.retry_policy.retries = 0
        return manager

    def call(self, operation, *args):
        return self.call_of(self.manager(), operation, *args)

    def call_of(self, manager, operation, *args):
        return within(SOON_S, operation, getattr(manager, operation), *args)

    def refused(self, name):
        """How often the hub refused something by this name."""
        return self.hub.control("/api/state")["counts"]["hub_refused"].get(name, 0)

    def with_device(self):
        self.hub.device(self.device)
        return self.device

    def ask(self, manager):
        """Whatever the transport can."""
        if self.transport in HTTPS:
            return self.call_of(manager, "get_device", self.device)
        return self.call_of(manager, "send_c2d_message", self.device, "hello", {})


def status(number, name):
    return f"^HttpOperationError: Operation returned an invalid status code .* {number} .*{name}"


@faults.of("wrong key", over=HTTPS, sees=status(401, "Unauthorized"))
@faults.of("wrong key", over=AMQP, sees="^TokenAuthFailure: .* 401 ")
def wrong_key(at):
    at.with_device()
    at.ask(at.manager(key=signed(at.hub.key, "another")))


@faults.of("policy without the right", over=HTTPS, sees=status(401, "Unauthorized"))
@faults.of("policy without the right", over=AMQP, sees="^LinkDetach: .*UnauthorizedAccess")
def without_the_right(at):
    at.with_device()
    at.ask(at.manager(at.hub.started["policies"]["device"], "device"))


@faults.of("device unknown", over=HTTPS, sees=status(404, "DeviceNotFound"))
def device_unknown(at):
    at.call("get_device", at.device)


@faults.of("module unknown", over=HTTPS, sees=status(404, "ModuleNotFound"))
def module_unknown(at):
    at.call("get_module", at.with_device(), "camera")


KEYS = signed("a2V5", "primary"), signed("a2V5", "secondary")


@faults.of("device there already", over=HTTPS, sees=status(409, "DeviceAlreadyExists"))
def there_already(at):
    at.call("create_device_with_sas", at.with_device(), *KEYS, "enabled")


@faults.of("etag of another version", over=HTTPS, sees=status(412, "PreconditionFailed"))
def another_etag(at):
    at.call("update_device_with_sas", at.with_device(), "AAAA", *KEYS, "enabled")


@faults.of("argument refused", over=HTTPS, sees=status(400, "ArgumentInvalid"))
def argument_refused(at):
    at.call("create_device_with_sas", "no blanks", *KEYS, "enabled")


@faults.of("more than 100 devices at once", over=HTTPS, sees=status(413, "TooManyDevices"))
def too_many(at):
    make = lambda number: models.ExportImportDevice(id=f"{at.device}-{number}", import_mode="create", status="enabled")
    at.call("bulk_create_or_update_devices", [make(number) for number in range(101)])


@faults.of("query that is none", over=HTTPS, sees=status(400, "ArgumentInvalid;BadRequest"))
def no_query(at):
    at.call("query_iot_hub", models.QuerySpecification(query="SELECT FROM WHERE"))


@faults.of("tags too large", over=HTTPS, sees=status(400, "ArgumentInvalid"))
def tags_too_large(at):
    tags = {f"t{number}": "x" * 4000 for number in range(3)}
    at.call("update_twin", at.with_device(), models.Twin(tags=tags))


def invoke(at, device):
    ask = models.CloudToDeviceMethod(method_name="reboot", payload={}, response_timeout_in_seconds=5)
    at.call("invoke_device_method", device, ask)


@faults.of("method, device not online", over=HTTPS, sees=status(404, "DeviceNotOnline"))
def not_online(at):
    invoke(at, at.with_device())


@faults.of("method, device unknown", over=HTTPS, sees=status(404, "DeviceNotFound"))
def method_unknown(at):
    invoke(at, at.device)


@faults.of("method, no answer", over=HTTPS, sees=status(504, "GatewayTimeout"))
def not_answered(at):
    key = at.hub.device(at.device)
    client = IoTHubDeviceClient.create_from_symmetric_key(key, at.hub.host, at.device, server_verification_cert=at.hub.ca)
    within(SOON_S, "connect", client.connect)
    within(SOON_S, "listen", setattr, client, "on_method_request_received", lambda request: None)
    invoke(at, at.device)


HIDDEN = "the SDK does not say what it was told"


def refused(fault, name):
    """A message to a device that the hub refuses by this name; the SDK has one word for all of them."""
    return faults.of(fault, over=AMQP, sees=f"^Exception: C2D message send failure; refused: {name}$", hidden=HIDDEN)


def send(at, manager, body, name):
    before = at.refused(name)
    try:
        at.call_of(manager, "send_c2d_message", at.device, body, {})
    except Exception as error:
        return f"{words(error)}; {'refused' if at.refused(name) > before else 'not refused'}: {name}"
    return "success: sent"


@refused("message to an unknown device", "DeviceNotFound")
def to_unknown(at):
    return send(at, at.manager(), "hello", "DeviceNotFound")


@refused("51st message to a device", "DeviceMaximumQueueDepthExceeded")
def one_too_many(at):
    at.with_device()
    manager = at.manager()
    for _ in range(50):
        at.call_of(manager, "send_c2d_message", at.device, "hello", {})
    return send(at, manager, "one too many", "DeviceMaximumQueueDepthExceeded")


@refused("message to a device of 70 000 bytes", "MessageTooLarge")
def too_large(at):
    at.with_device()
    return send(at, at.manager(), "x" * 70_000, "MessageTooLarge")


@faults.of("hub unavailable", over=HTTPS, sees="^ClientRequestError: .*too many 503", but="not the number 503001")
@faults.of("hub unavailable", over=AMQP, sees="^MessageHandlerError: .*in an error state", hidden=HIDDEN)
@faults.of("hub closes connections", over=HTTPS, sees="^ClientRequestError: .*Connection aborted")
@faults.of("hub closes connections", over=AMQP, sees="^ConnectionClose: .*Connection in an unexpected error state")
def asks(at):
    at.ask(at.manager())


@faults.of("hub silent", sees="^nothing")
def hub_silent(at):
    return silent("the call", at.ask, at.manager())
