"""Where the cells of azure-iot-hub are."""

import dataclasses

from azure.core.credentials import AccessToken
from uamqp import TransportType

from harness import within
from hub_side import Place, SOON_S

TRANSPORTS = {"amqp": TransportType.Amqp, "amqp-ws": TransportType.AmqpOverWebsocket}


# Tokens of Entra ID instead of the hub's keys.
UNKNOWN_TOKEN = {"absent": "tokens of Entra ID", "told": "401"}


class Stranger:
    """A token of Entra ID, as nobody here would give it."""

    def get_token(self, *_, **__):
        return AccessToken("a.b.c", 4102444800)


@dataclasses.dataclass(frozen=True)
class At(Place):
    """Where a cell is: a device of its own, which is not made yet."""

    @property
    def path(self):
        return f"/devices/{self.device}"

    def manager(self):
        named = {"transport_type": TRANSPORTS[self.transport]} if self.transport in TRANSPORTS else {}
        return self.client.from_connection_string(self.hub.connection_string, **named)

    def call(self, operation, *args):
        return within(SOON_S, operation, getattr(self.manager(), operation), *args)

    def with_device(self):
        self.hub.device(self.device)
        return self.device

    def with_module(self):
        self.with_device()
        self.hub.module(self.device, "camera")
        return self.device, "camera"

    def stored(self, path=""):
        return self.hub.done("GET", self.path + path)

    def as_stranger(self):
        """A manager with a token of Entra ID."""
        return self.client.from_token_credential(self.hub.host, Stranger())
