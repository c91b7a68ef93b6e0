//! Devices that are to be there before their first uplink: each gets the route, the name, the claim and the registration
//! that its uplink would have got.
//!
//! Asking twice does no harm: what is there is told, what is under way stays so. Nothing is kept of who was asked for but
//! claims and assignments, so that whoever asks goes on asking until all are there.

use serde::{Deserialize, Serialize};

use crate::claims::NotOurs;
use crate::config::Config;
use crate::device::Shared;
use crate::device::plan::{Way, find_route, find_way};
use crate::identity::Name;
use crate::lane::{DeviceKey, Lane};
use crate::provision::line::Joined;
use crate::provision::{Applicant, Assignment, Known};
use crate::reason::reason;

/// A device of a part of the queue that is not ours: when to ask again. A take-over takes up to 26 s.
const ELSEWHERE_MS: u64 = 5_000;
/// Longest id that is looked at. The Things Stack's have 36 characters.
const ID_MAX: usize = 128;

/// A device, as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WantedDevice)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Without it `webhook.network`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its application.
    pub application: String,
    /// Its name there.
    pub device_id: String,
    /// 16 hexadecimal digits. Needed where the target's template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_eui: Option<String>,
    /// The port that it will send on. Needed where an application is routed by ports only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u8>,
}

/// How a wanted device stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = WantedStanding)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Standing {
    /// It is there.
    Assigned {
        /// The hub's host name.
        hub: String,
        /// Its name there.
        device_id: String,
    },
    /// It stands in line, or is being registered.
    InLine,
    /// There is no room in the line: ask again later.
    Later,
    /// Azure refused it, or does not work, and is asked again then by whoever wants the device.
    Held {
        /// In so many milliseconds.
        for_ms: u64,
        /// What Azure said.
        cause: String,
    },
    /// It cannot be registered as it is.
    Refused {
        /// The word under which its uplinks would become dead letters.
        reason: String,
        /// What is wrong, and the mend.
        detail: String,
    },
}

impl Standing {
    fn refused(reason: queue::Reason) -> Self {
        Self::Refused { reason: reason.code, detail: reason.detail }
    }
}

impl Wanted {
    /// Whose uplinks they would be.
    pub fn key(&self, config: &Config) -> DeviceKey {
        DeviceKey {
            network: self.network.clone().unwrap_or_else(|| config.webhook.network.clone()),
            application: self.application.clone(),
            device: self.device_id.clone(),
        }
    }

    /// PURE: what is wrong with it as it stands, whatever the configuration.
    ///
    /// # Errors
    /// One sentence with the mend.
    pub fn check(&self) -> Result<(), String> {
        for (name, id) in [("application", &self.application), ("device_id", &self.device_id)] {
            if id.is_empty() {
                return Err(format!("{name} is empty; write the id that the network has for it"));
            }
            if id.len() > ID_MAX || id.contains(char::is_control) {
                return Err(format!("{name} is no id: it has more than {ID_MAX} bytes, or control characters"));
            }
        }
        if self.port == Some(0) {
            return Err("0 is no port of an application; write a number from 1 to 255".to_owned());
        }
        match &self.dev_eui {
            Some(eui) if eui.len() != 16 || !eui.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Err(format!("`{}` is no DevEUI; write 16 hexadecimal digits", eui.escape_debug()))
            }
            _ => Ok(()),
        }
    }
}

/// PURE: where its uplinks would go, and under which name.
///
/// # Errors
/// The reason for which they would become dead letters, or why they would go nowhere.
pub fn way(wanted: &Wanted, owner: &DeviceKey, config: &Config) -> Result<Way, queue::Reason> {
    wanted.check().map_err(|e| reason("no_identity", &e))?;
    let by_port = || config.routes.iter().any(|route| route.application.as_ref() == Some(&owner.application));
    let route = find_route(config, owner, wanted.port.map(u64::from)).map_err(|refused| match wanted.port {
        None if by_port() => {
            let detail = format!("application `{}` is routed by ports only; give the device's port", owner.application);
            reason("no_route", &detail)
        }
        _ => refused,
    })?;
    match route.target() {
        Some(target) => find_way(config, target, owner, wanted.dev_eui.as_deref()),
        None => Err(reason("dropped", &format!("route `{route}` drops what this device sends"))),
    }
}

