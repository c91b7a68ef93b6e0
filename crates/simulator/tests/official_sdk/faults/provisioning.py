"""What azure-iot-device shows a device that registers, over MQTT and in a WebSocket."""

import time

from azure.iot.device import ProvisioningDeviceClient

from acts import CELL_S, Place, Table, silent
from harness import within
from hub_side import signed

SDK = "azure-iot-device"
THROTTLED = "429001"
# An answer that comes late: 1.5 s, less what clocks differ.
SLOW_S = 1.4

faults = Table("Mqtt", "MqttWs")


class At(Place):
    """Where a cell is: a registration of its own."""

    def client(self, key=None):
        return ProvisioningDeviceClient.create_from_symmetric_key(
            provisioning_host=self.hub.dps,
            registration_id=self.device,
            id_scope=self.hub.started["id_scope"],
            symmetric_key=key or self.hub.key_of(self.device),
            websockets=self.transport == "MqttWs",
            server_verification_cert=self.hub.ca,
        )

    def register(self, key=None):
        """The hub to which it is assigned."""
        state = within(CELL_S, "register", self.client(key).register).registration_state
        return state.assigned_hub

    def said(self, code):
        """How often a call was refused with this code."""
        return self.hub.control("/api/state")["counts"]["dps_refused"].get(code, 0)


def service_error(text, code=None):
    """What the service said is told, by its status alone."""
    sees = f"^ClientError: Unexpected failure .ServiceError: .*{text}"
    return {"sees": sees, "but": f"not the number {code}"} if code else {"sees": sees}


@faults.of("wrong key", **service_error("status code 401", 401002))
def wrong_key(at):
    at.register(signed(at.hub.key_of(at.device), "another"))


@faults.of("not enrolled", **service_error("status code 401", 401000))
@faults.of("not found", **service_error("status code 404", 404201))
@faults.of("assignment failed", **service_error("failed registration status", 400209))
@faults.of("enrolment disabled", **service_error("registration status disabled"))
@faults.of("unavailable", sees="^ConnectionFailedError: .*unavailable")
@faults.of("closes connections", sees="^ConnectionDroppedError: Lost connection to the provisioning server")
def registers(at):
    at.register()


AGAIN = "the SDK asks again by itself and says nothing of the 429"
# Each answer begins its 30 s anew.
FOR_EVER = "the SDK asks again every 2 s as long as it is told 500, and says nothing of it"


@faults.of("throttled, Retry-After 1", "throttled, no Retry-After", sees="^success: assigned; refused", hidden=AGAIN)
@faults.of("poll throttled", sees="^success: assigned; refused", hidden=AGAIN)
def throttled(at):
    before = at.said(THROTTLED)
    at.register()
    return f"success: assigned; {'refused' if at.said(THROTTLED) > before else 'not refused'} before"


@faults.of("silent", sees="^nothing: register")
@faults.of("internal error", sees="^nothing: register", hidden=FOR_EVER)
def no_answer(at):
    return silent("register", at.client().register)


@faults.of("slow", sees="^success: assigned, late")
def slow(at):
    begun = time.monotonic()
    at.register()
    return f"success: assigned, {'late' if time.monotonic() - begun > SLOW_S else 'at once'}"


@faults.of("moved to another hub", sees="^success: assigned: the other hub")
def moved(at):
    first = at.register()
    other = next(hub for hub in at.hub.hosts if hub != first)
    at.hub.control(f"/api/registrations/{at.device}/move", {"hub": other})
    return f"success: assigned: {'the other hub' if at.register() == other else 'the same hub'}"
