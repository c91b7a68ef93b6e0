//! One worker per active device: one select, one enum of everything that can happen to it.
//!
//! Only the worker settles a device's leases. What to do is decided in [`plan`](mod@plan) and [`decide`], which cannot wait;
//! this file carries it out. A worker holds at most one telemetry message at a time and never waits for DPS or for a hub
//! that is down: it gives the lease back and ends when nothing happens for a while.

pub mod decide;
pub mod plan;
mod whereabouts;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use azure::hub::{SendError, Why};
use lorawan::fingerprint::Fingerprint;
use queue::{Lease, LeaseError, Message, Queue, Reason, Retry, Seen, Settle, Tenancy, UnixMillis};
use tokio::sync::mpsc;

use crate::claims::{Claims, NotOurs};
use crate::config::Config;
use crate::device::decide::{Effect, Moment, Remedies, after_send};
use crate::device::plan::{Outbound, Plan, plan};
use crate::device::whereabouts::{Place, Whereabouts};
use crate::events::{Event, Events};
use crate::feed::Passage;
use crate::feed::journeys::{Parcel, Stamps};
use crate::gate::{Admission, Sign};
use crate::head::Head;
use crate::identity::Name;
use crate::lane::{DeviceKey, Lane};
use crate::pool::{Hub, Pool, Turn};
use crate::provision::breaker::Verdict;
use crate::provision::{Applicant, Provision};
use crate::reason::reason;
use crate::suspects::{Deadly, Suspects};
use crate::swap::Swap;
use crate::tenancies::Tenancies;
use crate::uplink::Telemetry;
use crate::webhook::sort::sort_again;
use crate::world::{Point, World};

/// A worker without anything to do for this long ends. Its state is small and comes back from the queue.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Copies of a message are recognised among this many, and this long (product.md, Duplicates).
const SEEN_MAX: usize = 64;
const SEEN_AGE_MAX: UnixMillis = 24 * 3600 * 1000;
/// A wait of nothing would come round as fast as the machine can.
const REST_MIN: Duration = Duration::from_millis(1);
/// A resting lane looks by itself this often, should a wake-up be missed.
const REST_MAX: Duration = Duration::from_secs(60);
/// When the disk cannot be read or written, or the device has become another process's: again after this long.
const AFTER_DISK: Duration = Duration::from_secs(1);

/// Everything that can happen to a device.
#[derive(Debug)]
pub enum Happening {
    /// An uplink is to be sent.
    Telemetry(Lease),
    /// The network reports something else about it.
    NetworkEvent(Lease),
    /// Nobody knew whose it was; it came back from the dead letters.
    Unsorted(Lease),
}

/// What all workers share.
#[derive(Debug)]
pub struct Shared {
    /// Routes and targets, as they stand now.
    pub config: Arc<Swap<Config>>,
    /// Who owns which name.
    pub claims: Claims,
    /// Where devices live.
    pub provision: Arc<Provision>,
    /// What of both is up to date.
    pub tenancies: Tenancies,
    /// Hubs.
    pub pool: Arc<Pool>,
    /// Wake-ups and what was seen.
    pub queue: Queue,
    /// Clock and random source.
    pub world: World,
    /// What breaks whoever reads it.
    pub suspects: Suspects,
    /// Facts.
    pub events: Events,
}

/// What came of a send; nothing was sent where the device had become another process's.
type Sent = (Lease, Box<Outbound>, Arc<Hub>, Option<Result<(), SendError>>);
type Sending = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// The worker of one device.
pub struct Worker {
    shared: Arc<Shared>,
    /// Under which right it has read what follows.
    tenancy: Option<Tenancy>,
    seen: Option<VecDeque<Seen>>,
    remedies: Remedies,
    sending: Option<Sending>,
    /// Under which name it asked where it lives, and the hub that could not be reached then.
    asked_about: Option<(Name, String)>,
}

