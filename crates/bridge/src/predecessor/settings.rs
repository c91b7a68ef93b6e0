//! PURE: all settings of all files, by name.

use std::collections::BTreeMap;

use super::export::{self, Export, SETTINGS_MAX, Setting};
use crate::config::Mistake;

/// As they stand in the files.
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    pub(super) fn read(exports: &[Export<'_>]) -> Result<Self, Vec<Mistake>> {
        let (mut all, mut mistakes) = (Vec::new(), Vec::new());
        for export in exports {
            match export::read(*export) {
                Ok(settings) => all.extend(settings),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if all.len() > SETTINGS_MAX {
            mistakes.push(Mistake {
                key: String::new(),
                place: None,
                cause: format!("the files have more than {SETTINGS_MAX} settings"),
                mend: "give the exports of one app".to_owned(),
            });
        }
        if mistakes.is_empty() { Ok(Self(all)) } else { Err(mistakes) }
    }

    pub(super) fn all(&self) -> &[Setting] {
        &self.0
    }

    /// Each with its name as .NET compares it.
    pub(super) fn by_key(&self) -> impl Iterator<Item = (String, &Setting)> {
        self.0.iter().map(|setting| (key(&setting.name), setting))
    }
}

/// A name as .NET compares it: without case, and with `:` for the `__` of environment variables.
pub(super) fn key(name: &str) -> String {
    name.replace("__", ":").to_ascii_lowercase()
}

impl Setting {
    /// Parts of its name as they are written.
    pub(super) fn parts(&self) -> Vec<String> {
        self.name.replace("__", ":").split(':').map(str::to_owned).collect()
    }

    /// It says nothing. What stands in a key vault is taken for something.
    pub(super) fn is_blank(&self) -> bool {
        self.vault.is_none() && self.text.as_ref().is_none_or(|text| text.expose().trim().is_empty())
    }
}

/// Of settings with the same meaning, the one that counted; and those that it went before.
pub(super) fn counted<'s, K: Ord + Clone>(
    settings: impl IntoIterator<Item = (K, &'s Setting)>,
) -> (BTreeMap<K, &'s Setting>, Vec<(&'s Setting, &'s Setting)>) {
    let (mut counted, mut shadowed) = (BTreeMap::<K, &Setting>::new(), Vec::new());
    for (meaning, setting) in settings {
        let Some(before) = counted.get(&meaning).copied() else {
            counted.insert(meaning, setting);
            continue;
        };
        // A vault's list goes before an app's settings, whatever the order of the files.
        let (wins, loses) = if before.is_listed && !setting.is_listed { (before, setting) } else { (setting, before) };
        counted.insert(meaning, wins);
        let is_same = wins.text.is_some() && wins.text == loses.text;
        if !is_same {
            shadowed.push((loses, wins));
        }
    }
    (counted, shadowed)
}
