//! PURE: what is understood of a predecessor's settings: which messages went where, what had no effect, and what there is to say.

use std::collections::BTreeMap;

use super::export::{InVault, Setting};
use super::secrets::SecretRef;
use super::settings::counted;

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Understood {
    /// The least specific first.
    pub(super) rules: Vec<Rule>,
    /// Stood in the settings and had no effect.
    pub(super) spare: Vec<Rule>,
    pub(super) notes: Vec<Note>,
    /// What each setting has become, in the order in which it was found.
    pub(super) mapped: Vec<Mapped>,
    /// The queue that `import-queue` reads, by the setting that names it.
    pub(super) queue: Option<String>,
}

/// Whose messages, and whereto.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// None: all that no other rule takes.
    pub(super) application: Option<String>,
    pub(super) port: Option<u8>,
    pub(super) target: Target,
}

impl Rule {
    /// For people.
    pub(super) fn whose(&self) -> String {
        match (&self.application, self.port) {
            (None, _) => "all other applications".to_owned(),
            (Some(application), None) => format!("application `{application}`"),
            (Some(application), Some(port)) => format!("application `{application}` port {port}"),
        }
    }

    /// A name for its target.
    pub(super) fn name(&self) -> String {
        match (&self.application, self.port) {
            (None, _) => "default".to_owned(),
            (Some(application), None) => application.clone(),
            (Some(application), Some(port)) => format!("{application}-{port}"),
        }
    }
}

/// Two that are equal are one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Dps {
        is_central: bool,
        /// None: Microsoft's.
        endpoint: Option<String>,
        id_scope: IdScope,
        group_key: SecretRef,
        model_id: Option<String>,
    },
    Hub {
        connection_string: SecretRef,
        /// Its name, where the connection string can be seen.
        host: Option<String>,
    },
}

/// An id scope is no secret, but its value may stand where it is not seen, or be something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdScope {
    Known(String),
    /// It has to be filled in: the value of this setting.
    Open {
        setting: String,
        vault: Option<InVault>,
    },
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Topic {
    /// A mistake in the settings that goes on to be one.
    Mistake,
    /// What the predecessor really did.
    Did,
    /// What had no effect, because something else went before it.
    Shadowed,
    /// What it never read.
    Unread,
    /// Under which identity readings were filed.
    Identity,
    /// What longhaul does not have, or not yet.
    NoEquivalent,
    /// What whoever reads the messages sees.
    Consumers,
    /// What is to be changed at the network.
    Network,
}

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Note {
    pub(super) topic: Topic,
    /// The settings that it is about, as they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) settings: Vec<String>,
    pub(super) says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// A setting and what it is now.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Mapped {
    pub(super) setting: String,
    pub(super) file: String,
    /// A key of `longhaul.toml`, or why there is none.
    pub(super) is_now: String,
}

impl Understood {
    pub(super) fn say(&mut self, topic: Topic, about: &[&Setting], says: impl Into<String>) {
        self.note(topic, about, says.into(), None);
    }

    pub(super) fn say_with_mend(&mut self, topic: Topic, about: &[&Setting], says: impl Into<String>, mend: &str) {
        self.note(topic, about, says.into(), Some(mend.to_owned()));
    }

    fn note(&mut self, topic: Topic, about: &[&Setting], says: String, mend: Option<String>) {
        let note = Note { topic, settings: about.iter().map(|setting| setting.name.clone()).collect(), says, mend };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn map(&mut self, setting: &Setting, is_now: impl Into<String>) {
        let (name, file) = (setting.name.clone(), setting.file.clone());
        self.mapped.push(Mapped { setting: name, file, is_now: is_now.into() });
    }

    /// Of settings with the same meaning, the one that counted; the others are told of.
    pub(super) fn counted<'s, K: Ord + Clone>(
        &mut self,
        settings: impl IntoIterator<Item = (K, &'s Setting)>,
    ) -> BTreeMap<K, &'s Setting> {
        let (counted, shadowed) = counted(settings);
        self.overridden(&shadowed);
        counted
    }

    fn overridden(&mut self, shadowed: &[(&Setting, &Setting)]) {
        for (lost, won) in shadowed {
            let why = if won.is_listed && !lost.is_listed {
                "the key vault goes before the app's settings"
            } else {
                "the later one counts"
            };
            let says = format!(
                "`{}` stands in {} and in {}: {why}, so the one in {} does",
                lost.name, lost.file, won.file, won.file
            );
            self.say(Topic::Shadowed, &[lost], says);
        }
    }
}
