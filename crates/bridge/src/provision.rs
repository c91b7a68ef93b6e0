//! In front of DPS: one registration at a time per device, paced, remembered.
//!
//! Assignments are kept durably: after a restart a known device makes no DPS call. Refusals are remembered by cause for
//! as long as asking again makes no sense. Nobody waits here with a lease in hand: a lane that needs a registration is
//! released and woken when the answer is there.

pub mod breaker;
pub mod keys;
pub mod pacer;
mod registrar;
pub mod scope;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::dps::Class;
use azure::net::Dial;
use queue::{LeaseError, Note, Queue, UnixMillis};
use tokio::sync::Semaphore;

use crate::config::{self, GroupKey};
use crate::events::{Event, Events};
use crate::identity::Name;
use crate::provision::registrar::{Refused, Registered, Registrars};
use crate::provision::scope::Scope;
use crate::world::World;

/// Collection of durable notes: name → assignment.
const SPACE: &str = "assignments";
/// While one device tries a group's other key, the rest look this often what came of it.
const WHILE_TRYING: Duration = Duration::from_millis(500);
/// Longest that a refusal is remembered.
const PATIENCE_MAX: Duration = Duration::from_secs(3600);
/// Refusals remembered, about 300 bytes each: 30 MB. Beyond it the half that ends sooner goes.
const REFUSALS_MAX: usize = 100_000;

pub use registrar::Registrar;

/// Where a device lives, as DPS said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Assignment {
    /// The hub's host name, without port.
    pub hub: String,
    /// The device's id there.
    pub device_id: String,
    /// Of the group's keys the one that the device signs with.
    #[serde(default)]
    pub key: GroupKey,
    /// When we learnt it.
    pub at: UnixMillis,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Send there.
    Assigned(Assignment),
    /// DPS refused; do not ask before.
    Held {
        /// When asking makes sense again.
        until: UnixMillis,
        /// Why, for a person.
        cause: String,
        /// It will never be accepted as it is: its messages go to the dead letters until then.
        never: bool,
    },
    /// Register it.
    Nothing,
}

/// A device that needs a registration.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// Its name.
    pub name: Name,
    /// Whom to ask.
    pub registrar: Registrar,
    /// Woken when the answer is there.
    pub lane: String,
}

/// The provisioning of all targets.
#[derive(Debug)]
pub struct Provision {
    state: Mutex<State>,
    registrars: Registrars,
    queue: Queue,
    world: World,
    events: Events,
}

#[derive(Debug, Default)]
struct State {
    assigned: HashMap<Name, Assignment>,
    at_hub: HashMap<String, usize>,
    refused: HashMap<Name, Refusal>,
    /// Registrations begun and not ended, each with the lane to be woken: a name has one owner ([`crate::claims`]),
    /// and an owner one lane of telemetry.
    waiting: HashMap<Name, String>,
    scopes: BTreeMap<String, Scope>,
}

#[derive(Clone, Debug)]
struct Refusal {
    until: UnixMillis,
    cause: String,
    never: bool,
    times: u32,
    /// To be woken when asking makes sense earlier than that.
    lane: String,
}

impl State {
    /// There since the first of its devices asked.
    fn scope(&mut self, name: &Name) -> Option<&mut Scope> {
        self.scopes.get_mut(&name.scope)
    }

    fn set(&mut self, name: &Name, assignment: Option<Assignment>) {
        if let Some(new) = &assignment {
            *self.at_hub.entry(new.hub.clone()).or_default() += 1;
        }
        let old = match assignment {
            Some(new) => self.assigned.insert(name.clone(), new),
            None => self.assigned.remove(name),
        };
        if let Some(count) = old.and_then(|old| self.at_hub.get_mut(&old.hub)) {
            *count -= 1;
        }
    }

