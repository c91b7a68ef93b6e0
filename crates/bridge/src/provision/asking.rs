//! One registration, from the question to what is remembered of the answer.

use std::time::Duration;

use azure::dps::Class;
use queue::Note;

use super::former::Fingerprint;
use super::registrar::{self, Refused, Registered};
use super::{Applicant, Assignment, BEGUN, Provision, Refusal, SPACE, keys};
use crate::config::{GroupKey, Target, TargetKind};
use crate::events::Event;
use crate::identity::Name;
use crate::wait::in_words;
use crate::world::Point;

/// While one device tries a group's other key, the rest look this often what came of it.
const WHILE_TRYING: Duration = Duration::from_millis(500);
/// Longest that a refusal is remembered.
pub(super) const PATIENCE_MAX: Duration = Duration::from_secs(3600);

impl Provision {
    pub(super) async fn register(&self, applicant: &Applicant) {
        let Applicant { name, lane, .. } = applicant;
        // Whoever has the device by now asks for it.
        if !self.queue.holds(lane) {
            return;
        }
        self.world.point(Point::ProvisionBeforeBegun).await;
        let at = self.world.now().to_string();
        self.write(name, lane, vec![(BEGUN, Some(at.into_bytes()))]).await;
        self.world.point(Point::ProvisionBegun).await;
        if !self.queue.holds(lane) {
            return;
        }
        let answer = Box::pin(self.ask(applicant)).await;
        self.world.point(Point::ProvisionAnswered).await;
        match answer {
            Ok(assigned) => self.assign(applicant, assigned).await,
            Err(refused) => self.refuse(applicant, &refused),
        }
    }

    /// Notes about a device. One that cannot be written is not fatal: what it says is used now, and found out again after a
    /// restart.
    async fn write(&self, name: &Name, lane: &str, notes: Vec<(&str, Option<Vec<u8>>)>) {
        let note = |(space, value): (&str, _)| Note { space: space.to_owned(), key: name.key(), value };
        if let Err(e) = self.queue.write_notes(lane, notes.into_iter().map(note).collect()).await {
            tracing::warn!(registration_id = name.id, error = %e, "failed to keep what is known of a device");
        }
    }

    /// Again, when the answer looks like a wrong key and there is another one that may be right.
    async fn ask(&self, applicant: &Applicant) -> Result<Registered, Refused> {
        let used = self.key_in_use(&applicant.name);
        let answer = self.ask_with(applicant, used).await;
        let is_denied = matches!(&answer, Err(refused) if refused.class == Class::Denied);
        if !is_denied || !registrar::has_two_keys(&applicant.target) {
            return answer;
        }
        let Some(key) = self.other_key(&applicant.name, used).await else { return answer };
        self.take_turn(applicant).await;
        let answer = self.ask_with(applicant, key).await;
        if let Some(scope) = self.state().scope(&applicant.name) {
            if answer.is_ok() && scope.keys.accepted(key) {
                self.events.emit(Event::GroupKeyChanged { scope: &applicant.name.scope, key });
            }
            scope.keys.tried();
        }
        answer
    }

    pub(super) fn key_in_use(&self, name: &Name) -> GroupKey {
        self.state().scope(name).map(|scope| scope.keys.in_use()).unwrap_or_default()
    }

    /// The key that is worth a try after `used` was refused. Waits for another device that is trying it: at most as long as
    /// a registration takes.
    async fn other_key(&self, name: &Name, used: GroupKey) -> Option<GroupKey> {
        loop {
            let now = self.world.steady();
            match self.state().scope(name)?.keys.refused(used, now) {
                keys::Next::Try(key) => return Some(key),
                keys::Next::Refused => return None,
                keys::Next::Wait => {}
            }
            tokio::time::sleep(WHILE_TRYING).await;
        }
    }

