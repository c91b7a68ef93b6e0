//! Who may register: id scopes, and enrolment groups with their keys and hubs.
//!
//! Promises: a registration belongs to the group whose derived key signed it. The group's own key signs nothing.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Refusal, is_registration_id};
use crate::identity::Keys;
use crate::sas::{Denied, Resource, Token, derive_key, is_key};
use crate::setup::{Allocation, Reprovision};

/// An enrolment group.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) keys: Keys,
    /// Host names of the hubs that are linked to it; never empty.
    pub(crate) hubs: Vec<String>,
    pub(crate) allocation: Allocation,
    pub(crate) reprovision: Reprovision,
    pub(crate) is_enabled: bool,
    /// What assigned devices find in their registration's state.
    pub(crate) payload: Option<Arc<Value>>,
}

/// One of the two keys of an enrolment group. Either is good: so one can be replaced while the other is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKey {
    /// The first.
    Primary,
    /// The second.
    Secondary,
}

/// What was to be a key of an enrolment group cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("group key: not base64 of 16 to 64 bytes, nothing was changed; give one that is")]
pub struct NoKey;

/// A provisioning service.
pub(crate) struct Scope {
    pub(crate) id: String,
    pub(crate) groups: Vec<Arc<Group>>,
}

/// All provisioning services; not empty, and none is without a group.
pub(crate) struct Scopes(pub(crate) Vec<Scope>);

/// Who was let in: a device of this group, with the keys that it has in it.
pub(crate) struct Admitted {
    pub(crate) scope: String,
    pub(crate) group: Arc<Group>,
    pub(crate) keys: Keys,
}

impl Scopes {
    /// Whether a token opens this registration, and by which group's key. The id goes into the device's keys exactly as
    /// the device spelled it. Every group is tried: a bounded number, two derived keys each.
    pub(crate) fn admit(
        &self,
        scope: &str,
        registration_id: &str,
        authorization: Option<&str>,
        now_ms: i64,
    ) -> Result<Admitted, Refusal> {
        let denied = |_: Denied| Refusal::new(401, 401_002, "Unauthorized");
        let scope = self.scope(scope).ok_or_else(|| denied(Denied::OutOfScope))?;
        let token = Token::parse(authorization).map_err(denied)?;
        let resource =
            Resource { roots: std::slice::from_ref(&scope.id), path: &["registrations", registration_id], least: 2 };
        let mut last = Denied::WrongSignature;
        for group in &scope.groups {
            let keys = group.device_keys(registration_id);
            match token.check(&resource, &keys.both(), now_ms) {
                Ok(()) => return Ok(Admitted { scope: scope.id.clone(), group: Arc::clone(group), keys }),
                Err(why) => last = why,
            }
        }
        Err(denied(last))
    }

    /// A registration that needs no token, because the owner asks for it: in the first group.
    pub(crate) fn enrol(&self, registration_id: &str) -> Result<Admitted, Refusal> {
        if !is_registration_id(registration_id) {
            return Err(Refusal::bad_request("The registration id is not valid"));
        }
        let scope = self.first();
        let group = scope.groups.first().expect("no scope is without a group");
        let keys = group.device_keys(registration_id);
        Ok(Admitted { scope: scope.id.clone(), group: Arc::clone(group), keys })
    }

    pub(crate) fn first(&self) -> &Scope {
        self.0.first().expect("a simulator is made with a scope")
    }

    fn scope(&self, id: &str) -> Option<&Scope> {
        self.0.iter().find(|scope| scope.id.eq_ignore_ascii_case(id))
    }

    pub(crate) fn group(&self, scope: &str, name: &str) -> Option<&Arc<Group>> {
        self.scope(scope)?.groups.iter().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// Every group, with the id scope that it is in.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &Group)> {
        self.0.iter().flat_map(|scope| scope.groups.iter().map(|group| (scope.id.as_str(), group.as_ref())))
    }

    /// The id scopes that have a group of this name, of one or of all.
    pub(crate) fn with_group(&self, scope: Option<&str>, name: &str) -> Vec<String> {
        let is_meant = |id: &str| scope.is_none_or(|wanted| wanted.eq_ignore_ascii_case(id));
        let scopes = self.0.iter().filter(|scope| is_meant(&scope.id) && self.group(&scope.id, name).is_some());
        scopes.map(|scope| scope.id.clone()).collect()
    }

    /// Switches a group on or off, if it is there.
    pub(crate) fn switch(&mut self, scope: &str, name: &str, is_enabled: bool) {
        self.change(scope, name, |group| group.is_enabled = is_enabled);
    }

    /// Replaces a key of a group, if it is there.
    pub(crate) fn replace_key(&mut self, scope: &str, name: &str, which: GroupKey, key: &str) -> Result<(), NoKey> {
        if !is_key(key) {
            return Err(NoKey);
        }
        self.change(scope, name, |group| match which {
            GroupKey::Primary => key.clone_into(&mut group.keys.primary),
            GroupKey::Secondary => key.clone_into(&mut group.keys.secondary),
        });
        Ok(())
    }

    fn change(&mut self, scope: &str, name: &str, change: impl Fn(&mut Group)) {
        let scopes = self.0.iter_mut().filter(|one| one.id.eq_ignore_ascii_case(scope));
        let groups = scopes.flat_map(|scope| &mut scope.groups).filter(|group| group.name.eq_ignore_ascii_case(name));
        groups.for_each(|group| change(Arc::make_mut(group)));
    }
}

impl Group {
    /// The keys that a device has in this group, from the primary and the secondary key.
    pub(crate) fn device_keys(&self, registration_id: &str) -> Keys {
        let derived = |key: &str| derive_key(key, registration_id).unwrap_or_default();
        Keys { primary: derived(&self.keys.primary), secondary: derived(&self.keys.secondary) }
    }

    /// As it is written among its hubs, if it is linked.
    pub(crate) fn linked(&self, hub: &str) -> Option<&str> {
        self.hubs.iter().find(|one| one.eq_ignore_ascii_case(hub)).map(String::as_str)
    }

    /// The hub of a device that has none, by the allocation policy.
    pub(super) fn allocate(&self, registration_id: &str) -> &str {
        let fixed = match &self.allocation {
            Allocation::Static(hub) => self.linked(hub),
            Allocation::Hashed => self.hubs.iter().max_by_key(|hub| weight(hub, registration_id)).map(String::as_str),
        };
        fixed.or_else(|| self.hubs.first().map(String::as_str)).expect("a group is made with a hub")
    }
}

/// Each device goes to the hub that weighs most with it: evenly, the same one always, and when a hub is added or taken
/// away nobody moves but to it or from it.
fn weight(hub: &str, registration_id: &str) -> [u8; 32] {
    let text = format!("{}\n{}", hub.to_ascii_lowercase(), registration_id.to_ascii_lowercase());
    Sha256::digest(text.as_bytes()).into()
}
