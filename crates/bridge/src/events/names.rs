//! Names from outside as values of a label: so many of each, and `other` for the rest, so that nobody can make a scrape grow
//! without end. Devices are no label at all.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// What is counted under this name is of all those beyond the bound.
pub const OTHER: &str = "other";

/// Applications are told by whoever has a key of the webhook. With the twelve kinds of event and the one or two targets that an application
/// has they make up to 1 500 series, 300 bytes each.
const APPLICATIONS_MAX: usize = 100;
/// `[targets]` of the configuration, and those that a reload put in their place.
const TARGETS_MAX: usize = 50;
/// `[[routes]]` that drop.
const ROUTES_MAX: usize = 50;
/// What provisioning services assign. A hub has fifteen series.
const HUBS_MAX: usize = 50;
/// Id scopes, and hubs whose registry is written to.
const SCOPES_MAX: usize = 50;

/// The first names of one kind. Kept for the life of the process, so that a series never changes what it counts.
#[derive(Debug)]
pub struct Few {
    known: RwLock<BTreeSet<String>>,
    max: usize,
}

impl Few {
    fn new(max: usize) -> Self {
        Self { known: RwLock::default(), max }
    }

    /// This name, or [`OTHER`] when there are as many others.
    pub fn label(&self, name: &str) -> String {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return name.to_owned();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.max && !known.contains(name) {
            return OTHER.to_owned();
        }
        known.insert(name.to_owned());
        name.to_owned()
    }
}

/// All of them.
#[derive(Debug)]
pub struct Names {
    /// As the network calls them; `-` where a message names none.
    pub applications: Few,
    /// As the configuration calls them.
    pub targets: Few,
    /// As the configuration is told of them: application and port.
    pub routes: Few,
    /// Host and port.
    pub hubs: Few,
    /// Endpoint and id scope.
    pub scopes: Few,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            applications: Few::new(APPLICATIONS_MAX),
            targets: Few::new(TARGETS_MAX),
            routes: Few::new(ROUTES_MAX),
            hubs: Few::new(HUBS_MAX),
            scopes: Few::new(SCOPES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_one() {
        let few = Few::new(2);
        assert_eq!([few.label("a"), few.label("b"), few.label("c")], ["a", "b", OTHER]);
        assert_eq!([few.label("b"), few.label("d"), few.label("a")], ["b", OTHER, "a"], "who came first stays");
    }
}
