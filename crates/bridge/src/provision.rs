//! In front of DPS: one registration at a time per device, paced, remembered.
//!
//! Assignments are kept durably: after a restart a known device makes no DPS call. Refusals are remembered by cause for
//! as long as asking again makes no sense. Nobody waits here with a lease in hand: a lane that needs a registration is
//! released and woken when the answer is there.

pub mod breaker;
pub mod former;
pub mod keys;
pub mod line;
pub mod pacer;
mod registrar;
pub mod scope;
pub mod standing; // what a person sees of it

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::dps::Class;
use azure::key::DeviceKey;
use azure::net::Dial;
use queue::{LeaseError, Note, Queue, UnixMillis};
use tokio::sync::OwnedSemaphorePermit;

use crate::config::{self, DpsTarget, GroupKey, Target, TargetKind};
use crate::events::{Event, Events};
use crate::identity::Name;
use crate::provision::former::{Fingerprint, Former};
use crate::provision::line::{Because, Joined};
use crate::provision::registrar::{Refused, Registered, Registrars};
use crate::provision::scope::{Progress, Scope, Step};
use crate::world::World;

/// Collection of durable notes: name → assignment.
const SPACE: &str = "assignments";
/// Collection of durable notes: name → when its registration began; gone when it is assigned. So a process that was killed
/// in the middle leaves behind what its successor needs: how much of the minute's pace is used up, and who may be
/// registered already.
const BEGUN: &str = "registrations";
/// While one device tries a group's other key, the rest look this often what came of it.
const WHILE_TRYING: Duration = Duration::from_millis(500);
/// Longest that a refusal is remembered.
const PATIENCE_MAX: Duration = Duration::from_secs(3600);
/// Refusals remembered, about 300 bytes each: 30 MB. Beyond it the half that ends sooner goes.
const REFUSALS_MAX: usize = 100_000;

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
    /// Which one that was: another may stand in its place since. None where no group has a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_with: Option<Fingerprint>,
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
    /// Whose registrar is to be asked, with whose keys.
    pub target: Arc<Target>,
    /// Woken when the answer is there. A name has one owner ([`crate::claims`]), and an owner one lane of telemetry.
    pub lane: String,
}

/// A registration that has begun. Dropping it ends it, whatever came of it: the device may ask again, and its lane looks
/// at once.
struct UnderWay {
    provision: Arc<Provision>,
    applicant: Applicant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Applicant { name, lane, .. } = &self.applicant;
        if let Some(scope) = self.provision.state().scope(name) {
            scope.line.ended(&name.id);
        }
        self.provision.queue.wake(lane);
    }
}

/// The provisioning of all targets.
#[derive(Debug)]
pub struct Provision {
    state: Mutex<State>,
    former: Mutex<Former>,
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
    scopes: BTreeMap<String, Scope>,
    /// Begun by the process before, and not known to have ended: DPS is asked what came of it first.
    begun: HashSet<Name>,
    /// When the process before began registrations, by scope; taken by the first of a scope's devices.
    begun_at: HashMap<String, Vec<UnixMillis>>,
}

#[derive(Clone, Debug)]
struct Refusal {
    until: UnixMillis,
    cause: String,
    never: bool,
    class: Class,
    times: u32,
    /// To be woken when asking makes sense earlier than that.
    lane: String,
}

impl State {
    /// There since the first of its devices asked.
    fn scope(&mut self, name: &Name) -> Option<&mut Scope> {
        self.scopes.get_mut(&name.scope)
    }

    /// The process before has, at about this time.
    fn began(&mut self, name: &Name, at: UnixMillis) {
        self.begun_at.entry(name.scope.clone()).or_default().push(at);
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

/// Whoever serves a line. Should it panic, the next device to join finds nobody serving.
struct Serving<'a> {
    provision: &'a Provision,
    scope: &'a str,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(scope) = self.provision.state().scopes.get_mut(self.scope)
        {
            scope.is_served = false;
        }
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
            if let (Some(name), Ok(assignment)) = (Name::from_key(&key), serde_json::from_slice::<Assignment>(&value)) {
                state.began(&name, assignment.at);
                state.set(&name, Some(assignment));
            }
        }
        for (key, value) in queue.notes(BEGUN).await? {
            if let (Some(name), Ok(at)) = (Name::from_key(&key), serde_json::from_slice(&value)) {
                state.began(&name, at);
                if !state.assigned.contains_key(&name) {
                    state.begun.insert(name);
                }
            }
        }
        state.begun_at.values_mut().for_each(|times| times.sort_unstable());
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            former: Mutex::default(),
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

