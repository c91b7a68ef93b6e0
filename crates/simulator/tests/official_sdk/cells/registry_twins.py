"""Checks of twins, queries, methods and messages to devices."""

from azure.iot.device import IoTHubDeviceClient, IoTHubModuleClient, MethodResponse
from azure.iot.hub import models

from device import expect
from harness import Late, Table, poll, within
from hub_side import SOON_S
from service_at import UNKNOWN_TOKEN

checks = Table()


@checks.of("from_connection_string")
def from_connection_string(at):
    at.call("get_device", at.with_device())
    return "what it makes is answered"


@checks.of("from_token_credential", **UNKNOWN_TOKEN)
def from_token_credential(at):
    within(SOON_S, "get_device", at.as_stranger().get_device, at.with_device())


@checks.of("get_twin")
def get_twin(at):
    version = at.hub.set_desired(at.with_device(), {"every_s": 60})
    twin = at.call("get_twin", at.device)
    expect((twin.device_id, twin.properties.desired["every_s"]), (at.device, 60), "twin")
    expect(twin.properties.desired["$version"], version, "version")
    return "desired properties and version as they are stored"


@checks.of("get_module_twin")
def get_module_twin(at):
    version = at.hub.set_desired("/modules/".join(at.with_module()), {"every_s": 60})
    twin = at.call("get_module_twin", at.device, "camera")
    expect((twin.module_id, twin.properties.desired["$version"]), ("camera", version), "twin")
    return "desired properties and version as they are stored"


def patch(desired, tags=None):
    return models.Twin(tags=tags, properties=models.TwinProperties(desired=desired))


@checks.of("update_twin")
def update_twin(at):
    at.hub.set_desired(at.with_device(), {"kept": 1, "gone": 2})
    at.call("update_twin", at.device, patch({"gone": None, "new": [3]}, {"floor": 2}))
    see_twin(at, at.device, {"kept": 1, "new": [3]}, {"floor": 2})
    stale = status_of(at, "update_twin", at.device, patch({"new": 4}), "AAAA")
    expect(stale, 412, "with another etag")
    return "merged; with another etag 412"


@checks.of("update_module_twin")
def update_module_twin(at):
    path = "/modules/".join(at.with_module())
    at.hub.set_desired(path, {"kept": 1, "gone": 2})
    at.call("update_module_twin", at.device, "camera", patch({"gone": None, "new": [3]}, {"floor": 2}))
    see_twin(at, path, {"kept": 1, "new": [3]}, {"floor": 2})
    return "merged"


@checks.of("replace_twin")
def replace_twin(at):
    at.hub.set_desired(at.with_device(), {"gone": 2})
    at.call("replace_twin", at.device, patch({"new": 3}, {"floor": 2}))
    see_twin(at, at.device, {"new": 3}, {"floor": 2})
    return "what was is gone"


@checks.of("replace_module_twin")
def replace_module_twin(at):
    path = "/modules/".join(at.with_module())
    at.hub.set_desired(path, {"gone": 2})
    at.call("replace_module_twin", at.device, "camera", patch({"new": 3}))
    see_twin(at, path, {"new": 3}, {})
    return "what was is gone"


def see_twin(at, path, desired, tags):
    twin = at.hub.twin(path)
    stored = {name: value for name, value in twin["properties"]["desired"].items() if not name.startswith("$")}
    expect((stored, twin.get("tags", {})), (desired, tags), "twin")


def status_of(at, operation, *args):
    try:
        at.call(operation, *args)
    except Exception as error:
        return error.response.status_code
    return None


@checks.of("query_iot_hub")
def query_iot_hub(at):
    names = [f"{at.device}-{number}" for number in range(3)]
    for id in names:
        at.hub.device(id)
        at.hub.done("PATCH", f"/twins/{id}", {"tags": {"asked": True}}, If_Match='"*"')
    wanted = models.QuerySpecification(query="SELECT * FROM devices WHERE tags.asked = true")
    found, continuation, pages = [], None, 0
    while pages == 0 or continuation:
        page = at.call("query_iot_hub", wanted, continuation, 2)
        found += [twin.device_id for twin in page.items]
        continuation, pages = page.continuation_token, pages + 1
    expect((sorted(found), pages), (names, 2), "found, and pages")
    return "three twins in two pages"


def listening(client):
    """A device that answers each method with its own words."""

    def answer(request):
        told = {"heard": request.name, "payload": request.payload}
        client.send_method_response(MethodResponse(request.request_id, 207, told))

    client.on_method_request_received = answer


METHOD = {"method_name": "reboot", "payload": {"in_s": 5}, "response_timeout_in_seconds": 5}


def see_answer(result):
    expect((result.status, result.payload), (207, {"heard": "reboot", "payload": {"in_s": 5}}), "answer")
    return "the device's answer"


@checks.of("invoke_device_method")
def invoke_device_method(at):
    offline = status_of(at, "invoke_device_method", at.with_device(), models.CloudToDeviceMethod(**METHOD))
    expect(offline, 404, "while the device is not connected")
    key = at.hub.key_of(at.device)
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, at.hub.host, at.device, server_verification_cert=at.hub.ca
    )
    within(SOON_S, "listening", listening, client)
    return see_answer(at.call("invoke_device_method", at.device, models.CloudToDeviceMethod(**METHOD))) + ", before it 404"


@checks.of("invoke_device_module_method")
def invoke_device_module_method(at):
    at.with_device()
    key = at.hub.module(at.device, "camera")
    string = f"HostName={at.hub.host};DeviceId={at.device};ModuleId=camera;SharedAccessKey={key}"
    client = IoTHubModuleClient.create_from_connection_string(string, server_verification_cert=at.hub.ca)
    within(SOON_S, "listening", listening, client)
    method = models.CloudToDeviceMethod(**METHOD)
    return see_answer(at.call("invoke_device_module_method", at.device, "camera", method))


@checks.of("send_c2d_message")
def send_c2d_message(at):
    manager = at.manager()
    send = lambda device, *rest: within(SOON_S, "send_c2d_message", manager.send_c2d_message, device, *rest)
    send(at.with_device(), "hello", {"messageId": "m-1", "Port": "1"})
    expect(at.hub.waiting(at.device), 1, "waiting")
    key = at.hub.key_of(at.device)
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, at.hub.host, at.device, server_verification_cert=at.hub.ca
    )
    message = within(SOON_S, "receive_message", client.receive_message)
    seen = (message.data, message.message_id, message.custom_properties.get("Port"))
    expect(seen, (b"hello", "m-1", "1"), "message")
    poll(SOON_S, "completed", lambda: at.hub.waiting(at.device) == 0)
    try:
        send("nobody", "hello")
    except Late:
        raise
    except Exception:
        return "body, id and properties are at the device; for an unknown device it fails"
    raise AssertionError("sent to nobody")
