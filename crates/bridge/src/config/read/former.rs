//! The predecessor's settings, and what they are called now.

/// Settings by how their names begin: most of them end with `-APPLICATION-PORT` or `Default`.
const NAMES: [(&str, &str); 16] = [
    ("DPSIDScope", "it is `id_scope` below [targets.NAME] now; one target for each scope, chosen by [[routes]]"),
    ("IdScope", "it is `id_scope` below [targets.NAME] now"),
    ("DPSGlobaDeviceEndpoint", "it is `endpoint` below [targets.NAME] now"),
    ("DPSGlobalDeviceEndpoint", "it is `endpoint` below [targets.NAME] now"),
    ("GlobalDeviceEndpoint", "it is `endpoint` below [targets.NAME] now"),
    (
        "DPSEnrollmentGroupSymmetricKey",
        "it is `group_key` below [targets.NAME] now; which application uses it is said by [[routes]]",
    ),
    ("GroupEnrollmentKey", "it is `group_key` below [targets.NAME] now"),
    ("AzureIotHubConnectionString", "it is `connection_string` below a [targets.NAME] with kind = \"iot-hub\" now"),
    ("IoTHubConnectionString", "it is `connection_string` below a [targets.NAME] with kind = \"iot-hub\" now"),
    ("DtdlModelId", "it is `model_id` below [targets.NAME] now"),
    ("DeviceProvisioningPollingDelay", "remove it; the service says itself when to ask again"),
    ("KeyVaultURI", "give each secret as { key_vault = \"https://NAME.vault.azure.net\", secret = \"NAME\" }"),
    ("UplinkQueueName", "remove it; messages rest below `dir` of [queue] now"),
    ("DownlinkQueueName", "remove it; messages rest below `dir` of [queue] now"),
    ("AzureStorageConnectionString", "remove it; messages rest below `dir` of [queue] now"),
    ("AzureWebJobsStorage", "remove it; messages rest below `dir` of [queue] now"),
];

/// What became of a setting, if `key` is one. The new names are in lower case with `_`, so none is taken for a former one.
pub(super) fn name(key: &str) -> Option<&'static str> {
    if key.contains('_') {
        return None;
    }
    let begins = |start: &str| key.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    NAMES.iter().find(|(start, _)| begins(start)).map(|(_, now)| *now)
}