    /// How many devices are assigned.
    pub fn assigned(&self) -> usize {
        self.state().assigned.len()
    }

    /// Whether a device stands in line or is being registered.
    pub fn is_in_line(&self, name: &Name) -> bool {
        self.state().scopes.get(&name.scope).is_some_and(|scope| scope.line.holds(&name.id))
    }

    /// How far each scope is with its new devices.
    pub fn progress(&self) -> Vec<Progress> {
        let now = self.world.now();
        self.state().scopes.iter().map(|(name, scope)| scope.progress(name, now)).collect()
    }

    /// Forgets where a device lives, so that it registers again. The durable note stays until there is a new one.
    pub fn forget(&self, name: &Name) {
        self.state().set(name, None);
    }

    /// A device that nobody registered takes messages at this hub. Not kept: it costs nothing to find out again.
    pub fn found(&self, name: &Name, hub: &str) {
        let (device_id, key) = (name.id.clone(), GroupKey::default());
        let at = self.world.now();
        let found = Assignment { hub: hub.to_owned(), device_id, key, registered_with: None, at };
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

    /// These targets may have other keys from now on.
    pub fn keep_keys(&self, targets: &BTreeMap<String, Arc<Target>>) {
        let groups = targets.values().filter_map(|target| match &target.kind {
            TargetKind::Dps(dps) => Some(dps),
            TargetKind::Policy(_) | TargetKind::Device(_) => None,
        });
        self.former.lock().unwrap_or_else(PoisonError::into_inner).keep(groups);
    }

    /// The device's own key, derived from the key of its group that it registered with; none if that is known no longer.
    pub fn device_key(&self, target: &DpsTarget, assignment: &Assignment, id: &str) -> Option<DeviceKey> {
        let former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match assignment.registered_with {
            Some(registered_with) => former.key_of(target, registered_with)?,
            None => target.key(assignment.key),
        };
        Some(azure::sas::derive_device_key(key, id))
    }

    /// Registers a device in the background, once however often it is asked for. Its lane was released before.
    pub fn start(self: &Arc<Self>, applicant: Applicant) {
        self.join(applicant, Because::MessageWaits);
    }

    /// As [`Provision::start`], for a device that has not sent anything yet: after all that have.
    pub fn ahead(self: &Arc<Self>, applicant: Applicant) -> Joined {
        self.join(applicant, Because::Asked)
    }

    fn join(self: &Arc<Self>, applicant: Applicant, because: Because) -> Joined {
        let per_minute = self.registrars.per_minute(&applicant.target);
        let mut state = self.state();
        if state.assigned.contains_key(&applicant.name) {
            drop(state);
            self.queue.wake(&applicant.lane);
            return Joined::InLine;
        }
        let name = applicant.name.scope.clone();
        let State { scopes, begun, begun_at, .. } = &mut *state;
        let new = || Scope::new(per_minute, &begun_at.remove(&name).unwrap_or_default());
        let scope = scopes.entry(name.clone()).or_insert_with(new);
        if begun.remove(&applicant.name) && scope.line.begin_at_once(&applicant.name.id) {
            drop(state);
            let this = self.clone();
            tokio::spawn(async move { this.resume(applicant, because).await });
            return Joined::InLine;
        }
        let joined = scope.line.join(applicant, because);
        let is_served = std::mem::replace(&mut scope.is_served, true);
        drop(state);
        if !is_served {
            let this = self.clone();
            tokio::spawn(async move { this.serve(&name).await });
        }
        joined
    }

    /// Asks what came of a registration that the process before began: to begin it anew would cost a second one. Looking
    /// up has no part in the pace.
    async fn resume(self: Arc<Self>, applicant: Applicant, because: Because) {
        let Some(permits) = self.state().scope(&applicant.name).map(|scope| scope.under_way.clone()) else { return };
        let Ok(_permit) = permits.acquire_owned().await else { return };
        let Applicant { name, target, .. } = &applicant;
        let key = self.key_in_use(name);
        match self.registrars.look_up(target, key, &name.id, &self.world).await {
            Some(assigned) => {
                let under_way = UnderWay { provision: self.clone(), applicant, _permit };
                self.assign(&under_way.applicant.name, &under_way.applicant.target, assigned).await;
            }
            None => {
                if let Some(scope) = self.state().scope(name) {
                    scope.line.leave(&name.id);
                }
                self.join(applicant, because);
            }
        }
    }

    /// Registers one after another until nobody stands in line.
    async fn serve(self: Arc<Self>, scope: &str) {
        let _serving = Serving { provision: &self, scope };
        let permits = self.state().scopes.get(scope).map(|scope| scope.under_way.clone());
        let Some(permits) = permits else { return };
        while let Ok(permit) = permits.clone().acquire_owned().await {
            match self.next(scope) {
                Step::Register(applicant) => {
                    let under_way = UnderWay { provision: self.clone(), applicant, _permit: permit };
                    tokio::spawn(async move { under_way.provision.register(&under_way.applicant).await });
                }
                Step::Wait(at) => {
                    drop(permit);
                    self.sleep_until(at).await;
                }
                Step::Done => return,
            }
        }
    }

    fn next(&self, name: &str) -> Step {
        let now = self.world.now();
        let mut state = self.state();
        let Some(scope) = state.scopes.get_mut(name) else { return Step::Done };
        let step = scope.next(now);
        // Under the same lock as the look at the line: who joins later finds nobody serving.
        scope.is_served = !matches!(step, Step::Done);
        let news = matches!(step, Step::Wait(_)).then(|| scope.news(name, now)).flatten();
        drop(state);
        if let Some(progress) = news {
            self.events.emit(Event::Provisioning { progress: &progress });
        }
        step
    }

    async fn register(&self, applicant: &Applicant) {
        let name = &applicant.name;
        let at = self.world.now().to_string();
        self.write(name, vec![(BEGUN, Some(at.into_bytes()))]).await;
        match Box::pin(self.ask(applicant)).await {
            Ok(assigned) => self.assign(name, &applicant.target, assigned).await,
            Err(refused) => self.refuse(applicant, &refused),
        }
    }

    /// Notes about a device. One that cannot be written is not fatal: what it says is used now, and found out again after a
    /// restart.
    async fn write(&self, name: &Name, notes: Vec<(&str, Option<Vec<u8>>)>) {
        let note = |(space, value): (&str, _)| Note { space: space.to_owned(), key: name.key(), value };
        if let Err(e) = self.queue.write_notes(notes.into_iter().map(note).collect()).await {
            tracing::warn!(registration_id = name.id, error = %e, "failed to keep what is known of a device");
        }
    }

    async fn sleep_until(&self, at: UnixMillis) {
        tokio::time::sleep(Duration::from_millis((at - self.world.now()).max(1).unsigned_abs())).await;
    }

    /// Waits for the pace (at most so many in any minute for one scope) and for a scope that works.
    async fn take_turn(&self, applicant: &Applicant) {
        loop {
            let now = self.world.now();
            let turn = self.state().scope(&applicant.name).map_or(Ok(()), |scope| scope.take(now));
            let Err(at) = turn else { return };
            self.sleep_until(at).await;
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

    fn key_in_use(&self, name: &Name) -> GroupKey {
        self.state().scope(name).map(|scope| scope.keys.in_use()).unwrap_or_default()
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
        let Applicant { name, target, .. } = applicant;
        match self.registrars.ask(target, key, &name.id, &self.world).await {
            (Err(refused), true) if refused.class == Class::Denied => {
                self.take_turn(applicant).await;
                self.registrars.ask(target, key, &name.id, &self.world).await.0
            }
            (answer, _) => answer,
        }
    }

    async fn assign(&self, name: &Name, target: &Target, assigned: Registered) {
        let Registered { hub, device_id, key, .. } = assigned;
        let at = self.world.now();
        let assignment = Assignment { hub, device_id, key, registered_with: fingerprint(target, key), at };
        let value = serde_json::to_vec(&assignment).expect("two strings and a number are always JSON");
        self.write(name, vec![(SPACE, Some(value)), (BEGUN, None)]).await;
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
        let class = refused.class;
        state.remember(name, Refusal { until, cause: cause.clone(), never, class, times, lane });
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

/// Of the group's key that this is, if a group has a part in it.
fn fingerprint(target: &Target, key: GroupKey) -> Option<Fingerprint> {
    match &target.kind {
        TargetKind::Dps(dps) => Some(Fingerprint::of(dps.key(key))),
        TargetKind::Policy(_) | TargetKind::Device(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A target as tests of this module need one.
    pub(crate) fn target() -> Arc<Target> {
        let key = "A".repeat(86) + "==";
        let text = format!(
            "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00AAAAAA\"\ngroup_key = \"{key}\"\n[[routes]]\ntarget = \"main\"\n"
        );
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let config = config::read(&text, &[], std::path::Path::new(""), &no_files).expect("usable").config;
        config.targets["main"].clone()
    }
}
