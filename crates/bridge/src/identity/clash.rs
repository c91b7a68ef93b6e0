//! PURE: which two applications a configuration lets come out under one name. Claims keep their devices apart all the same
//! ([`crate::claims`]); whoever writes the configuration should know before the first dead letter.

use std::collections::BTreeSet;

use crate::config::{Config, Route, Target, TargetKind};
use crate::identity;
use crate::lane::DeviceKey;

/// Two applications with a device of the same id each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clash {
    /// The one.
    pub one: Side,
    /// The other.
    pub other: Side,
    /// Where the name has to be unique: a DPS endpoint with its id scope, or a hub.
    pub scope: String,
    /// The devices' id in both applications.
    pub device: String,
    /// The name under which both would come out.
    pub id: String,
}

/// An application and the target that it is routed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// Its id; `None` for those that have no route of their own.
    pub application: Option<String>,
    /// Name of the target in the configuration.
    pub target: String,
}

/// The id of devices in examples.
const DEVICE: &str = "dev-1";
/// Applications without a route of their own.
const ANY_OTHER: &str = "any-other";

/// All pairs that the routes allow, each once. As many as named applications squared at the most.
pub fn clashes(config: &Config) -> Vec<Clash> {
    let sides: BTreeSet<Side> = config.routes.iter().filter_map(side).collect();
    let pairs = sides.iter().enumerate().flat_map(|(at, one)| sides.iter().skip(at + 1).map(move |other| (one, other)));
    pairs.filter(|(one, other)| one.application != other.application).filter_map(|pair| clash(config, pair)).collect()
}

fn side(route: &Route) -> Option<Side> {
    Some(Side { application: route.application.clone(), target: route.target()?.to_owned() })
}

fn clash(config: &Config, (one, other): (&Side, &Side)) -> Option<Clash> {
    // A DevEUI is one device's, whatever application it is registered in.
    let (name, second) = (name(config, one, "0000000000000001")?, name(config, other, "0000000000000002")?);
    (name == second).then(|| Clash {
        one: one.clone(),
        other: other.clone(),
        scope: name.scope,
        device: DEVICE.to_owned(),
        id: name.id,
    })
}

fn name(config: &Config, side: &Side, dev_eui: &str) -> Option<identity::Name> {
    let target: &Target = config.targets.get(&side.target)?;
    if matches!(target.kind, TargetKind::Device(_)) {
        return None; // it says itself that it is one device's
    }
    let device = DeviceKey {
        network: config.webhook.network.clone(),
        application: side.application.clone().unwrap_or_else(|| ANY_OTHER.to_owned()),
        device: DEVICE.to_owned(),
    };
    identity::name(&side.target, target, &device, Some(dev_eui)).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(targets: &[(&str, &str, &str)], routes: &[(Option<&str>, &str)]) -> Vec<(String, String)> {
        let key = "A".repeat(86) + "==";
        let mut text = String::new();
        for (name, id_scope, template) in targets {
            text += &format!(
                "[targets.{name}]\nkind = \"dps\"\nid_scope = \"{id_scope}\"\ngroup_key = \"{key}\"\ndevice_id = \"{template}\"\n"
            );
        }
        for (application, target) in routes {
            let application = application.map_or(String::new(), |name| format!("application = \"{name}\"\n"));
            text += &format!("[[routes]]\n{application}target = \"{target}\"\n");
        }
        let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let config = crate::config::read(&text, &[], Path::new(""), &no_files).expect("usable").config;
        let who = |side: &Side| side.application.clone().unwrap_or_else(|| "*".to_owned());
        clashes(&config).iter().map(|clash| (who(&clash.one), who(&clash.other))).collect()
    }

    fn pair(one: &str, other: &str) -> (String, String) {
        (one.to_owned(), other.to_owned())
    }

    #[test]
    fn two_applications_of_one_scope_with_the_same_ids_are_named() {
        let targets = [("a", "0ne00AAAAAA", "{device_id}"), ("b", "0ne00AAAAAA", "{device_id}")];
        let routes = [(Some("building"), "a"), (Some("vehicles"), "b")];
        assert_eq!(found(&targets, &routes), [pair("building", "vehicles")]);
        let routes = [(Some("building"), "a"), (Some("vehicles"), "a"), (None, "b")];
        assert_eq!(
            found(&targets, &routes),
            [pair("*", "building"), pair("*", "vehicles"), pair("building", "vehicles")]
        );
    }

    #[test]
    fn what_is_told_apart_is_not_named() {
        let cases = [
            ("0ne00AAAAAA", "{device_id}", "0ne00BBBBBB", "{device_id}"),
            ("0ne00AAAAAA", "{application_id}--{device_id}", "0ne00AAAAAA", "{application_id}--{device_id}"),
            ("0ne00AAAAAA", "{device_id}", "0ne00AAAAAA", "v-{device_id}"),
            ("0ne00AAAAAA", "{dev_eui}", "0ne00AAAAAA", "{dev_eui}"),
        ];
        for (scope, template, other_scope, other_template) in cases {
            let targets = [("a", scope, template), ("b", other_scope, other_template)];
            assert_eq!(found(&targets, &[(Some("building"), "a"), (Some("vehicles"), "b")]), [], "{targets:?}");
        }
        let one = [("a", "0ne00AAAAAA", "{device_id}")];
        assert_eq!(found(&one, &[(None, "a")]), [], "a default route alone says nothing of applications");
        assert_eq!(found(&one, &[(Some("building"), "a")]), []);
    }
}
