"""Checks of IoTHubHttpRuntimeManager: feedback on messages to devices, over HTTPS."""

import threading

from azure.iot.device import IoTHubDeviceClient

from device import expect
from harness import Late, Table, poll, within
from hub_side import SOON_S
from service_at import UNKNOWN_TOKEN

checks = Table()

# A batch comes fifteen seconds after its first record.
FEEDBACK_S = 20
ONE = threading.Lock()
SEEN = {}


def receive(manager):
    """The SDK gives nothing of what it gets; the raw answer says more."""
    protocol = manager.protocol.cloud_to_device_messages
    answer = within(SOON_S, "receive", protocol.receive_feedback_notification, raw=True).response
    return answer if answer.status_code == 200 else None


def lock_of(answer):
    return answer.headers["ETag"].strip('"')


def story(at):
    """One message, and the way of its feedback: given back, got again, completed. Once for all cells: it takes its time."""
    with ONE:
        if "told" not in SEEN:
            SEEN["told"] = lived(at)
    return SEEN["told"]


def lived(at):
    at.with_device()
    at.hub.send(at.device, "hello", {"messageId": "fed-back", "iothub-ack": "full"})
    key = at.hub.key_of(at.device)
    client = IoTHubDeviceClient.create_from_symmetric_key(
        key, at.hub.host, at.device, server_verification_cert=at.hub.ca
    )
    within(SOON_S, "receive_message", client.receive_message)
    manager = at.manager()
    first = poll(FEEDBACK_S, "feedback", lambda: receive(manager))
    within(SOON_S, "abandon", manager.abandon_feedback_notification, lock_of(first))
    second = poll(SOON_S, "feedback again", lambda: receive(manager))
    within(SOON_S, "complete", manager.complete_feedback_notification, lock_of(second))
    return first, second


@checks.of("receive_feedback_notification")
def receive_feedback_notification(at):
    first, _ = story(at)
    expect("fed-back" in [one["originalMessageId"] for one in first.json()], True, "the record is there")
    expect(at.call("receive_feedback_notification"), None, "what the SDK hands on")
    return "a record of the message; the SDK itself hands on nothing of it"


@checks.of("abandon_feedback_notification")
def abandon_feedback_notification(at):
    first, second = story(at)
    expect(second.json(), first.json(), "the same records")
    return "the same records come again"


@checks.of("complete_feedback_notification")
def complete_feedback_notification(at):
    story(at)
    try:
        again = receive(at.manager())
    except Late:
        again = None
    if again is not None:
        expect("fed-back" in [one["originalMessageId"] for one in again.json()], False, "it comes again")
    return "the records do not come again"


@checks.of("from_connection_string")
def from_connection_string(at):
    at.call("receive_feedback_notification")
    return "what it makes is answered"


@checks.of("from_token_credential", **UNKNOWN_TOKEN)
def from_token_credential(at):
    within(SOON_S, "receive", at.as_stranger().receive_feedback_notification)
