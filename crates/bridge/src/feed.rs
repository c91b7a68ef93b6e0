//! The recent past, for whoever looks. Bounded; nothing in the flow waits for it, and nothing here is promised to anybody.

pub mod journeys; // where is this message, and what became of it
pub mod networks; // what comes from whom
pub mod radio; // how is this device heard
pub mod series; // how much of everything, and when
pub mod units; // what does a hub count against its day

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lorawan::fingerprint::Fingerprint;
use serde::Serialize;

use self::journeys::{Journeys, Parcel, Stamps, State};
use self::networks::Networks;
use self::radio::{Frame, Radios};
use self::series::{Counted, Second, Series};
use self::units::Units;
use crate::device::plan::Way;
use crate::lane::DeviceKey;
use crate::world::Stamp;

/// Collects the recent past.
#[derive(Debug, Default)]
pub struct Feed {
    /// The walks of the last messages.
    pub journeys: Journeys,
    /// How devices are heard.
    pub radios: Radios,
    /// What was counted since the last tick.
    pub second: Second,
    series: Mutex<Series>,
    units: Mutex<Units>,
    networks: Mutex<Networks>,
    delivered: AtomicU64,
}

/// A message that was delivered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SeenMessage {
    /// Network, application, device.
    pub from: String,
    /// Target and device id there.
    pub to: String,
    /// Its id in IoT Hub.
    pub message_id: String,
    /// Beginning of the body.
    pub body: String,
    /// Door to acceptance, milliseconds.
    pub waited_ms: i64,
}

/// The last that was delivered.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Recent {
    /// Newest first.
    pub messages: Vec<SeenMessage>,
    /// Messages delivered since the start.
    pub delivered: u64,
}

/// A message on its way to a hub.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// Target and name there.
    pub way: &'a Arc<Way>,
    /// The hub's host name.
    pub hub: &'a Arc<str>,
    /// Its id in IoT Hub.
    pub message_id: Fingerprint,
    /// [`journeys::correlations`]
    pub correlations: &'a [u64],
    /// When the worker had it this time, and when its send began.
    pub stamps: &'a Stamps,
    /// When its device was assigned, if that was after it came.
    pub registered_at: Option<queue::UnixMillis>,
}

impl Feed {
    /// The door committed a message. What is no uplink says nothing of how its device is heard.
    pub fn accepted(&self, parcel: Parcel<'_>, [network, application]: [&str; 2], accepted: Stamp) {
        self.second.count(Counted::Accepted);
        self.networks().note(network, application, accepted.at);
        let kept = parcel
            .device
            .filter(|_| parcel.kind == "uplink_message")
            .map(|device| self.radios.came(device, parcel.accepted_at));
        let device = kept.as_ref().or(parcel.device);
        self.journeys.note(Parcel { device, ..parcel }, |journey| journey.stamps.accepted = Some(accepted));
    }

    /// A worker read an uplink.
    pub fn read(&self, device: &Arc<DeviceKey>, frame: &Frame) {
        self.radios.read(device, frame);
    }

    /// It is on its way to a hub.
    pub fn sending(&self, parcel: Parcel<'_>, passage: Passage<'_>) {
        self.journeys.note(parcel, |journey| {
            journey.state = State::BeingSent;
            journey.stamps.leased = journey.stamps.leased.or(passage.stamps.leased);
            journey.stamps.sent = passage.stamps.sent;
            journey.registered_at = passage.registered_at.or(journey.registered_at);
            journey.way = Some(passage.way.clone());
            journey.hub = Some(passage.hub.clone());
            journey.message_id = Some(passage.message_id);
            if *journey.correlations != *passage.correlations {
                journey.correlations = passage.correlations.into();
            }
        });
    }

    /// It waits for something that is not its turn.
    pub fn held(&self, parcel: Parcel<'_>, cause: &str) {
        self.journeys.note(parcel, |journey| {
            journey.state = State::Held;
            journey.cause(cause);
        });
    }

    /// A counted attempt failed.
    pub fn retried(&self, parcel: Parcel<'_>, cause: &str, now: Stamp) {
        self.journeys.note(Parcel { attempts: parcel.attempts.saturating_add(1), ..parcel }, |journey| {
            journey.state = State::Held;
            journey.retried_at = Some(now.at);
            journey.cause(cause);
        });
    }

    /// The hub has it and the queue let it go.
    pub fn delivered(&self, parcel: Parcel<'_>, passage: Passage<'_>, (body, bytes): (&[u8], usize), waited: Duration) {
        self.second.count(Counted::Delivered(waited));
        if let Some(answered) = passage.stamps.answered {
            self.units().took(passage.hub, &passage.way.target, bytes, answered.at);
        }
        self.sending(parcel, passage);
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.journeys.keep_body(parcel.seq, body);
        self.journeys.note(parcel, |journey| {
            journey.state = State::Delivered;
            journey.stamps.answered = passage.stamps.answered;
            journey.stamps.ended = passage.stamps.ended;
        });
    }

    /// It left the queue otherwise.
    pub fn ended(&self, parcel: Parcel<'_>, state: State, cause: Option<&str>, now: Stamp) {
        match state {
            State::Buried => self.second.count(Counted::Buried),
            State::Duplicate => self.second.count(Counted::Duplicate),
            _ => {}
        }
        self.journeys.note(parcel, |journey| {
            journey.state = state;
            journey.stamps.ended = Some(now);
            cause.into_iter().for_each(|cause| journey.cause(cause));
        });
    }

    /// It is back in its lane.
    pub fn replayed(&self, seq: u64, now: Stamp) {
        self.journeys.note_known(seq, |journey| {
            journey.state = State::Waiting;
            journey.stamps.ended = None;
            journey.attempts = 0;
            journey.replayed_at = Some(now.at);
        });
    }

    /// The recent past in figures.
    pub fn series(&self) -> MutexGuard<'_, Series> {
        lock(&self.series)
    }

    /// What hubs count.
    pub fn units(&self) -> MutexGuard<'_, Units> {
        lock(&self.units)
    }

    /// What comes from whom.
    pub fn networks(&self) -> MutexGuard<'_, Networks> {
        lock(&self.networks)
    }

    /// The last messages that were delivered.
    pub fn recent(&self) -> Recent {
        let last = self.journeys.last([None; 3], journeys::BODIES_MAX);
        let delivered = last.into_iter().filter(|journey| journey.state == State::Delivered);
        let message = |journey: journeys::Journey| SeenMessage {
            waited_ms: journey.took_ms().unwrap_or(0),
            from: journey.device.as_ref().map_or_else(String::new, ToString::to_string),
            to: journey.way.map_or_else(String::new, |way| format!("{}/{}", way.target, way.id)),
            message_id: journey.message_id.map_or_else(String::new, |id| id.to_string()),
            body: self.journeys.body(journey.seq).unwrap_or_default(),
        };
        Recent { messages: delivered.map(message).collect(), delivered: self.delivered.load(Ordering::Relaxed) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
