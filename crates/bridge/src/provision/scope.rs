//! What all devices of one DPS scope share: its pace, whether it works at all, and how many registrations are under way.
//!
//! [`Scope::take`] is PURE. A scope in trouble is probed by one registration at a time, as a hub is by one message.

use std::sync::Arc;
use std::time::Duration;

use azure::dps::{Class, TRANSIENT_WAIT_MIN};
use queue::UnixMillis;
use tokio::sync::Semaphore;

use crate::gate::{Admission, Gate, Sign};
use crate::identity::Name;
use crate::provision::keys::Keys;
use crate::provision::pacer::Pacer;

/// Registrations under way at once, most of them between two polls: about 4 KiB each.
const UNDER_WAY_MAX: usize = 2048;
/// While one registration probes, the others look this often whether it has come back.
const LOOK_AGAIN: UnixMillis = 5_000;

/// One per DPS endpoint and id scope.
#[derive(Clone, Debug)]
pub struct Scope {
    pacer: Pacer,
    gate: Gate,
    /// Which of the group's keys signs.
    pub keys: Keys,
    /// A permit for each registration under way.
    pub under_way: Arc<Semaphore>,
}

impl Scope {
    /// `per_minute` as in [`Pacer::new`].
    pub fn new(per_minute: u32) -> Self {
        Self {
            pacer: Pacer::new(per_minute),
            gate: Gate::default(),
            keys: Keys::default(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    /// Takes a turn to register, or says when to ask again.
    ///
    /// # Errors
    /// The time at which there may be one.
    pub fn take(&mut self, now: UnixMillis) -> Result<(), UnixMillis> {
        let mut gate = self.gate.clone();
        if gate.admit(now) == Admission::Rest {
            return Err(now + LOOK_AGAIN);
        }
        self.pacer.take(now)?;
        // Only now: a probe that is not made would keep the others out.
        self.gate = gate;
        Ok(())
    }

    /// A device was assigned: the service works.
    pub fn assigned(&mut self) {
        self.gate.worked();
    }

    /// A device was refused, and is held for so long.
    pub fn refused(&mut self, name: &Name, class: Class, hold: Duration, now: UnixMillis, jitter: f64) {
        if let Class::Transient { retry_after } = class {
            let asked = (retry_after > TRANSIENT_WAIT_MIN).then_some(retry_after);
            let sign = asked.map_or(Sign::Doubtful(&name.id), |asked| Sign::Certain(Some(asked)));
            self.gate.failed(now, sign, jitter);
            return;
        }
        self.gate.worked();
        if let Class::Throttled { .. } = class {
            self.pacer.pause_until(now + i64::try_from(hold.as_millis()).unwrap_or(i64::MAX / 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(scope: &mut Scope, device: &str, class: Class, now: UnixMillis) {
        let name = Name { scope: "dps".to_owned(), id: device.to_owned() };
        scope.refused(&name, class, Duration::from_secs(45), now, 0.0);
    }

    const TROUBLE: Class = Class::Transient { retry_after: TRANSIENT_WAIT_MIN };

    #[test]
    fn a_scope_in_trouble_is_probed_by_one_and_open_to_all_when_it_answers() {
        let mut scope = Scope::new(0);
        refused(&mut scope, "a", TROUBLE, 0);
        assert_eq!(scope.take(0), Ok(()), "one device alone says nothing");
        refused(&mut scope, "b", TROUBLE, 0);
        assert_eq!(scope.take(499), Err(499 + LOOK_AGAIN));
        assert_eq!(scope.take(500), Ok(()), "the probe");
        assert_eq!(scope.take(500), Err(500 + LOOK_AGAIN));
        refused(&mut scope, "c", Class::Denied, 600);
        assert_eq!((scope.take(600), scope.take(600)), (Ok(()), Ok(())), "denied is an answer");
    }

    #[test]
    fn a_probe_that_the_pace_forbids_is_not_lost() {
        let mut scope = Scope::new(1);
        assert_eq!(scope.take(0), Ok(()));
        refused(&mut scope, "a", TROUBLE, 0);
        refused(&mut scope, "b", TROUBLE, 0);
        assert_eq!(scope.take(1_000), Err(60_000), "the pace");
        assert_eq!(scope.take(60_000), Ok(()), "and then the probe");
    }

    #[test]
    fn a_throttling_scope_is_left_alone_although_others_are_assigned() {
        let mut scope = Scope::new(0);
        refused(&mut scope, "a", Class::Throttled { retry_after: None }, 0);
        scope.assigned();
        assert_eq!(scope.take(2_000), Err(45_000));
        assert_eq!(scope.take(45_000), Ok(()));
    }
}