impl Shared {
    /// Brings a device on its way, or says how far it is.
    pub async fn provision_ahead(&self, wanted: &Wanted) -> Standing {
        let config = self.config.get();
        let owner = wanted.key(&config);
        let way = match way(wanted, &owner, &config) {
            Ok(way) => way,
            Err(refused) => return Standing::refused(refused),
        };
        let name = way.name();
        let lane = Lane::Telemetry(owner.clone()).to_string();
        match self.enter(&lane).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let cause = "another worker has it, or none at the moment; ask that one's address, or again".to_owned();
                return Standing::Held { for_ms: ELSEWHERE_MS, cause };
            }
            Err(_) => return Standing::Later,
        }
        if let Some(standing) = self.claim_ahead(&name, &owner).await {
            return standing;
        }
        match self.provision.known(&name) {
            // Several scopes may lead to one hub: the name has to be theirs there as well.
            Known::Assigned(Assignment { hub, device_id, .. }) => {
                let taken = self.claim_ahead(&Name::at_hub(&hub, &device_id), &owner).await;
                taken.unwrap_or(Standing::Assigned { hub, device_id })
            }
            Known::Held { wait, cause, .. } => {
                Standing::Held { for_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), cause }
            }
            Known::Nothing => {
                let target = config.targets[&way.target].clone();
                match self.provision.ahead(Applicant { name, target, lane }) {
                    Joined::InLine => Standing::InLine,
                    Joined::Full => Standing::Later,
                }
            }
        }
    }

    /// How the device stands when it cannot have this name now.
    async fn claim_ahead(&self, name: &Name, owner: &DeviceKey) -> Option<Standing> {
        match self.claims.claim(name, owner).await {
            Ok(()) => None,
            Err(taken @ NotOurs::Taken(_)) => Some(Standing::refused(reason("identity_conflict", &taken))),
            Err(NotOurs::Disk(_)) => Some(Standing::Later),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(routes: &str) -> Config {
        let key = "A".repeat(86) + "==";
        let text = format!(
            "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00AAAAAA\"\ngroup_key = \"{key}\"\n\
             [targets.eui]\nkind = \"dps\"\nid_scope = \"0ne00BBBBBB\"\ngroup_key = \"{key}\"\ndevice_id = \"{{dev_eui}}\"\n{routes}"
        );
        let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        crate::config::read(&text, &[], Path::new(""), &no_files).expect("usable").config
    }

    fn wanted(application: &str, device: &str) -> Wanted {
        let (application, device_id) = (application.to_owned(), device.to_owned());
        Wanted { network: None, application, device_id, dev_eui: None, port: None }
    }

    const ROUTES: &str = "[[routes]]\napplication = \"vehicles\"\nport = 10\ntarget = \"main\"\n\
                          [[routes]]\napplication = \"meters\"\ntarget = \"eui\"\n\
                          [[routes]]\napplication = \"tests\"\ndrop = true\n";

    fn asked(wanted: &Wanted) -> Result<(String, String), String> {
        let config = config(ROUTES);
        let way = way(wanted, &wanted.key(&config), &config);
        way.map(|way| (way.target, way.id)).map_err(|reason| reason.code)
    }

    #[test]
    fn a_device_gets_the_way_that_its_uplink_would_get() {
        let by_port = Wanted { port: Some(10), ..wanted("vehicles", "van-1") };
        assert_eq!(asked(&by_port), Ok(("main".to_owned(), "van-1".to_owned())));
        let by_eui = Wanted { dev_eui: Some("70B3D57ED0001234".to_owned()), ..wanted("meters", "m-1") };
        assert_eq!(asked(&by_eui), Ok(("eui".to_owned(), "70b3d57ed0001234".to_owned())));
    }

    #[test]
    fn what_has_no_way_is_told_why() {
        let cases = [
            (wanted("vehicles", "van-1"), "no_route"),
            (wanted("nobody", "x"), "no_route"),
            (wanted("meters", "m-1"), "no_dev_eui"),
            (wanted("tests", "t-1"), "dropped"),
            (wanted("vehicles", ""), "no_identity"),
            (Wanted { dev_eui: Some("12".to_owned()), ..wanted("meters", "m") }, "no_identity"),
            (Wanted { port: Some(0), ..wanted("vehicles", "van-1") }, "no_identity"),
            (Wanted { port: Some(10), ..wanted("vehicles", "-x") }, "bad_registration_id"),
        ];
        for (wanted, reason) in cases {
            assert_eq!(asked(&wanted), Err(reason.to_owned()), "{wanted:?}");
        }
        let config = config(ROUTES);
        let wanted = wanted("vehicles", "van-1");
        let refused = way(&wanted, &wanted.key(&config), &config).expect_err("no port");
        assert!(refused.detail.contains("give the device's port"), "{}", refused.detail);
    }
}
