"""Checks of the registry: devices, modules, lists and counts."""

from azure.iot.hub import models

from device import expect
from harness import Table
from hub_side import signed

checks = Table()

# Identities that have no key.
ONLY_KEYS = {"absent": "X.509 attestation", "told": "400 .*symmetric keys only"}

PRIMARY, SECONDARY, NEWER = (signed("a2V5", name) for name in ("primary", "secondary", "newer"))
THUMBPRINT, OTHER = "A" * 40, "B" * 40


def keys(identity):
    key = identity["authentication"]["symmetricKey"]
    return key["primaryKey"], key["secondaryKey"]


def thumbprints(identity):
    prints = identity["authentication"]["x509Thumbprint"]
    return prints["primaryThumbprint"], prints["secondaryThumbprint"]


def kind(identity):
    return identity["authentication"]["type"]


@checks.of("create_device_with_sas")
def create_device_with_sas(at):
    made = at.call("create_device_with_sas", at.device, PRIMARY, SECONDARY, "enabled")
    expect((made.device_id, made.authentication.symmetric_key.primary_key), (at.device, PRIMARY), "answer")
    expect(keys(at.stored()), (PRIMARY, SECONDARY), "keys")
    return "stored with both keys"


@checks.of("update_device_with_sas")
def update_device_with_sas(at):
    at.with_device()
    etag = at.stored()["etag"]
    at.call("update_device_with_sas", at.device, etag, NEWER, SECONDARY, "disabled", False, "sold")
    stored = at.stored()
    expect((keys(stored), stored["status"], stored["statusReason"]), ((NEWER, SECONDARY), "disabled", "sold"), "stored")
    expect(stale(at, "update_device_with_sas", at.device, etag, PRIMARY, SECONDARY, "enabled"), 412, "with the old etag")
    return "stored; with the old etag 412"


def stale(at, operation, *args):
    """The status that a change gets whose etag is not the last."""
    try:
        at.call(operation, *args)
    except Exception as error:
        return error.response.status_code
    return None


@checks.of("create_device_with_x509", **ONLY_KEYS)
def create_device_with_x509(at):
    at.call("create_device_with_x509", at.device, THUMBPRINT, OTHER, "enabled")
    expect((kind(at.stored()), thumbprints(at.stored())), ("selfSigned", (THUMBPRINT, OTHER)), "stored")
    return "stored with both thumbprints"


@checks.of("update_device_with_x509", **ONLY_KEYS)
def update_device_with_x509(at):
    at.with_device()
    at.call("update_device_with_x509", at.device, at.stored()["etag"], OTHER, THUMBPRINT, "enabled")
    expect((kind(at.stored()), thumbprints(at.stored())), ("selfSigned", (OTHER, THUMBPRINT)), "stored")
    return "stored with both thumbprints"


@checks.of("create_device_with_certificate_authority", **ONLY_KEYS)
def create_device_with_certificate_authority(at):
    at.call("create_device_with_certificate_authority", at.device, "enabled")
    expect(kind(at.stored()), "certificateAuthority", "stored")
    return "stored as one whose certificate an authority signs"


@checks.of("update_device_with_certificate_authority", **ONLY_KEYS)
def update_device_with_certificate_authority(at):
    at.with_device()
    at.call("update_device_with_certificate_authority", at.device, at.stored()["etag"], "disabled")
    expect((kind(at.stored()), at.stored()["status"]), ("certificateAuthority", "disabled"), "stored")
    return "stored as one whose certificate an authority signs"


@checks.of("get_device")
def get_device(at):
    device = at.call("get_device", at.with_device())
    seen = (device.device_id, device.status, device.authentication.symmetric_key.primary_key)
    expect(seen, (at.device, "enabled", at.stored()["authentication"]["symmetricKey"]["primaryKey"]), "device")
    return "id, status and key as they are stored"


@checks.of("delete_device")
def delete_device(at):
    at.call("delete_device", at.with_device())
    expect(at.hub.ask("GET", at.path)[0], 404, "afterwards")
    return "404 afterwards"


@checks.of("get_devices")
def get_devices(at):
    at.with_device()
    listed = at.call("get_devices", 1000)
    expect(at.device in [device.device_id for device in listed], True, "listed")
    expect(len(at.call("get_devices", 1)), 1, "of one")
    return "listed, and no more than asked for"


