//! The walks of the last messages: when each came, was taken up, sent and answered, and what became of it.
//!
//! In memory only; what is older is asked of the queue. Bounds: [`JOURNEYS_MAX`] walks of about 700 bytes with what they hold,
//! 7 MB, and the beginnings of [`BODIES_MAX`] bodies.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lorawan::event::EventKind;
use lorawan::fingerprint::Fingerprint;
use lorawan::uplink::Uplink;
use queue::{Message, UnixMillis};

use crate::device::plan::Way;
use crate::lane::DeviceKey;
use crate::world::Stamp;

/// Walks that are remembered. A prime: positions of a shared queue have strides of their own.
pub const JOURNEYS_MAX: usize = 10_007;
/// Whoever looks for one holds one of them for some microseconds.
const SHARDS: usize = 16;
/// Bodies whose beginning is remembered.
pub const BODIES_MAX: usize = 50;
/// Bytes of each.
pub const BODY_MAX: usize = 1024;
/// Bytes of a cause: it may quote a server.
const CAUSE_MAX: usize = 300;

/// The same in every process.
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Correlation ids of a message that are remembered: The Things Stack writes five.
const CORRELATIONS_MAX: usize = 8;

/// [`hash`] of each correlation id of an uplink.
pub fn correlations(uplink: &Uplink<'_>) -> Box<[u64]> {
    let mut hashes = Vec::new();
    uplink.each_correlation_id(|id| {
        if hashes.len() < CORRELATIONS_MAX {
            hashes.push(hash(id));
        }
    });
    hashes.into()
}

/// A message, and what is known of it from outside.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// Position in the queue.
    pub seq: u64,
    /// `uplink_message` and its kin.
    pub kind: &'static str,
    /// When the door took it.
    pub accepted_at: UnixMillis,
    /// Counted attempts to send it.
    pub attempts: u32,
    /// Who sent it, where that is known.
    pub device: Option<&'a Arc<DeviceKey>>,
}

impl<'a> Parcel<'a> {
    /// Of a message in hand.
    pub fn of(message: &Message, device: Option<&'a Arc<DeviceKey>>) -> Self {
        Self {
            seq: message.seq.0,
            kind: EventKind::from_word(&message.kind).map_or("unknown", EventKind::as_str),
            accepted_at: message.accepted_at,
            attempts: message.attempts,
            device,
        }
    }
}

/// When a message was where. Unix milliseconds for a person, steady microseconds to measure between two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The door took it.
    pub accepted_at: UnixMillis,
    /// The same, where it was this process's door.
    pub accepted: Option<Stamp>,
    /// A worker had it for the first time.
    pub leased: Option<Stamp>,
    /// Its last send began.
    pub sent: Option<Stamp>,
    /// The hub answered that.
    pub answered: Option<Stamp>,
    /// What became of it was committed.
    pub ended: Option<Stamp>,
}

/// Where a message is, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// In its lane, and its turn has not come.
    #[default]
    Waiting,
    /// In its lane, until something works again or a wait is over.
    Held,
    /// On its way to the hub.
    BeingSent,
    /// The hub has it.
    Delivered,
    /// Among the dead letters.
    Buried,
    /// Of no use to Azure, set aside.
    Kept,
    /// A copy of one that was delivered: not sent.
    Duplicate,
    /// A route drops it on purpose.
    Dropped,
}

impl State {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::BeingSent => "being_sent",
            Self::Delivered => "delivered",
            Self::Buried => "buried",
            Self::Kept => "kept",
            Self::Duplicate => "duplicate",
            Self::Dropped => "dropped",
        }
    }

    /// It is in the queue no more.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Waiting | Self::Held | Self::BeingSent)
    }
}

/// One message's walk, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Journey {
    /// Position in the queue.
    pub seq: u64,
    /// `uplink_message` and its kin.
    pub kind: &'static str,
    /// Who sent it, where that is known.
    pub device: Option<Arc<DeviceKey>>,
    /// Where it is.
    pub state: State,
    /// When it was where.
    pub stamps: Stamps,
    /// A registration that was made for it.
    pub registered_at: Option<UnixMillis>,
    /// The last counted attempt failed then.
    pub retried_at: Option<UnixMillis>,
    /// It came back from the dead letters.
    pub replayed_at: Option<UnixMillis>,
    /// Target and name there.
    pub way: Option<Arc<Way>>,
    /// The hub's host name.
    pub hub: Option<Arc<str>>,
    /// Its id in IoT Hub.
    pub message_id: Option<Fingerprint>,
    /// Counted attempts that failed.
    pub attempts: u32,
    /// Why it is held, failed last, or was buried.
    pub last_cause: Option<Box<str>>,
    /// [`correlations`] of an uplink.
    pub correlations: Box<[u64]>,
    /// Rises with each change of any of them.
    pub(crate) touched: u64,
}

