//! From what was asked for, and what is kept, to hubs and enrolment groups.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::cloud::Hub;
use crate::dps::{Group, Scope, Scopes};
use crate::identity::{Identity, Keys};
use crate::options::Options;
use crate::random::Random;
use crate::setup::{GROUP_NAME, GroupSetup, ScopeSetup, Setup, SetupError, check_hubs};
use crate::simulator::{StartError, at};

const LOCALHOST: &str = "localhost";

/// The hubs' own names, and the names that lead to the first of them besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// Not empty.
    pub(crate) hubs: Vec<String>,
    pub(crate) more_names: Vec<String>,
}

impl Hosts {
    /// Everything that is asked for, and `localhost`, which always works.
    pub(crate) fn of(options: &Options) -> Result<Self, SetupError> {
        let mut names = options.hosts.clone();
        names.push(LOCALHOST.to_owned());
        let setup = options.setup.as_ref().map(|setup| setup.hubs.as_slice()).unwrap_or_default();
        let mut hubs = setup.to_vec();
        if hubs.is_empty() {
            hubs.push(names.remove(0));
        }
        hubs.extend(options.more_hubs.iter().cloned());
        if hubs.len() > 1 || !setup.is_empty() {
            check_hubs(&hubs, "hubs")?;
        }
        let mut seen: BTreeSet<String> = hubs.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.retain(|name| seen.insert(name.to_ascii_lowercase()));
        Ok(Self { hubs, more_names: names })
    }

    /// What the certificate has to say.
    pub(crate) fn all(&self) -> Vec<String> {
        self.hubs.iter().chain(&self.more_names).cloned().collect()
    }

    /// The hubs, each with its keys.
    pub(crate) fn open(&self, identity: &mut Identity, random: &Random) -> Vec<Hub> {
        let of = |(at, name): (usize, &String)| {
            if at > 0 {
                return Hub::new(vec![name.clone()], identity.policies_of(name, random).clone());
            }
            let names = std::iter::once(name).chain(&self.more_names).cloned().collect();
            Hub::new(names, identity.policies.clone())
        };
        self.hubs.iter().enumerate().map(of).collect()
    }
}

/// What is kept, with what the options say instead.
pub(crate) fn identity(options: &Options, random: &Random) -> Result<Identity, StartError> {
    let dir = options.dir.as_deref();
    let mut identity = Identity::open(dir, random).map_err(at(dir.unwrap_or(Path::new(""))))?;
    if let Some(scope) = &options.id_scope {
        identity.id_scope.clone_from(scope);
    }
    if let Some(key) = &options.group_key {
        if !crate::sas::is_key(key) {
            return Err(StartError::GroupKey);
        }
        identity.group.primary.clone_from(key);
    }
    Ok(identity)
}

/// The scopes and groups of a setup; without one a scope with a group for all hubs. Keys that are left out are the kept
/// ones, or made.
pub(crate) fn scopes(
    setup: Option<&Setup>,
    hubs: &[String],
    identity: &mut Identity,
    random: &Random,
) -> Result<Scopes, SetupError> {
    let usual = || vec![ScopeSetup { id_scope: None, groups: vec![GroupSetup::named(GROUP_NAME)] }];
    let asked = setup.map(|setup| setup.scopes.clone()).filter(|scopes| !scopes.is_empty()).unwrap_or_else(usual);
    let asked = asked.into_iter().map(|scope| ScopeSetup {
        id_scope: Some(scope.id_scope.unwrap_or_else(|| identity.id_scope.clone())),
        ..scope
    });
    let whole = Setup { hubs: hubs.to_vec(), scopes: asked.collect(), ..setup.cloned().unwrap_or_default() };
    // Again, now that nothing is left out: two scopes may have come to the same id.
    whole.check()?;
    let mut open = |scope: &ScopeSetup| {
        let id = scope.id_scope.clone().unwrap_or_default();
        let mut opened = |group: &GroupSetup| {
            let kept = identity.group_keys(&id, &group.name, random);
            Arc::new(open_group(group, kept, hubs))
        };
        let groups = scope.groups.iter().map(&mut opened).collect();
        Scope { id, groups }
    };
    Ok(Scopes(whole.scopes.iter().map(&mut open).collect()))
}