@checks.of("bulk_create_or_update_devices")
def bulk_create_or_update_devices(at):
    authentication = models.AuthenticationMechanism(type="sas", symmetric_key=models.SymmetricKey())
    make = lambda id: models.ExportImportDevice(
        id=id, import_mode="create", status="enabled", authentication=authentication
    )
    names = [f"{at.device}-{number}" for number in range(2)]
    expect(at.call("bulk_create_or_update_devices", [make(id) for id in names]).is_successful, True, "result")
    for id in names:
        at.hub.done("GET", f"/devices/{id}")
    gone = models.ExportImportDevice(id=names[0], import_mode="delete")
    at.call("bulk_create_or_update_devices", [gone])
    expect([at.hub.ask("GET", f"/devices/{id}")[0] for id in names], [404, 200], "afterwards")
    return "both made, then one deleted"


@checks.of("get_device_registry_statistics")
def get_device_registry_statistics(at):
    at.with_device()
    count = at.call("get_device_registry_statistics")
    total, enabled, disabled = count.total_device_count, count.enabled_device_count, count.disabled_device_count
    expect((total > 0, total), (True, enabled + disabled), "counts")
    return "devices in all, enabled and disabled"


@checks.of("get_service_statistics")
def get_service_statistics(at):
    expect(at.call("get_service_statistics").connected_device_count >= 0, True, "count")
    return "connected devices"


@checks.of("create_module_with_sas")
def create_module_with_sas(at):
    at.call("create_module_with_sas", at.with_device(), "camera", "me", PRIMARY, SECONDARY)
    stored = at.stored("/modules/camera")
    expect((keys(stored), stored["managedBy"]), ((PRIMARY, SECONDARY), "me"), "stored")
    return "stored with both keys"


@checks.of("update_module_with_sas")
def update_module_with_sas(at):
    at.with_module()
    etag = at.stored("/modules/camera")["etag"]
    at.call("update_module_with_sas", at.device, "camera", "me", etag, NEWER, SECONDARY)
    expect(keys(at.stored("/modules/camera")), (NEWER, SECONDARY), "stored")
    stale_status = stale(at, "update_module_with_sas", at.device, "camera", "me", etag, PRIMARY, SECONDARY)
    expect(stale_status, 412, "with the old etag")
    return "stored; with the old etag 412"


@checks.of("create_module_with_x509", **ONLY_KEYS)
def create_module_with_x509(at):
    at.call("create_module_with_x509", at.with_device(), "camera", "me", THUMBPRINT, OTHER)
    expect(thumbprints(at.stored("/modules/camera")), (THUMBPRINT, OTHER), "stored")
    return "stored with both thumbprints"


@checks.of("update_module_with_x509", **ONLY_KEYS)
def update_module_with_x509(at):
    at.with_module()
    etag = at.stored("/modules/camera")["etag"]
    at.call("update_module_with_x509", at.device, "camera", "me", etag, OTHER, THUMBPRINT)
    expect(thumbprints(at.stored("/modules/camera")), (OTHER, THUMBPRINT), "stored")
    return "stored with both thumbprints"


@checks.of("create_module_with_certificate_authority", **ONLY_KEYS)
def create_module_with_certificate_authority(at):
    at.call("create_module_with_certificate_authority", at.with_device(), "camera", "me")
    expect(kind(at.stored("/modules/camera")), "certificateAuthority", "stored")
    return "stored as one whose certificate an authority signs"


@checks.of("update_module_with_certificate_authority", **ONLY_KEYS)
def update_module_with_certificate_authority(at):
    at.with_module()
    etag = at.stored("/modules/camera")["etag"]
    at.call("update_module_with_certificate_authority", at.device, "camera", "me", etag)
    expect(kind(at.stored("/modules/camera")), "certificateAuthority", "stored")
    return "stored as one whose certificate an authority signs"


@checks.of("get_module")
def get_module(at):
    module = at.call("get_module", *at.with_module())
    expect((module.device_id, module.module_id), (at.device, "camera"), "module")
    return "ids as they are stored"


@checks.of("get_modules")
def get_modules(at):
    at.with_module()
    expect([module.module_id for module in at.call("get_modules", at.device)], ["camera"], "modules")
    return "the one that there is"


@checks.of("delete_module")
def delete_module(at):
    at.call("delete_module", *at.with_module())
    expect(at.hub.ask("GET", f"{at.path}/modules/camera")[0], 404, "afterwards")
    return "404 afterwards"
