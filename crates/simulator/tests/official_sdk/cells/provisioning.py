"""What azure-iot-device exports for registering, over MQTT and in a WebSocket, blocking and for asyncio."""

import dataclasses
import re

from azure.iot.device import IoTHubDeviceClient, X509

import certificate
from device import EXPORTS, SDK, TRANSPORTS, asynchronous, expect
from harness import Cell, Table, clients, operations, within
from hub_side import Hub, SOON_S

checks = Table()


@dataclasses.dataclass(frozen=True)
class At:
    """Where a cell is: a registration of its own."""

    hub: Hub
    client: type
    transport: str
    id: str

    @property
    def is_async(self):
        return ".aio." in self.client.__module__

    def make(self, how, secret):
        options = {"websockets": self.transport == "mqtt-ws", "server_verification_cert": self.hub.ca}
        make = getattr(self.client, how)
        place = {"provisioning_host": self.hub.dps, "registration_id": self.id, "id_scope": self.hub.started["id_scope"]}
        secrets = {"create_from_symmetric_key": "symmetric_key", "create_from_x509_certificate": "x509"}
        arguments = {**place, secrets[how]: secret, **options}
        return asynchronous(make, **arguments) if self.is_async else make(**arguments)

    def with_key(self):
        return self.make("create_from_symmetric_key", self.hub.key_of(self.id))

    def register(self, client):
        if self.is_async:
            return asynchronous(client.register)
        return within(SOON_S, "register", client.register)

    def see_assigned(self, result):
        state = result.registration_state
        assigned = state.assigned_hub in self.hub.hosts
        expect((result.status, assigned, state.device_id), ("assigned", True, self.id), "result")
        self.hub.at(state.assigned_hub).done("GET", f"/devices/{self.id}")


@checks.of("register")
def register(at):
    at.see_assigned(at.register(at.with_key()))
    again = at.register(at.with_key())
    at.see_assigned(again)
    return "assigned, and again; the device is in the hub's registry"


@checks.of("create_from_symmetric_key")
def create_from_symmetric_key(at):
    state = at.register(at.with_key()).registration_state
    options = {"websockets": at.transport == "mqtt-ws", "server_verification_cert": at.hub.ca}
    key = at.hub.key_of(at.id)
    client = IoTHubDeviceClient.create_from_symmetric_key(key, state.assigned_hub, state.device_id, **options)
    within(SOON_S, "send_message", client.send_message, "registered")
    at.hub.event(at.id, b"registered")
    return "what it assigns takes a message of the device"


@checks.of("provisioning_payload")
def provisioning_payload(at):
    client = at.with_key()
    client.provisioning_payload = {"modelId": "dtmi:com:example:T;1"}
    at.see_assigned(at.register(client))
    return "taken, and assigned; only custom allocation would look at it"


@checks.of("create_from_x509_certificate", absent="X.509 attestation", told="status code 401")
def create_from_x509_certificate(at):
    at.register(at.make("create_from_x509_certificate", X509(*certificate.files(at.id))))


def cells(hub):
    for exports, prefix in EXPORTS.items():
        for client in clients(exports):
            if client.__name__ == "ProvisioningDeviceClient":
                for operation in operations(client):
                    for transport in TRANSPORTS:
                        registration = re.sub("[^a-z0-9]+", "-", f"py-{prefix}dps-{operation}-{transport}".lower())
                        at = At(hub, client, transport, registration)
                        name = f"{prefix}{client.__name__}.{operation}"
                        yield Cell(SDK, transport, name, checks.get(operation), at)