    fn remember(&mut self, name: &Name, refusal: Refusal) {
        if self.refused.len() >= REFUSALS_MAX {
            let mut ends: Vec<_> = self.refused.values().map(|refusal| refusal.until).collect();
            let (_, middle, _) = ends.select_nth_unstable(REFUSALS_MAX / 2);
            let middle = *middle;
            self.refused.retain(|_, refusal| refusal.until > middle);
        }
        self.refused.insert(name.clone(), refusal);
    }
}

impl Provision {
    /// Reads all assignments.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub async fn load(
        queue: &Queue,
        azure: &config::Azure,
        dial: Arc<dyn Dial>,
        world: World,
        events: Events,
    ) -> Result<Arc<Self>, LeaseError> {
        let mut state = State::default();
        for (key, value) in queue.notes(SPACE).await? {
            if let (Some(name), Ok(assignment)) = (Name::from_key(&key), serde_json::from_slice(&value)) {
                state.set(&name, Some(assignment));
            }
        }
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            registrars: Registrars::new(azure, dial),
            queue: queue.clone(),
            world,
            events,
        }))
    }

    /// What is known of a device, without asking anybody.
    pub fn known(&self, name: &Name) -> Known {
        let state = self.state();
        if let Some(assignment) = state.assigned.get(name) {
            return Known::Assigned(assignment.clone());
        }
        match state.refused.get(name) {
            Some(r) if self.world.now() < r.until => {
                Known::Held { until: r.until, cause: r.cause.clone(), never: r.never }
            }
            _ => Known::Nothing,
        }
    }

    /// How many devices live at a hub.
    pub fn devices_of(&self, hub: &str) -> usize {
        self.state().at_hub.get(hub).copied().unwrap_or(0)
    }

    /// How many devices are assigned, and how many registrations are under way.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        (state.assigned.len(), state.waiting.len())
    }

    /// Forgets where a device lives, so that it registers again. The durable note stays until there is a new one.
    pub fn forget(&self, name: &Name) {
        self.state().set(name, None);
    }

    /// A device that nobody registered takes messages at this hub. Not kept: it costs nothing to find out again.
    pub fn found(&self, name: &Name, hub: &str) {
        let (device_id, key) = (name.id.clone(), GroupKey::default());
        let found = Assignment { hub: hub.to_owned(), device_id, key, at: self.world.now() };
        self.state().set(name, Some(found));
    }

    /// Whatever was refused may be asked for again at once: somebody has mended something.
    pub fn ask_again(&self) {
        let mut state = self.state();
        state.scopes.values_mut().for_each(|scope| scope.keys.try_anew());
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        for refusal in refused.into_values() {
            self.queue.wake(&refusal.lane);
        }
    }

    /// Registers a device in the background, once however often it is asked for. Its lane was released before.
    pub fn start(self: &Arc<Self>, applicant: Applicant) {
        let mut state = self.state();
        if state.assigned.contains_key(&applicant.name) {
            drop(state);
            self.queue.wake(&applicant.lane);
            return;
        }
        let first = state.waiting.insert(applicant.name.clone(), applicant.lane.clone()).is_none();
        drop(state);
        if first {
            let this = self.clone();
            tokio::spawn(async move { this.register(applicant).await });
        }
    }

    async fn register(&self, applicant: Applicant) {
        // One of many thousands may wait here: what a registration needs is made when it is its turn.
        let permit = self.line(&applicant).acquire_owned().await;
        self.take_turn(&applicant).await;
        let outcome = Box::pin(self.ask(&applicant)).await;
        drop(permit);
        match outcome {
            Ok(assigned) => self.assign(&applicant.name, assigned).await,
            Err(refused) => self.refuse(&applicant, &refused),
        }
        let lane = self.state().waiting.remove(&applicant.name);
        if let Some(lane) = lane {
            self.queue.wake(&lane);
        }
    }

    fn line(&self, applicant: &Applicant) -> Arc<Semaphore> {
        let per_minute = self.registrars.per_minute(&applicant.registrar);
        let mut state = self.state();
        let scope = state.scopes.entry(applicant.name.scope.clone()).or_insert_with(|| Scope::new(per_minute));
        scope.under_way.clone()
    }

    /// Waits for the pace (at most so many in any minute for one scope) and for a scope that works.
    async fn take_turn(&self, applicant: &Applicant) {
        loop {
            let now = self.world.now();
            let turn = self.state().scope(&applicant.name).map_or(Ok(()), |scope| scope.take(now));
            let Err(at) = turn else { return };
            tokio::time::sleep(Duration::from_millis((at - now).max(1).unsigned_abs())).await;
        }
    }

    /// Again, when the answer looks like a wrong key and there is another one that may be right.
    async fn ask(&self, applicant: &Applicant) -> Result<Registered, Refused> {
        let used = self.state().scope(&applicant.name).map(|scope| scope.keys.in_use()).unwrap_or_default();
        let answer = self.ask_with(applicant, used).await;
        let is_denied = matches!(&answer, Err(refused) if refused.class == Class::Denied);
        if !is_denied || !applicant.registrar.has_two_keys() {
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

    /// The key that is worth a try after `used` was refused. Waits for another device that is trying it: at most as long as
    /// a registration takes.
    async fn other_key(&self, name: &Name, used: GroupKey) -> Option<GroupKey> {
        loop {
            let now = self.world.now();
            match self.state().scope(name)?.keys.refused(used, now) {
                keys::Next::Try(key) => return Some(key),
                keys::Next::Refused => return None,
                keys::Next::Wait => {}
            }
            tokio::time::sleep(WHILE_TRYING).await;
        }
    }

    /// Twice, when the first answer shows that our clock is wrong.
    async fn ask_with(&self, applicant: &Applicant, key: GroupKey) -> Result<Registered, Refused> {
        let Applicant { name, registrar, .. } = applicant;
        match self.registrars.ask(registrar, key, &name.id, &self.world).await {
            (Err(refused), true) if refused.class == Class::Denied => {
                self.take_turn(applicant).await;
                self.registrars.ask(registrar, key, &name.id, &self.world).await.0
            }
            (answer, _) => answer,
        }
    }

    async fn assign(&self, name: &Name, assigned: Registered) {
        let Registered { hub, device_id, key, .. } = assigned;
        let assignment = Assignment { hub, device_id, key, at: self.world.now() };
        let value = serde_json::to_vec(&assignment).expect("two strings and a number are always JSON");
        let note = Note { space: SPACE.to_owned(), key: name.key(), value: Some(value) };
        if let Err(e) = self.queue.write_notes(vec![note]).await {
            // Not fatal: it is used now, and asked for again after a restart.
            tracing::warn!(registration_id = name.id, error = %e, "failed to keep an assignment");
        }
        self.events.emit(Event::Assigned { registration_id: &name.id, hub: &assignment.hub });
        let mut state = self.state();
        if let Some(scope) = state.scope(name) {
            scope.assigned();
        }
        state.refused.remove(name);
        state.set(name, Some(assignment));
    }

    fn refuse(&self, applicant: &Applicant, refused: &Refused) {
        let Applicant { name, lane, .. } = applicant;
        let now = self.world.now();
        let cause = &refused.cause;
        let mut state = self.state();
        let times = state.refused.get(name).map_or(0, |r| r.times);
        let (wait, never) = patience(refused, times);
        let until = now + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX / 2);
        if let Some(scope) = state.scope(name) {
            scope.refused(name, refused.class, wait, now, self.world.random.fraction());
        }
        let (times, lane) = (times.saturating_add(1), lane.clone());
        state.remember(name, Refusal { until, cause: cause.clone(), never, times, lane });
        drop(state);
        self.events.emit(Event::RegistrationRefused { registration_id: &name.id, cause, class: refused.class.word() });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        Class::Throttled { retry_after } => (retry_after.unwrap_or(Duration::from_secs(10)), false),
        Class::Transient { retry_after } => (retry_after.max(doubling(5).min(Duration::from_secs(60))), false),
    };
    (wait.min(PATIENCE_MAX), never)
}
