"""What azure-iot-hub exports: registry, twins, methods and feedback over HTTPS, and messages to devices over AMQP."""

import re

import azure.iot.hub

import feedback
import registry
import registry_twins
import unoffered
from harness import Cell, clients, operations
from service_at import TRANSPORTS, At

SDK = "azure-iot-hub"
# What takes a transport: messages to devices. All else is HTTPS.
OVER_AMQP = ("IoTHubRegistryManager.send_c2d_message",)
CHECKS = {
    "IoTHubRegistryManager": {**registry.checks, **registry_twins.checks},
    "IoTHubHttpRuntimeManager": feedback.checks,
    "IoTHubConfigurationManager": unoffered.configurations,
    "IoTHubJobManager": unoffered.jobs,
    "DigitalTwinClient": unoffered.digital_twins,
}


def cells(hub):
    for client in clients(azure.iot.hub.__name__):
        checks = CHECKS.get(client.__name__, {})
        for operation in operations(client):
            name = f"{client.__name__}.{operation}"
            for transport in TRANSPORTS if name in OVER_AMQP else ("https",):
                device = re.sub("[^a-z0-9]+", "-", f"py-{name}-{transport}".lower())
                yield Cell(SDK, transport, name, checks.get(operation), At(hub, client, transport, device))
