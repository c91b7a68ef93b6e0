//! What all devices of one DPS scope share: who is next, its pace, whether it works at all, and how many registrations are
//! under way.
//!
//! [`Scope::next`] and [`Scope::take`] are PURE. A scope in trouble is probed by one registration at a time, as a hub is by one message.

use std::sync::Arc;
use std::time::Duration;

use azure::dps::{Class, TRANSIENT_WAIT_MIN};
use queue::UnixMillis;
use tokio::sync::Semaphore;

use crate::gate::{Admission, Gate, Sign};
use crate::identity::Name;
use crate::provision::Applicant;
use crate::provision::breaker::{Breaker, Verdict};
use crate::provision::keys::Keys;
use crate::provision::line::{Length, Line};
use crate::provision::pacer::Pacer;

/// Registrations under way at once, most of them between two polls: about 4 KiB each.
const UNDER_WAY_MAX: usize = 2048;
/// While one registration probes, the others look this often whether it has come back.
const LOOK_AGAIN: UnixMillis = 5_000;
/// Between two lines of the log about one line of devices.
pub const TELL_EVERY: UnixMillis = 10_000;

/// One per DPS endpoint and id scope.
#[derive(Clone, Debug)]
pub struct Scope {
    pacer: Pacer,
    gate: Gate,
    /// Devices that were denied: many at once are an alarm, and hold up nobody, for among them may stand some that are
    /// waiting for approval only.
    denials: Breaker,
    /// Which of the group's keys signs.
    pub keys: Keys,
    /// Who is next.
    pub line: Line,
    /// A permit for each registration under way.
    pub under_way: Arc<Semaphore>,
    /// Somebody is serving the line.
    pub is_served: bool,
    told_at: Option<UnixMillis>,
}

/// What the one who serves a line is to do.
#[derive(Debug)]
pub enum Step {
    /// Register this one.
    Register(Applicant),
    /// Look again then.
    Wait(UnixMillis),
    /// Nobody stands in line.
    Done,
}

/// How far a scope is with its new devices.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// DPS endpoint and id scope, or the hub.
    pub scope: String,
    /// Devices in line with messages in the queue.
    pub waiting: usize,
    /// Devices in line without: asked for ahead of their first message.
    pub waiting_ahead: usize,
    /// Registrations under way.
    pub under_way: usize,
    /// Ended, well or not, since nobody was in line last.
    pub done: usize,
    /// New devices a minute; 0 is unpaced.
    pub per_minute: usize,
    /// Until the last of the line has its turn, seconds; `None` when unpaced.
    pub seconds_left: Option<u64>,
    /// The service works, as far as is known.
    pub works: bool,
    /// It denies many devices, and takes none: a wrong key, most likely.
    pub denies_many: bool,
}

impl Scope {
    /// `per_minute` as in [`Pacer::new`]; `begun` are the registrations of the process before.
    pub fn new(per_minute: u32, begun: &[UnixMillis]) -> Self {
        Self {
            pacer: Pacer::new(per_minute).after(begun),
            gate: Gate::default(),
            denials: Breaker::default(),
            keys: Keys::default(),
            line: Line::default(),
            is_served: false,
            told_at: None,
            under_way: Arc::new(Semaphore::new(UNDER_WAY_MAX)),
        }
    }

    /// The next device, when it is time for one.
    pub fn next(&mut self, now: UnixMillis) -> Step {
        if self.line.is_empty() {
            return Step::Done;
        }
        match self.take(now) {
            Ok(()) => self.line.begin().map_or(Step::Done, Step::Register),
            Err(at) => Step::Wait(at),
        }
    }

    /// How far it is, for `scope`.
    pub fn progress(&self, scope: &str, now: UnixMillis) -> Progress {
        let Length { urgent, ahead, under_way, done } = self.line.length();
        let left = (urgent + ahead > 0).then(|| self.pacer.when(urgent + ahead, now)).flatten();
        Progress {
            scope: scope.to_owned(),
            waiting: urgent,
            waiting_ahead: ahead,
            under_way,
            done,
            per_minute: self.pacer.per_minute(),
            seconds_left: left.map(|at| (at - now).max(0).unsigned_abs().div_ceil(1000)),
            works: self.gate.is_open(),
            denies_many: self.denials.is_open(),
        }
    }

    /// As [`Scope::progress`], when it is time to tell: a line that waits is told of every ten seconds.
    pub fn news(&mut self, scope: &str, now: UnixMillis) -> Option<Progress> {
        let is_told = self.told_at.is_some_and(|at| (0..TELL_EVERY).contains(&(now - at)));
        if is_told || self.line.is_empty() {
            return None;
        }
        self.told_at = Some(now);
        Some(self.progress(scope, now))
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

    /// A device was assigned: the service works, and the group's key with it.
    pub fn assigned(&mut self, now: UnixMillis) {
        self.gate.worked(now);
        self.denials = Breaker::default();
    }

    /// A device was denied. True when that makes many, and none was taken.
    pub fn denied(&mut self, name: &Name, now: UnixMillis) -> bool {
        self.denials.refused(&name.id, 0, now) == Verdict::Opened
    }

    /// A device was refused, and is held for so long.
    pub fn refused(&mut self, name: &Name, class: Class, hold: Duration, now: UnixMillis, jitter: f64) {
        if let Class::Transient { retry_after } = class {
            let asked = (retry_after > TRANSIENT_WAIT_MIN).then_some(retry_after);
            let sign = asked.map_or(Sign::Doubtful(&name.id), |asked| Sign::Certain(Some(asked)));
            self.gate.failed(now, sign, jitter);
            return;
        }
        self.gate.worked(now);
        if let Class::Throttled { .. } = class {
            self.pacer.pause(now, now + i64::try_from(hold.as_millis()).unwrap_or(i64::MAX / 2));
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
        let mut scope = Scope::new(0, &[]);
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
        let mut scope = Scope::new(1, &[]);
        assert_eq!(scope.take(0), Ok(()));
        refused(&mut scope, "a", TROUBLE, 0);
        refused(&mut scope, "b", TROUBLE, 0);
        assert_eq!(scope.take(1_000), Err(60_000), "the pace");
        assert_eq!(scope.take(60_000), Ok(()), "and then the probe");
    }

    #[test]
    fn a_throttling_scope_is_left_alone_although_others_are_assigned() {
        let mut scope = Scope::new(0, &[]);
        refused(&mut scope, "a", Class::Throttled { retry_after: None }, 0);
        scope.assigned(0);
        assert_eq!(scope.take(2_000), Err(45_000));
        assert_eq!(scope.take(45_000), Ok(()));
    }
}
