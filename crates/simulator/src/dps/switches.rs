//! Enrolment groups that the owner switched off or on while the simulator ran.
//!
//! Promises: who spoke last counts: a switch stays, over restarts too, until the next one, or until the setup says something
//! else of the group than it did then. A switch of a group that is not in the setup waits until it is again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::enrolment::Scopes;
use crate::journal::Journal;

const JOURNAL_FILE: &str = "groups.jsonl";

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Switch {
    id_scope: String,
    group: String,
    enabled: bool,
    /// What the setup said then.
    setup_enabled: bool,
}

/// What is kept of them.
#[derive(Default)]
pub(crate) struct Switches {
    /// What the setup says, by scope and group.
    setup: BTreeMap<(String, String), bool>,
    journal: Journal,
}

impl Switches {
    /// Reads what is kept in `dir`, switches the groups of the setup so, and goes on from there.
    pub(crate) fn open(dir: Option<&Path>, scopes: &mut Scopes) -> io::Result<Self> {
        let setup = scopes.groups().map(|(scope, group)| (key(scope, &group.name), group.is_enabled));
        let setup: BTreeMap<_, _> = setup.collect();
        let all = Journal::read::<Switch>(dir, JOURNAL_FILE)?.into_iter();
        let mut kept: BTreeMap<_, _> = all.map(|one| (key(&one.id_scope, &one.group), one)).collect();
        kept.retain(|key, one| setup.get(key).is_none_or(|says| *says == one.setup_enabled));
        for one in kept.values() {
            scopes.switch(&one.id_scope, &one.group, one.enabled);
        }
        Ok(Self { setup, journal: Journal::open(dir, JOURNAL_FILE, kept.values())? })
    }

    /// Before a group is switched: what could not be written did not happen.
    pub(crate) fn note(&mut self, id_scope: &str, group: &str, enabled: bool) -> io::Result<()> {
        let setup_enabled = self.setup.get(&key(id_scope, group)).copied().unwrap_or(true);
        self.journal.write(&Switch { id_scope: id_scope.to_owned(), group: group.to_owned(), enabled, setup_enabled })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.journal.sync()
    }
}

/// The service does not tell upper from lower case.
fn key(id_scope: &str, group: &str) -> (String, String) {
    (id_scope.to_lowercase(), group.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dps::tests::group;
    use crate::dps::{Group, Scope};

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZg==";

    /// The groups `a`, `b`, … of a scope, as a setup says of each.
    fn setup(enabled: &[(&str, bool)]) -> Scopes {
        let group = |(name, is_enabled): &(&str, bool)| {
            Arc::new(Group { is_enabled: *is_enabled, ..group(name, KEY, KEY, &["h".to_owned()]) })
        };
        Scopes(vec![Scope { id: "0ne1".to_owned(), groups: enabled.iter().map(group).collect() }])
    }

    fn enabled(scopes: &Scopes) -> Vec<bool> {
        scopes.groups().map(|(_, group)| group.is_enabled).collect()
    }

    #[test]
    fn who_spoke_last_of_a_group_counts() {
        let dir = std::env::temp_dir().join(format!("simulator-switches-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let opened = |says: &[(&str, bool)]| {
            let mut scopes = setup(says);
            let switches = Switches::open(Some(&dir), &mut scopes).unwrap();
            (enabled(&scopes), switches)
        };
        let (_, mut switches) = opened(&[("a", true), ("b", false), ("c", true)]);
        for (name, to) in [("a", false), ("B", true), ("c", false), ("c", true)] {
            switches.note("0NE1", name, to).unwrap();
        }
        assert_eq!(opened(&[("a", true), ("b", false), ("c", true)]).0, [false, true, true]);
        assert_eq!(opened(&[("a", true), ("b", true)]).0, [false, true], "the setup has changed its mind of b");
        assert_eq!(opened(&[("b", false)]).0, [false], "which was forgotten");
        assert_eq!(opened(&[("a", true)]).0, [false], "and a's still counts");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