impl Worker {
    /// A worker that knows nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tenancy: None, seen: None, remedies: Remedies::default(), sending: None, asked_about: None }
    }

    /// Runs until nothing has happened for a while or its mailbox is closed; finishes what it holds.
    pub async fn run(mut self, mut mailbox: mpsc::Receiver<Box<Happening>>) {
        loop {
            tokio::select! {
                biased; // the same order in every run
                (lease, outbound, hub, outcome) = sent(&mut self.sending) => {
                    self.sending = None;
                    match outcome {
                        Some(outcome) => self.after(lease, outbound, hub, outcome).await,
                        None => self.shared.later(lease, &hub, AFTER_DISK),
                    }
                }
                happening = mailbox.recv(), if self.sending.is_none() || !mailbox.is_closed() => match happening {
                    Some(happening) => self.handle(*happening).await,
                    None if self.sending.is_none() => return,
                    None => {}
                },
                () = tokio::time::sleep(IDLE_MAX), if self.sending.is_none() => {
                    mailbox.close(); // what is in it already is still handled
                }
            }
        }
    }

    async fn handle(&mut self, happening: Happening) {
        let lease = match happening {
            Happening::Telemetry(lease) | Happening::NetworkEvent(lease) => lease,
            Happening::Unsorted(lease) => return self.shared.sort_again(lease).await,
        };
        self.shared.world.point(Point::DeviceLeased).await;
        if !self.enter(&lease).await {
            return lease.release_for(AFTER_DISK);
        }
        let leased = self.shared.world.stamp();
        let planned = match self.shared.read(lease.message(), |message| plan(message, &self.shared.config.get())) {
            Ok(planned) => planned,
            Err(deadly) => return self.shared.bury_deadly(lease, deadly).await,
        };
        let owner = planned.owner.as_ref();
        if let (Some(device), Some(frame)) = (owner, &planned.frame) {
            self.shared.events.emit(Event::Heard { device, frame });
        }
        match planned.plan {
            Plan::Keep(kind) => self.shared.keep(lease, owner, kind).await,
            Plan::Bury(reason) => self.shared.bury(lease, reason).await,
            Plan::Drop(route) => self.shared.drop_on_purpose(lease, owner, &route).await,
            Plan::Send(mut outbound) => {
                outbound.stamps.leased = Some(leased);
                self.telemetry(lease, outbound).await;
            }
        }
    }

    /// Whether it is ours to look at. What was known under an earlier right may not be all.
    async fn enter(&mut self, lease: &Lease) -> bool {
        let Ok(Some(tenancy)) = self.shared.enter(&lease.message().lane).await else { return false };
        if self.tenancy.replace(tenancy) != Some(tenancy) {
            (self.seen, self.remedies) = (None, Remedies::default());
        }
        true
    }

    async fn telemetry(&mut self, lease: Lease, outbound: Box<Outbound>) {
        if self.sending.is_some() {
            // The device has gone and come back meanwhile: first let us hear what came of its message.
            return lease.release_for(AFTER_DISK);
        }
        match self.seen_before(&lease, &outbound.telemetry).await {
            // Whoever replays it wants it to be sent, also when a copy of it was.
            Ok(Some(_)) if lease.message().replays > 0 => {}
            Ok(None) => {}
            Ok(Some(seen)) => return self.shared.settle_duplicate(lease, &outbound, seen).await,
            Err(_) => return lease.release_for(AFTER_DISK),
        }
        self.shared.world.point(Point::DevicePlanned).await;
        if let Some(lease) = self.shared.claim(lease, &outbound.way.name(), &outbound).await {
            self.forward(lease, outbound).await;
        }
    }

    /// Sends, or gives the lease back until sending makes sense.
    async fn forward(&mut self, lease: Lease, outbound: Box<Outbound>) {
        let whereabouts = self.shared.whereabouts(&outbound);
        self.go(lease, outbound, whereabouts).await;
    }

    async fn go(&mut self, lease: Lease, outbound: Box<Outbound>, whereabouts: Whereabouts) {
        match whereabouts {
            // Several scopes and policies may lead to one hub, so the name has to be theirs there as well.
            Whereabouts::At(place) => {
                if let Some(lease) = self.shared.claim(lease, &place.name(), &outbound).await {
                    self.send(lease, outbound, place).await;
                }
            }
            Whereabouts::Held { cause, never: true, .. } => {
                self.shared.bury(lease, reason("registration_refused", &cause)).await;
            }
            Whereabouts::Held { wait, cause, .. } => self.shared.hold(lease, &outbound, wait, &cause),
            Whereabouts::Unknown => self.shared.register(lease, *outbound),
        }
    }

    async fn send(&mut self, lease: Lease, outbound: Box<Outbound>, place: Place) {
        let hub = self.shared.pool.hub(&place.hub).await;
        let name = outbound.way.name();
        if let Some((_, before)) = self.asked_about.take_if(|(asked, _)| *asked == name)
            && before != place.hub
        {
            self.shared.pool.left(&before).await;
        }
        if place.assigned_at.is_some_and(|at| self.shared.pool.is_left(&hub, at)) {
            return self.ask_where(lease, outbound, &hub);
        }
        if self.shared.pool.admit(&hub) == Admission::Rest {
            return self.shared.rest(lease, &outbound, &hub);
        }
        if place.assigned_at.is_some() && self.shared.pool.take_question(&hub) {
            self.shared.pool.untried(&hub);
            self.asked_about = Some((name, place.hub));
            return self.ask_where(lease, outbound, &hub);
        }
        if let Turn::In(wait) = self.shared.pool.turn(&hub, &place.device_id) {
            return self.shared.later(lease, &hub, wait);
        }
        let (shared, mut outbound) = (self.shared.clone(), outbound);
        self.sending = Some(Box::pin(async move {
            shared.world.point(Point::DeviceBeforeSend).await;
            // Also one that was handed out under an earlier right: another may have sent it since, and what follows it.
            if !lease.is_current() || !shared.pool.lodges(&lease.message().lane, &hub, &place.device_id) {
                return (lease, outbound, hub, None);
            }
            outbound.stamps.sent = Some(shared.world.stamp());
            let parcel = Parcel::of(lease.message(), Some(&outbound.owner));
            let registered_at = place.assigned_at.filter(|at| *at >= outbound.stamps.accepted_at);
            let passage = Passage { registered_at, ..outbound.passage(&hub) };
            shared.events.emit(Event::Sending { parcel, passage });
            let outcome = shared.pool.send(&hub, &place.device_id, &place.signer, &outbound.telemetry.message).await;
            outbound.stamps.answered = Some(shared.world.stamp());
            (lease, outbound, hub, Some(outcome))
        }));
    }

    /// The hub cannot be reached: it may be no more where the device lives.
    fn ask_where(&self, lease: Lease, outbound: Box<Outbound>, hub: &Hub) {
        self.shared.pool.forget(hub.host(), &outbound.way.id);
        self.shared.provision.forget(&outbound.way.name());
        self.shared.register(lease, *outbound);
    }

    async fn after(&mut self, lease: Lease, outbound: Box<Outbound>, hub: Arc<Hub>, outcome: Result<(), SendError>) {
        let is_missing = matches!(&outcome, Err(error) if error.why == Why::NotFound);
        let (now, attempts) = (self.shared.world.now(), lease.message().attempts);
        let moment = Moment {
            now,
            attempts,
            can_register: outbound.can_register(is_missing),
            jitter: self.shared.world.random.fraction(("retry", &outbound.way.id, now)),
        };
        let is_registered_again = self.remedies.registered;
        match after_send(outcome, &mut self.remedies, moment) {
            Effect::Settle => {
                if is_registered_again {
                    self.shared.pool.registering_helped(&hub, &outbound.way.id);
                }
                self.delivered(lease, &outbound, &hub).await;
            }
            Effect::Bury(reason) => self.shared.bury(lease, reason).await,
            Effect::Retry(wait, cause) => self.shared.retry(lease, &outbound, wait, cause).await,
            Effect::Refused(wait, cause) => {
                self.shared.refused(&hub, &outbound, &cause);
                self.shared.retry(lease, &outbound, wait, cause).await;
            }
            Effect::NotYet(wait) => self.shared.later(lease, &hub, wait),
            Effect::Stolen(wait, cause) => {
                self.shared.events.emit(Event::DeviceStolen { device: &outbound.way.id, wait, cause: &cause });
                self.shared.retry(lease, &outbound, wait, cause).await;
            }
            Effect::RetryHubDown(wait, asked, cause) => {
                let sign = asked.map_or(Sign::Doubtful(&outbound.way.id), |asked| Sign::Certain(Some(asked)));
                self.shared.pool.failed(&hub, sign, &cause);
                self.shared.retry(lease, &outbound, wait, cause).await;
            }
            Effect::HubDown(asked, cause) => {
                self.shared.pool.failed(&hub, Sign::Certain(asked), &cause);
                self.shared.rest(lease, &outbound, &hub);
            }
            Effect::Throttled(asked, cause) => {
                self.shared.pool.failed(&hub, Sign::Throttled(asked), &cause);
                self.shared.rest(lease, &outbound, &hub);
            }
            Effect::FreshToken => self.forward(lease, outbound).await,
            Effect::RegisterAgain(cause) => self.register_again(lease, outbound, &hub, cause).await,
            Effect::Moved => self.look_anew(lease, outbound, &hub).await,
        }
    }

    async fn register_again(&mut self, lease: Lease, outbound: Box<Outbound>, hub: &Hub, cause: String) {
        let is_expected = self.shared.is_new(&outbound) || self.shared.has_former_key(&outbound);
        if is_expected || self.shared.refused(hub, &outbound, &cause) == Verdict::Single {
            return self.look_anew(lease, outbound, hub).await;
        }
        self.remedies = Remedies::default(); // not taken: the breaker is open
        self.shared.retry(lease, &outbound, decide::HOLD, cause).await;
    }

    /// Where the device lives is asked anew.
    async fn look_anew(&mut self, lease: Lease, outbound: Box<Outbound>, hub: &Hub) {
        self.shared.pool.forget(hub.host(), &outbound.way.id);
        self.shared.provision.forget(&outbound.way.name());
        let whereabouts = self.shared.whereabouts_as_registered(&outbound);
        self.go(lease, outbound, whereabouts).await;
    }

    async fn delivered(&mut self, lease: Lease, outbound: &Outbound, hub: &Hub) {
        if self.shared.is_new(outbound) {
            self.shared.provision.found(&outbound.way.name(), hub.host());
        }
        self.shared.world.point(Point::DeviceAccepted).await;
        let seen = Seen { key: outbound.telemetry.fingerprint, at: self.shared.world.now() };
        self.shared.settle(lease, outbound, hub, seen).await;
        // Also when that failed: the message comes again, and the hub has it. What is not read yet is read with it.
        let Some(list) = &mut self.seen else { return };
        list.push_back(seen);
        while list.len() > SEEN_MAX {
            list.pop_front();
        }
    }

    async fn seen_before(&mut self, lease: &Lease, telemetry: &Telemetry) -> Result<Option<Seen>, LeaseError> {
        let now = self.shared.world.now();
        let list = match &self.seen {
            Some(list) => list,
            None => self.seen.insert(self.shared.queue.seen(&lease.message().lane).await?.into()),
        };
        Ok(list.iter().find(|seen| seen.key == telemetry.fingerprint && now - seen.at < SEEN_AGE_MAX).copied())
    }
}