impl Journey {
    /// Why it stands where it stands. Cut where it is long.
    pub fn cause(&mut self, cause: &str) {
        let mut end = cause.len().min(CAUSE_MAX);
        while !cause.is_char_boundary(end) {
            end -= 1;
        }
        self.last_cause = Some(cause[..end].into());
    }

    /// From the door to its end, by the wall's clock.
    pub fn took_ms(&self) -> Option<i64> {
        self.stamps.ended.map(|ended| (ended.at - self.stamps.accepted_at).max(0))
    }

    fn is_of(&self, device: &[Option<&str>; 3]) -> bool {
        let [network, application, id] = device;
        let is = |wanted: &Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        match &self.device {
            Some(found) => is(network, &found.network) && is(application, &found.application) && is(id, &found.device),
            None => device.iter().all(Option::is_none),
        }
    }
}

type Shard = Vec<Option<Box<Journey>>>;

/// All that are remembered: each at the place that its position gives, where it takes the room of an earlier one.
#[derive(Debug)]
pub struct Journeys {
    shards: [Mutex<Shard>; SHARDS],
    touches: AtomicU64,
    bodies: Mutex<VecDeque<(u64, Box<[u8]>)>>,
}

impl Default for Journeys {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, touches: AtomicU64::new(0), bodies: Mutex::default() }
    }
}

impl Journeys {
    /// Something happened to a message, whether it is remembered or not.
    pub fn note(&self, parcel: Parcel<'_>, change: impl FnOnce(&mut Journey)) {
        self.change(parcel.seq, |place| {
            let journey = place.get_or_insert_default();
            if journey.seq != parcel.seq || journey.kind.is_empty() {
                let stamps = Stamps { accepted_at: parcel.accepted_at, ..Stamps::default() };
                **journey = Journey { seq: parcel.seq, kind: parcel.kind, stamps, ..Journey::default() };
            }
            if journey.device.is_none() {
                journey.device = parcel.device.cloned();
            }
            journey.attempts = journey.attempts.max(parcel.attempts);
            change(journey);
            Some(journey)
        });
    }

    /// Something happened to a message of which nothing but its position is at hand: nothing where it is not remembered.
    pub fn note_known(&self, seq: u64, change: impl FnOnce(&mut Journey)) {
        self.change(seq, |place| {
            let journey = place.as_mut().filter(|journey| journey.seq == seq)?;
            change(journey);
            Some(journey)
        });
    }