    /// Twice, when the first answer shows that our clock is wrong, or came after the token had run out: a machine that slept
    /// meanwhile is not the device's fault.
    async fn ask_with(&self, applicant: &Applicant, key: GroupKey) -> Result<Registered, Refused> {
        let Applicant { name, target, .. } = applicant;
        match self.registrars.ask(target, key, &name.id, &self.world).await {
            (Err(refused), true) if refused.class == Class::Denied => {
                self.take_turn(applicant).await;
                self.registrars.ask(target, key, &name.id, &self.world).await.0
            }
            (answer, _) => answer,
        }
    }

    pub(super) async fn assign(&self, applicant: &Applicant, assigned: Registered) {
        let Applicant { name, lane, target } = applicant;
        let Registered { hub, device_id, key, .. } = assigned;
        let at = self.world.now();
        let assignment = Assignment { hub, device_id, key, registered_with: fingerprint(target, key), at };
        let value = serde_json::to_vec(&assignment).expect("two strings and a number are always JSON");
        self.write(name, lane, vec![(SPACE, Some(value)), (BEGUN, None)]).await;
        self.world.point(Point::ProvisionKept).await;
        self.events.emit(Event::Assigned { registration_id: &name.id, hub: &assignment.hub });
        let mut state = self.state();
        if let Some(scope) = state.scope(name) {
            scope.assigned(self.world.steady());
        }
        state.refused.remove(name);
        state.set(name, Some(assignment));
    }

    fn refuse(&self, applicant: &Applicant, refused: &Refused) {
        let Applicant { name, lane, .. } = applicant;
        let now = self.world.steady();
        let cause = &refused.cause;
        let mut state = self.state();
        // Of its kind: a service that was down for a while makes no denial a tenth one.
        let before = state.refused.get(name).filter(|before| before.class.word() == refused.class.word());
        let times = before.map_or(0, |before| before.times);
        let (wait, never) = patience(refused, times);
        let until = now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2);
        let mut denies_many = false;
        if let Some(scope) = state.scope(name) {
            scope.refused(name, refused.class, wait, now, self.world.random.fraction(("scope", name, now)));
            denies_many = refused.class == Class::Denied && scope.denied(name, now);
        }
        let (times, lane) = (times.saturating_add(1), lane.clone());
        let class = refused.class;
        state.remember(name, Refusal { until, cause: cause.clone(), never, class, times, lane });
        drop(state);
        if denies_many {
            self.events.emit(Event::ScopeDenies { scope: &name.scope, cause });
        }
        self.events.emit(Event::RegistrationRefused { registration_id: &name.id, cause, class: refused.class.word() });
    }
}

/// PURE: how long a refusal is remembered by its cause, and whether messages are buried meanwhile.
///
/// A wrong key, a missing enrolment and a pending approval look alike (401) and are mended by people: 5 min, doubling to
/// an hour. A disabled device recovers within five minutes. Trouble of the service: seconds, or as it says. Nothing is
/// remembered for longer than an hour, whatever the service says: people mend things.
fn patience(refused: &Refused, times: u32) -> (Duration, bool) {
    let doubling = |first: u64| Duration::from_secs(first.saturating_mul(1 << times.min(10)));
    let (wait, never) = match refused.class {
        Class::BadRequest => (PATIENCE_MAX, true),
        Class::Denied | Class::NotFound | Class::Failed => (doubling(300), false),
        Class::Disabled => (Duration::from_secs(240), false),
        Class::Throttled { retry_after } => (retry_after.and_then(in_words).unwrap_or(Duration::from_secs(10)), false),
        Class::Transient { retry_after } => (retry_after.max(doubling(5).min(Duration::from_secs(60))), false),
    };
    (wait.min(PATIENCE_MAX), never)
}

/// Of the group's key that this is, if a group has a part in it.
fn fingerprint(target: &Target, key: GroupKey) -> Option<Fingerprint> {
    match &target.kind {
        TargetKind::Dps(dps) => Some(Fingerprint::of(dps.key(key))),
        TargetKind::Policy(_) | TargetKind::Device(_) => None,
    }
}
