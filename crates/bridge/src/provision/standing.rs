//! What a person sees of a device's registration, and what a person may end.

use std::sync::Arc;

use azure::dps::Class;
use queue::UnixMillis;

use super::{Assignment, Provision};
use crate::identity::Name;

/// How a name stands.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Where it lives.
    pub assignment: Option<Assignment>,
    /// It was refused, and is not asked for before a time that is still to come.
    pub hold: Option<Hold>,
    /// It stands in line, or is being registered.
    pub is_in_line: bool,
}

/// A refusal that is remembered.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Until then.
    pub until: UnixMillis,
    /// What was said.
    pub cause: String,
    /// [`Class::word`].
    pub class: &'static str,
    /// How often in a row.
    pub times: u32,
}

impl Provision {
    /// How a name stands. Three lookups.
    pub fn standing(&self, name: &Name) -> Standing {
        let now = self.world.steady();
        let state = self.state();
        let hold = |refusal: &super::Refusal| Hold {
            until: self.world.on_the_wall(refusal.until),
            cause: refusal.cause.clone(),
            class: refusal.class.word(),
            times: refusal.times,
        };
        Standing {
            assignment: state.assigned.get(name).cloned(),
            hold: state.refused.get(name).filter(|refusal| now < refusal.until).map(hold),
            is_in_line: state.scopes.get(&name.scope).is_some_and(|scope| scope.line.holds(&name.id)),
        }
    }

    /// As [`Provision::ask_again`] for some names. Whether something was held, for each.
    pub fn ask_again_for(&self, names: &[Arc<Name>]) -> Vec<bool> {
        let mut lanes = Vec::new();
        let mut state = self.state();
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            let refusal = state.refused.remove(&**name);
            held.push(refusal.is_some());
            let Some(refusal) = refusal else { continue };
            if refusal.class == Class::Denied
                && let Some(scope) = state.scope(name)
            {
                scope.keys.try_anew();
            }
            lanes.push(refusal.lane);
        }
        drop(state);
        lanes.iter().for_each(|lane| self.queue.wake(lane));
        held
    }
}