fn open_group(asked: &GroupSetup, kept: Keys, hubs: &[String]) -> Group {
    let keys = Keys {
        primary: asked.primary_key.clone().unwrap_or(kept.primary),
        secondary: asked.secondary_key.clone().unwrap_or(kept.secondary),
    };
    let is_linked =
        |name: &&String| asked.hubs.is_empty() || asked.hubs.iter().any(|one| one.eq_ignore_ascii_case(name));
    Group {
        name: asked.name.clone(),
        keys,
        hubs: hubs.iter().filter(is_linked).cloned().collect(),
        allocation: asked.allocation.clone(),
        reprovision: asked.reprovision,
        is_enabled: asked.enabled,
        payload: asked.payload.clone().filter(|payload| !payload.is_null()).map(Arc::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Allocation;

    fn options() -> Options {
        Options::new(Arc::new(|| 0))
    }

    fn named(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn localhost_and_every_name_lead_to_the_first_hub() {
        let hosts = |options: &Options| Hosts::of(options).map(|hosts| (hosts.hubs, hosts.more_names)).unwrap();
        assert_eq!(hosts(&options()), (named(&["localhost"]), named(&[])));
        let asked = Options { hosts: named(&["hub1.net", "global.net", "Localhost"]), ..options() };
        assert_eq!(hosts(&asked), (named(&["hub1.net"]), named(&["global.net", "Localhost"])));
        let asked = Options { more_hubs: named(&["hub2.net"]), ..asked };
        assert_eq!(hosts(&asked).0, named(&["hub1.net", "hub2.net"]));
        let setup = Some(Setup { hubs: named(&["a", "b"]), ..Setup::default() });
        let asked = Options { setup, ..asked };
        assert_eq!(hosts(&asked), (named(&["a", "b", "hub2.net"]), named(&["hub1.net", "global.net", "Localhost"])));
        assert!(Hosts::of(&Options { more_hubs: named(&["localhost"]), ..options() }).is_err(), "a hub twice");
        assert!(Hosts::of(&Options { more_hubs: named(&["../x"]), ..options() }).is_err(), "not a host name");
    }

    #[test]
    fn keys_that_are_left_out_are_made_once_and_those_given_are_not_kept() {
        let mut identity = Identity::open(None, &Random::default()).unwrap();
        let mut group = GroupSetup::named("g");
        group.primary_key = Some("MDEyMzQ1Njc4OWFiY2RlZg==".to_owned());
        let setup = Setup { scopes: vec![ScopeSetup { id_scope: None, groups: vec![group] }], ..Setup::default() };
        let mut keys = || {
            let scopes = scopes(Some(&setup), &named(&["h"]), &mut identity, &Random::default()).unwrap();
            scopes.0[0].groups[0].keys.clone()
        };
        let (first, again) = (keys(), keys());
        assert_eq!(first.primary, "MDEyMzQ1Njc4OWFiY2RlZg==");
        assert_eq!(first.secondary, again.secondary);
        assert!(!serde_json::to_string(&identity).unwrap().contains(&first.primary));
        assert!(serde_json::to_string(&identity).unwrap().contains(&first.secondary));
    }

    #[test]
    fn without_a_setup_there_is_one_group_for_all_hubs() {
        let mut identity = Identity::open(None, &Random::default()).unwrap();
        let scopes = scopes(None, &named(&["h1", "h2"]), &mut identity, &Random::default()).unwrap();
        let [(id, group)] = scopes.groups().collect::<Vec<_>>()[..] else { panic!("not one") };
        assert_eq!((id, &group.keys), (identity.id_scope.as_str(), &identity.group));
        assert_eq!((group.name.as_str(), &group.hubs), ("simulated-group", &named(&["h1", "h2"])));
        assert_eq!(group.allocation, Allocation::Hashed);
    }
}
