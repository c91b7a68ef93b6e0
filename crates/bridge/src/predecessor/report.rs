//! PURE: what is told of a move: for people, and as JSON. No value of a setting is in it but id scopes.

use std::fmt::Write as _;

use serde::Serialize;

use super::family::Family;
use super::plan::Plan;
use super::rules::{IdScope, Mapped, Note, Target, Topic};

/// Everything that there is to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whose settings these were, as `--from` calls it.
    predecessor: &'static str,
    /// Where messages go now, by the written file.
    routes: Vec<Way>,
    /// Values that have to be put where the written file looks for them.
    secrets: Vec<Wanted>,
    /// What each setting is now.
    settings: Vec<Mapped>,
    /// The rest, by topic.
    notes: Vec<Note>,
    /// What to do next, in this order.
    next: Vec<String>,
}

/// One route.
#[derive(Debug, Serialize)]
struct Way {
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u8>,
    target: String,
    /// `dps`, `iot-central` or `iot-hub`.
    kind: &'static str,
    /// None of a hub, and where it has to be filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_scope: Option<String>,
    /// Of a hub, where its connection string can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<String>,
}

/// One secret.
#[derive(Debug, Serialize)]
struct Wanted {
    /// The setting that holds the value.
    setting: String,
    /// The file in which that stands.
    file: String,
    /// The variable of the environment that is to hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    /// Or the vault that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_vault: Option<String>,
}

/// Headlines, in the order in which a person wants to know.
const TOPICS: [(Topic, &str); 8] = [
    (Topic::Mistake, "to be mended"),
    (Topic::Did, "what the predecessor really did"),
    (Topic::Shadowed, "what had no effect, because something else went before it"),
    (Topic::Unread, "what it never read"),
    (Topic::Identity, "under which identity"),
    (Topic::NoEquivalent, "what longhaul has not"),
    (Topic::Consumers, "what your readers see differently"),
    (Topic::Network, "at the network"),
];

/// Of a plan.
pub(super) fn report(plan: &Plan, family: Family) -> Report {
    let routes = plan.routes.iter().filter_map(|route| {
        let (_, target) = plan.targets.iter().find(|(name, _)| *name == route.target)?;
        let (kind, id_scope, hub) = place(target);
        let (application, target) = (route.application.clone(), route.target.clone());
        Some(Way { application, port: route.port, target, kind, id_scope, hub })
    });
    let secrets = plan.secrets.iter().map(|secret| Wanted {
        setting: secret.setting.clone(),
        file: secret.file.clone(),
        variable: secret.vault.is_none().then(|| secret.variable.clone()),
        key_vault: secret.vault.as_ref().map(|vault| format!("{}/secrets/{}", vault.vault, vault.secret)),
    });
    Report {
        predecessor: family.word(),
        routes: routes.collect(),
        secrets: secrets.collect(),
        settings: plan.mapped.clone(),
        notes: plan.notes.clone(),
        next: next(plan),
    }
}

/// Kind, id scope, hub.
fn place(target: &Target) -> (&'static str, Option<String>, Option<String>) {
    match target {
        Target::Hub { host, .. } => ("iot-hub", None, host.clone()),
        Target::Dps { is_central, id_scope, .. } => {
            let known = match id_scope {
                IdScope::Known(id_scope) => Some(id_scope.clone()),
                IdScope::Open { .. } => None,
            };
            (if *is_central { "iot-central" } else { "dps" }, known, None)
        }
    }
}

fn next(plan: &Plan) -> Vec<String> {
    let mut next = Vec::new();
    if plan.routes.is_empty() {
        next.push(
            "no message could go anywhere with these settings, so nothing was written: see what is to be mended"
                .to_owned(),
        );
        return next;
    }
    if plan.secrets.iter().any(|secret| secret.vault.is_none()) {
        next.push("put each value into its variable (LONGHAUL_WEBHOOK_KEY too), where the service that runs longhaul has its environment".to_owned());
    }
    if plan.secrets.iter().any(|secret| secret.vault.is_some()) {
        next.push(
            "give longhaul's identity the role Key Vault Secrets User on the vault: docs/configuration.md".to_owned(),
        );
    }
    if plan.targets.iter().any(|(_, target)| matches!(target, Target::Dps { id_scope: IdScope::Open { .. }, .. })) {
        next.push("fill in the id_scope where the file says FILL IN".to_owned());
    }
    next.push("longhaul check, until it has nothing to say; then longhaul run".to_owned());
    if let Some(queue) = plan.queue.as_ref().filter(|queue| storage::is_container_name(queue)) {
        next.push(format!(
            "longhaul import-queue --queue {queue} --dry-run, with AzureStorageConnectionString in the environment; and on the day of \
             the move without --dry-run: docs/moving-over.md"
        ));
    }
    next
}

impl Report {
    /// As one JSON object.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("settings of the predecessor `{}`\n", self.predecessor);
        self.routes_text(&mut text);
        if !self.secrets.is_empty() {
            text.push_str("\nsecrets\n");
        }
        for secret in &self.secrets {
            let Wanted { setting, file, .. } = secret;
            let _ = match (&secret.variable, &secret.key_vault) {
                (Some(variable), _) => {
                    writeln!(text, "  put the value of {setting} ({file}) into the variable {variable}")
                }
                (None, vault) => {
                    writeln!(text, "  {setting} stays where it is: {}", vault.as_deref().unwrap_or_default())
                }
            };
        }
        for (topic, headline) in TOPICS {
            let notes: Vec<_> = self.notes.iter().filter(|note| note.topic == topic).collect();
            if !notes.is_empty() {
                let _ = writeln!(text, "\n{headline}");
            }
            for note in notes {
                let _ = writeln!(text, "  - {}", note.says);
                note.mend.iter().for_each(|mend| _ = writeln!(text, "    mend: {mend}"));
            }
        }
        if !self.settings.is_empty() {
            text.push_str("\neach setting that was read\n");
        }
        for Mapped { setting, is_now, .. } in &self.settings {
            let _ = writeln!(text, "  {setting}: {is_now}");
        }
        text.push_str("\nnext\n");
        for (at, step) in self.next.iter().enumerate() {
            let _ = writeln!(text, "  {}. {step}", at + 1);
        }
        text
    }

    fn routes_text(&self, text: &mut String) {
        if !self.routes.is_empty() {
            text.push_str("\nwhere messages go\n");
        }
        for way in &self.routes {
            let whose = match (&way.application, way.port) {
                (None, _) => "all other applications".to_owned(),
                (Some(application), None) => application.clone(),
                (Some(application), Some(port)) => format!("{application} port {port}"),
            };
            let place = match (&way.id_scope, &way.hub) {
                (Some(id_scope), _) => format!("{}, ID scope {id_scope}", way.kind),
                (None, Some(hub)) => format!("{}, {hub}", way.kind),
                (None, None) => way.kind.to_owned(),
            };
            let _ = writeln!(text, "  {whose}: targets.{} ({place}), each device under its own id", way.target);
        }
        if self.routes.iter().all(|way| way.application.is_some()) && !self.routes.is_empty() {
            text.push_str("  all other applications: dead letters, `no_route`\n");
        }
    }
}
