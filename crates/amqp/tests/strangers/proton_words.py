"""What the client and the server written with Qpid Proton have in common: the words for what they see (see main.rs)."""

import json
from collections import Counter

from proton import Condition, Delivery, Message

BIG = bytes(i % 251 for i in range(300000))
VERDICTS = {
    "accepted": Delivery.ACCEPTED,
    "rejected": Delivery.REJECTED,
    "released": Delivery.RELEASED,
    "modified": Delivery.MODIFIED,
}


def judge(delivery, verdict):
    """Gives one of the four verdicts, as a receiver does."""
    if verdict == "rejected":
        delivery.local.condition = Condition("longhaul:no", "not this one")
    if verdict == "modified":
        delivery.local.failed = delivery.local.undeliverable = True
    delivery.update(VERDICTS[verdict])
    delivery.settle()


def told(condition):
    """An error as one word and some more."""
    return condition and f"{condition.name} {condition.description}"


def fate(delivery):
    """What became of a delivery, as its sender sees it."""
    state = next((name for name, kind in VERDICTS.items() if kind == delivery.remote_state), str(delivery.remote_state))
    if state == "rejected":
        return f"{state} {told(delivery.remote.condition)}"
    if state == "modified":
        return state + " failed" * delivery.remote.failed + " undeliverable" * delivery.remote.undeliverable
    return state


def data(body):
    """A message with one data section."""
    return Message(body=body if isinstance(body, bytes) else body.encode(), inferred=True)


def received(delivery):
    """The bytes of a whole delivery."""
    message = Message()
    message.decode(delivery.link.recv(delivery.pending))
    delivery.link.advance()
    return bytes(message.body)


def tally(fates):
    return dict(Counter(fates))


def tell(line):
    print(json.dumps(line, separators=(",", ":")), flush=True)
