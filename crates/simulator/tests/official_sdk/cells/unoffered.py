"""What the simulator has not got, so that it is seen to say so: configurations, jobs, digital twins."""

from azure.iot.hub import models

from harness import Table, within
from hub_side import SOON_S
from service_at import UNKNOWN_TOKEN

NOTHING_HERE = "40[045]|501"


def refused(what, calls, first):
    """A table in which each operation has to be told that nothing is there. `first` is what a new client is tried with."""
    table = Table()
    absent = {"absent": what, "told": NOTHING_HERE}
    for operation, args in calls.items():
        table.of(operation, **absent)(lambda at, operation=operation, args=args: at.call(operation, *args))
    table.of("from_connection_string", **absent)(lambda at: at.call(first, *calls[first]))

    def stranger(at):
        within(SOON_S, first, getattr(at.as_stranger(), first), *calls[first])

    table.of("from_token_credential", **{**UNKNOWN_TOKEN, "told": f"401|{NOTHING_HERE}"})(stranger)
    return table


CONTENT = models.ConfigurationContent(device_content={"properties.desired.every_s": 60})
CONFIGURATION = models.Configuration(
    id="all", content=CONTENT, target_condition="tags.floor=2", priority=1, schema_version="1.0", labels={}
)
QUERIES = models.ConfigurationQueriesTestInput(target_condition="tags.floor=2", custom_metric_queries={})

configurations = refused(
    "configurations",
    {
        "apply_configuration_on_edge_device": ("device", models.ConfigurationContent(modules_content={})),
        "create_configuration": (CONFIGURATION,),
        "delete_configuration": ("all",),
        "get_configuration": ("all",),
        "get_configurations": (),
        "test_configuration_queries": (QUERIES,),
        "update_configuration": (CONFIGURATION, "AAAA"),
    },
    "get_configurations",
)

REQUEST = models.JobRequest(
    job_id="nightly",
    type="scheduleDeviceMethod",
    cloud_to_device_method=models.CloudToDeviceMethod(method_name="reboot"),
    query_condition="*",
    start_time="2030-01-01T00:00:00Z",
    max_execution_time_in_seconds=60,
)
EXPORT = models.JobProperties(type="export", output_blob_container_uri="https://localhost/container")

jobs = refused(
    "jobs",
    {
        "cancel_import_export_job": ("nightly",),
        "cancel_scheduled_job": ("nightly",),
        "create_import_export_job": (EXPORT,),
        "create_scheduled_job": ("nightly", REQUEST),
        "get_import_export_job": ("nightly",),
        "get_import_export_jobs": (),
        "get_scheduled_job": ("nightly",),
        "query_scheduled_jobs": ("scheduleDeviceMethod", "running"),
    },
    "get_scheduled_job",
)

PATCH = [{"op": "add", "path": "/every_s", "value": 60}]

digital_twins = refused(
    "digital twins",
    {
        "get_digital_twin": ("device",),
        "invoke_command": ("device", "reboot", {}),
        "invoke_component_command": ("device", "camera", "reboot", {}),
        "update_digital_twin": ("device", PATCH),
    },
    "get_digital_twin",
)