/// Pending while nothing is being sent.
async fn sent(sending: &mut Option<Sending>) -> Sent {
    match sending {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

impl Outbound {
    /// For whoever follows its walk.
    fn passage<'a>(&'a self, hub: &'a Hub) -> Passage<'a> {
        Passage {
            way: &self.way,
            hub: hub.name(),
            message_id: Fingerprint(self.telemetry.fingerprint),
            correlations: &self.correlations,
            stamps: &self.stamps,
            registered_at: None,
        }
    }
}

impl Shared {
    /// One of many that are refused at once, or the only one?
    fn refused(&self, hub: &Hub, outbound: &Outbound, cause: &str) -> Verdict {
        let known = self.provision.devices_of(hub.host());
        let lane = Lane::Telemetry((*outbound.owner).clone()).to_string();
        self.pool.refused(hub, &outbound.way.id, &lane, known, &format!("{cause}; {}", outbound.likely_cause()))
    }

    /// The lane is woken when there is an answer.
    fn register(&self, lease: Lease, outbound: Outbound) {
        let lane = lease.message().lane.clone();
        self.hold(lease, &outbound, REST_MAX, "its device is being registered");
        self.provision.start(Applicant { name: outbound.way.name(), target: outbound.target, lane });
    }

    /// Nobody waits with a message in hand, and nobody keeps others from trying the hub meanwhile.
    fn later(&self, lease: Lease, hub: &Hub, wait: Duration) {
        self.pool.untried(hub);
        lease.release_for(wait.clamp(REST_MIN, REST_MAX));
    }

    /// Not its turn for a reason that a person may want to know.
    fn hold(&self, lease: Lease, outbound: &Outbound, wait: Duration, cause: &str) {
        let parcel = Parcel::of(lease.message(), Some(&outbound.owner));
        self.events.emit(Event::Held { parcel, cause });
        lease.release_for(wait);
    }

    fn rest(&self, lease: Lease, outbound: &Outbound, hub: &Hub) {
        let lane = lease.message().lane.clone();
        self.hold(lease, outbound, REST_MAX, "its hub does not work, or takes no more for now");
        self.pool.rest(hub, &lane);
    }

    /// Whatever may break over a message, in the sight of [`Suspects`].
    fn read<T>(&self, message: &Message, read: impl FnOnce(&Message) -> T) -> Result<T, Deadly> {
        let _reading = self.suspects.read(message.seq)?;
        self.world.reads(message);
        Ok(read(message))
    }

    async fn bury_deadly(&self, lease: Lease, deadly: Deadly) {
        let seq = lease.message().seq;
        self.bury(lease, reason("worker_broke", &deadly)).await;
        self.suspects.forget(seq);
    }

    /// Perhaps it is understood by now. Then it begins its life where it belongs, with the time at which it was accepted.
    async fn sort_again(&self, lease: Lease) {
        let sort = |message: &Message| sort_again(&Head::read(&message.head).unwrap_or_default(), &message.body);
        let put = match self.read(lease.message(), sort) {
            Ok(Ok(sorted)) => sorted.into_put(lease.message().accepted_at),
            Ok(Err(reason)) => return self.bury(lease, reason).await,
            Err(deadly) => return self.bury_deadly(lease, deadly).await,
        };
        match self.queue.put(put).await {
            Ok(_) => drop(self.done(lease.settle(Settle::default()).await)),
            Err(_) => lease.release_for(REST_MAX),
        }
    }

    async fn keep(&self, lease: Lease, owner: Option<&Arc<DeviceKey>>, kind: &'static str) {
        self.world.point(Point::DeviceBeforeKeep).await;
        let parcel = Parcel::of(lease.message(), owner);
        if self.done(lease.keep().await) {
            self.events.emit(Event::Kept { parcel, kind });
        }
    }

    /// Takes the name for the message's device. `None`: it belongs to another, or the disk refused, and the lease is dealt with.
    async fn claim(&self, lease: Lease, name: &Name, outbound: &Outbound) -> Option<Lease> {
        match self.claims.claim(name, &outbound.owner).await {
            Ok(()) => return Some(lease),
            Err(taken @ NotOurs::Taken(_)) => self.bury(lease, reason("identity_conflict", &taken)).await,
            Err(NotOurs::Disk(_)) => lease.release_for(AFTER_DISK),
        }
        None
    }

    async fn bury(&self, lease: Lease, reason: Reason) {
        self.world.point(Point::DeviceBeforeBury).await;
        let message = lease.message().clone();
        if self.done(lease.bury(reason.clone(), Settle::default()).await) {
            let head = Head::read(&message.head).unwrap_or_default();
            let owner = DeviceKey::of(&head).map(Arc::new);
            self.events.emit(Event::Buried {
                parcel: Parcel::of(&message, owner.as_ref()),
                reason: &reason.code,
                network: &head.network,
                application: head.application.as_deref().unwrap_or("-"),
                device: head.device.as_deref().unwrap_or("-"),
                detail: &reason.detail,
            });
        }
    }

    async fn drop_on_purpose(&self, lease: Lease, owner: Option<&Arc<DeviceKey>>, route: &str) {
        let parcel = Parcel::of(lease.message(), owner);
        if self.done(lease.settle(Settle::default()).await) {
            self.events.emit(Event::Dropped { parcel, route });
        }
    }

    async fn retry(&self, lease: Lease, outbound: &Outbound, wait: Duration, cause: String) {
        let freeze = serde_json::to_vec(&*outbound.way).ok();
        let parcel = Parcel::of(lease.message(), Some(&outbound.owner));
        self.events.emit(Event::Retried { parcel, device: &outbound.way.id, cause: &cause, wait });
        self.world.point(Point::DeviceBeforeRetry).await;
        if self.done(lease.retry(Retry { wait, cause, freeze }).await) {
            self.world.point(Point::DeviceRetried).await;
        }
    }

    async fn settle(&self, lease: Lease, outbound: &Outbound, hub: &Hub, seen: Seen) {
        let parcel = Parcel::of(lease.message(), Some(&outbound.owner));
        let waited = (seen.at - parcel.accepted_at).max(0);
        if self.done(lease.settle(Settle { seen: Some(seen), notes: Vec::new() }).await) {
            self.world.point(Point::DeviceSettled).await;
            let message = &outbound.telemetry.message;
            let stamps = Stamps { ended: Some(self.world.stamp()), ..outbound.stamps };
            let passage = Passage { stamps: &stamps, ..outbound.passage(hub) };
            self.events.emit(Event::Delivered {
                parcel,
                owner: &outbound.owner,
                passage,
                message_id: &message.message_id,
                body: &message.body,
                bytes: message.bytes(),
                waited: Duration::from_millis(waited.unsigned_abs()),
            });
        }
    }

    /// `seen` is committed with it, because the first copy's settling may have failed.
    async fn settle_duplicate(&self, lease: Lease, outbound: &Outbound, seen: Seen) {
        let parcel = Parcel::of(lease.message(), Some(&outbound.owner));
        if self.done(lease.settle(Settle { seen: Some(seen), notes: Vec::new() }).await) {
            self.events.emit(Event::Duplicate {
                parcel,
                owner: &outbound.owner,
                message_id: &outbound.telemetry.message.message_id,
            });
        }
    }

    /// The queue hands a message out again whose outcome could not be committed; that is all there is to do.
    fn done(&self, result: Result<(), LeaseError>) -> bool {
        if let Err(error) = &result {
            self.events.emit(Event::NotSettled { cause: &error.to_string() });
        }
        result.is_ok()
    }
}
