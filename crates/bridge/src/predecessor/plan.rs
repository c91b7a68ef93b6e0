//! PURE: rules become targets with names, routes that lead to them, and secrets with places.

use std::collections::BTreeMap;

use super::rules::{Mapped, Note, Rule, Target, Understood};
use super::secrets::SecretRef;

/// What is to be written, and what there is to say.
#[derive(Debug)]
pub(super) struct Plan {
    /// By name, in the order of the routes.
    pub(super) targets: Vec<(String, Target)>,
    pub(super) routes: Vec<Route>,
    /// What had no effect; written as comments.
    pub(super) spare: Vec<(String, Rule)>,
    /// Each once.
    pub(super) secrets: Vec<SecretRef>,
    pub(super) notes: Vec<Note>,
    pub(super) mapped: Vec<Mapped>,
    pub(super) queue: Option<String>,
}

/// Whose messages go to which target.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) application: Option<String>,
    pub(super) port: Option<u8>,
    pub(super) target: String,
}

impl Plan {
    pub(super) fn new(understood: Understood) -> Self {
        let Understood { mut rules, mut spare, notes, mapped, queue } = understood;
        let mut variables = BTreeMap::new();
        for rule in rules.iter_mut().chain(&mut spare) {
            distinguish(rule.target.secret_mut(), &mut variables);
        }
        let mut plan = Self {
            targets: Vec::new(),
            routes: Vec::new(),
            spare: Vec::new(),
            secrets: Vec::new(),
            notes,
            mapped,
            queue,
        };
        for rule in rules {
            plan.add(rule);
        }
        for rule in spare {
            let name = plan.free_name(&rule.name());
            plan.spare.push((name, rule));
        }
        plan.name_places();
        plan
    }

    /// Secrets have names of their own, so of these it is known where each has gone.
    fn name_places(&mut self) {
        for mapped in &mut self.mapped {
            let is_its = |target: &Target| {
                let secret = target.secret();
                (&secret.setting, &secret.file) == (&mapped.setting, &mapped.file)
            };
            let used = self.targets.iter().filter(|(_, target)| is_its(target));
            let places: Vec<_> = used.map(|(name, target)| format!("targets.{name}.{}", target.secret_key())).collect();
            if !places.is_empty() {
                mapped.is_now = places.join(", ");
            } else if self.spare.iter().any(|(_, rule)| is_its(&rule.target)) {
                mapped.is_now = "a comment: it had no effect".to_owned();
            }
        }
    }

    fn add(&mut self, rule: Rule) {
        let known = self.targets.iter().find(|(_, target)| *target == rule.target).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| self.free_name(&rule.name()));
        if !self.secrets.contains(rule.target.secret()) {
            self.secrets.push(rule.target.secret().clone());
        }
        let Rule { application, port, target } = rule;
        if self.targets.iter().all(|(_, known)| *known != target) {
            self.targets.push((name.clone(), target));
        }
        self.routes.push(Route { application, port, target: name });
    }

    /// `vehicles-10` is an application, or a port of one.
    fn free_name(&self, name: &str) -> String {
        let is_taken = |name: &str| {
            self.targets
                .iter()
                .map(|(known, _)| known)
                .chain(self.spare.iter().map(|(known, _)| known))
                .any(|known| known == name)
        };
        let others = (2..).map(|nth: u32| format!("{name}-no{nth}"));
        let mut names = std::iter::once(name.to_owned()).chain(others);
        names.find(|name| !is_taken(name)).unwrap_or_else(|| name.to_owned())
    }
}

/// Two settings never share a variable: `a-b` and `a_b` would.
fn distinguish(secret: &mut SecretRef, variables: &mut BTreeMap<String, (String, String)>) {
    let owner = (secret.setting.clone(), secret.file.clone());
    let others = (2..).map(|nth: u32| format!("{}_{nth}", secret.variable));
    let mut names = std::iter::once(secret.variable.clone()).chain(others);
    let free = names.find(|name| variables.get(name).is_none_or(|known| *known == owner));
    if let Some(name) = free {
        variables.insert(name.clone(), owner);
        secret.variable = name;
    }
}

impl Target {
    /// What its secret is called in the configuration.
    pub(super) fn secret_key(&self) -> &'static str {
        match self {
            Self::Dps { .. } => "group_key",
            Self::Hub { .. } => "connection_string",
        }
    }

    pub(super) fn secret(&self) -> &SecretRef {
        match self {
            Self::Dps { group_key: secret, .. } | Self::Hub { connection_string: secret, .. } => secret,
        }
    }

    fn secret_mut(&mut self) -> &mut SecretRef {
        match self {
            Self::Dps { group_key: secret, .. } | Self::Hub { connection_string: secret, .. } => secret,
        }
    }
}
