//! The predecessor's settings: each is known by its name and told what it is now, and none is taken in silence.

use super::*;
use crate::config::report;

/// As they stand in its two versions, and part of what has to be said.
const SETTINGS: [(&str, &str); 16] = [
    ("AzureIotHubConnectionString-vehicles-10", "`connection_string`"),
    ("AzureIotHubConnectionString-vehicles", "`connection_string`"),
    ("AzureIotHubConnectionStringDefault", "`connection_string`"),
    ("DPSGlobaDeviceEndpoint", "`endpoint`"),
    ("DPSIDScope-vehicles-10", "`id_scope`"),
    ("DPSIDScope-vehicles", "`id_scope`"),
    ("DPSIDScopeDefault", "`id_scope`"),
    ("DPSIDScope", "`id_scope`"),
    ("DPSEnrollmentGroupSymmetricKey-vehicles-10", "`group_key`"),
    ("DPSEnrollmentGroupSymmetricKey-vehicles", "`group_key`"),
    ("DPSEnrollmentGroupSymmetricKeyDefault", "`group_key`"),
    ("DeviceProvisioningPollingDelay", "says itself when"),
    ("KeyVaultURI", "key_vault = "),
    ("UplinkQueueName", "`dir` of [queue]"),
    ("DownlinkQueueName", "`dir` of [queue]"),
    ("AzureStorageConnectionString", "`dir` of [queue]"),
];

#[test]
fn each_setting_of_the_predecessor_is_named_with_what_it_is_now() {
    for (name, now) in SETTINGS {
        let text = format!("{name} = \"x\"\n{LEAST}");
        let mistakes = World::new().read(&text).expect_err("it is no key of ours");
        assert_eq!(mistakes.len(), 1, "{name}: {}", report("test", &mistakes));
        let Mistake { key, cause, mend, .. } = &mistakes[0];
        assert_eq!(key, name);
        assert!(cause.contains("predecessor") && mend.contains(now), "{name}: {cause}; {mend}");
    }
}

#[test]
fn without_a_polling_delay_the_service_says_when_and_nothing_is_missing() {
    assert!(World::new().read(LEAST).is_ok());
}