    fn change(&self, seq: u64, change: impl FnOnce(&mut Option<Box<Journey>>) -> Option<&mut Box<Journey>>) {
        let at = usize::try_from(seq % JOURNEYS_MAX as u64).unwrap_or(0);
        let mut shard = lock(&self.shards[at % SHARDS]);
        if shard.is_empty() {
            shard.resize_with(JOURNEYS_MAX.div_ceil(SHARDS), || None);
        }
        if let Some(journey) = change(&mut shard[at / SHARDS]) {
            journey.touched = self.touches.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps the beginning of a body.
    pub fn keep_body(&self, seq: u64, body: &[u8]) {
        let beginning = body[..body.len().min(BODY_MAX)].into();
        let mut bodies = lock(&self.bodies);
        if bodies.len() == BODIES_MAX {
            bodies.pop_front();
        }
        bodies.push_back((seq, beginning));
    }

    /// The beginning of a body, where it is among the last.
    pub fn body(&self, seq: u64) -> Option<String> {
        let bodies = lock(&self.bodies);
        let (_, body) = bodies.iter().rev().find(|(of, _)| *of == seq)?;
        Some(String::from_utf8_lossy(body).into_owned())
    }

    /// The one at this position.
    pub fn of(&self, seq: u64) -> Option<Journey> {
        let at = usize::try_from(seq % JOURNEYS_MAX as u64).unwrap_or(0);
        let shard = lock(&self.shards[at % SHARDS]);
        shard.get(at / SHARDS)?.as_deref().filter(|journey| journey.seq == seq).cloned()
    }

    /// Those that are meant by a position, a message id or a correlation id; newest first, `limit` at the most.
    pub fn find(&self, id: &str, limit: usize) -> Vec<Journey> {
        let (seq, hashed) = (id.parse::<u64>().ok(), hash(id));
        let message_id = message_id(id);
        self.select(limit, |journey| {
            Some(journey.seq) == seq
                || (message_id.is_some() && journey.message_id == message_id)
                || journey.correlations.contains(&hashed)
        })
    }

    /// Those of a network, an application, a device, each if it is given; newest first, `limit` at the most.
    pub fn last(&self, device: [Option<&str>; 3], limit: usize) -> Vec<Journey> {
        self.select(limit, |journey| journey.is_of(&device))
    }

    /// How far back they reach: the earliest time at which one of them was accepted.
    pub fn since(&self) -> Option<UnixMillis> {
        let first = |shard: &Mutex<Shard>| lock(shard).iter().flatten().map(|journey| journey.stamps.accepted_at).min();
        self.shards.iter().filter_map(first).min()
    }

    /// Copies what may be among the `limit` newest, a piece at a time.
    fn select(&self, limit: usize, is_wanted: impl Fn(&Journey) -> bool) -> Vec<Journey> {
        let mut newest: Vec<Journey> = Vec::new();
        for shard in &self.shards {
            let mut piece: Vec<Journey> =
                lock(shard).iter().flatten().filter(|journey| is_wanted(journey)).map(|one| (**one).clone()).collect();
            newest.append(&mut piece);
            newest.sort_unstable_by_key(|journey| std::cmp::Reverse(journey.touched));
            newest.truncate(limit);
        }
        newest
    }
}

/// The other way round than it is written.
fn message_id(text: &str) -> Option<Fingerprint> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(Fingerprint(number.to_be_bytes()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(seq: u64, device: Option<&Arc<DeviceKey>>) -> Parcel<'_> {
        Parcel { seq, kind: "uplink_message", accepted_at: 1_000 + seq.cast_signed(), attempts: 0, device }
    }

    fn device(id: &str) -> Arc<DeviceKey> {
        Arc::new(DeviceKey { network: "ttn".into(), application: "building".into(), device: id.into() })
    }

    #[test]
    fn a_walk_is_found_by_position_message_id_and_correlation_id() {
        let (journeys, dev) = (Journeys::default(), device("dev-1"));
        journeys.note(parcel(7, Some(&dev)), |_| {});
        journeys.note(parcel(7, None), |journey| {
            journey.message_id = Some(Fingerprint([0xab; 16]));
            journey.correlations = [hash("gs:uplink:01H")].into();
            journey.state = State::Delivered;
        });
        journeys.note(parcel(8, Some(&dev)), |_| {});
        let message_id = Fingerprint([0xab; 16]).to_string();
        for id in ["7", &message_id, "gs:uplink:01H"] {
            let found = journeys.find(id, 10);
            assert_eq!(
                found.iter().map(|one| (one.seq, one.state)).collect::<Vec<_>>(),
                [(7, State::Delivered)],
                "{id}"
            );
            assert_eq!(found[0].device.as_deref(), Some(&*dev), "known since the door");
        }
        assert!(journeys.find("gs:uplink:01", 10).is_empty());
        assert_eq!(journeys.since(), Some(1_007));
    }

    #[test]
    fn newest_come_first_and_the_oldest_make_room() {
        let (journeys, one, two) = (Journeys::default(), device("1"), device("2"));
        let last = JOURNEYS_MAX as u64 + 3;
        for seq in 1..=last {
            journeys.note(parcel(seq, Some(if seq % 2 == 0 { &two } else { &one })), |_| {});
        }
        assert!(journeys.of(1).is_none() && journeys.of(3).is_none(), "their places are taken");
        assert_eq!(journeys.of(last).map(|journey| journey.seq), Some(last));
        journeys.note(parcel(100, None), |journey| journey.state = State::Held);
        let seqs = |found: Vec<Journey>| found.iter().map(|journey| journey.seq).collect::<Vec<_>>();
        assert_eq!(seqs(journeys.last([None; 3], 3)), [100, last, last - 1], "by their last step");
        assert_eq!(seqs(journeys.last([None, Some("building"), Some("1")], 2)), [last - 1, last - 3]);
        assert!(journeys.last([Some("other"), None, None], 5).is_empty());
    }

    #[test]
    fn only_the_last_bodies_are_kept_and_only_their_beginning() {
        let journeys = Journeys::default();
        for seq in 0..=BODIES_MAX as u64 {
            journeys.keep_body(seq, &vec![b'x'; 10 * BODY_MAX]);
        }
        assert_eq!(journeys.body(0), None);
        assert_eq!(journeys.body(1).map(|body| body.len()), Some(BODY_MAX));
    }

    #[test]
    fn a_cause_is_cut_between_characters() {
        let mut journey = Journey::default();
        journey.cause(&"é".repeat(CAUSE_MAX));
        assert_eq!(journey.last_cause.as_deref(), Some(&*"é".repeat(CAUSE_MAX / 2)));
    }
}
