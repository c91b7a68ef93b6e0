//! An application with its devices: inputs in, events for the webhook out.
//!
//! PURE: time is handed in, ids are counted, devices stand in the order of their names.
//!
//! Sources for what happens when: `pkg/applicationserver/applicationserver.go` (queue operations, missing
//! acknowledgements) and `pkg/networkserver/{downlink,grpc_asns,grpc_gsns}.go` of The Things Stack 3.32.1.

mod air; // windows, transmissions, acknowledgements
mod owner; // devices made, joined, removed
mod push; // what is handed in for a device

pub(crate) use owner::is_id;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::device::{Device, DeviceSetup, DeviceView};
use crate::downlink::Downlink;
use crate::event::{Event, written};
use crate::faults::{Armed, Fate, Fault, Trouble};
use crate::ids::Ids;
use crate::radio::{Class, DataRate, Transmission};
use crate::refusal::Refusal;

/// Devices of one application; with empty queues about a KiB each.
pub const DEVICES_MAX: usize = 10_000;
/// Downlinks that wait for one session, as the Network Server has it by default.
pub const QUEUE_CAPACITY: usize = 10_000;
/// Downlinks that wait for all devices together, at half a KiB each as a rule: 50 MiB.
pub const QUEUED_MAX: usize = 100_000;
/// Transmissions that are kept, at half a KiB each as a rule: 50 MiB. With as many and as long ids as there may be it
/// is 4 KiB each.
pub const JOURNAL_MAX: usize = 100_000;
/// Events that are kept, at 2 KiB each as a rule: 8 MiB. With ids and objects as long as there may be it is 25 KiB
/// each.
pub const EVENTS_MAX: usize = 4_000;
/// Events that are held back by faults at once, as many as are kept.
pub const HELD_BACK_MAX: usize = 4_000;

/// What happens to an application.
#[derive(Clone, Debug)]
pub enum Input {
    /// Behind what waits.
    Push {
        /// For whom.
        device: String,
        /// All or none.
        downlinks: Vec<Downlink>,
    },
    /// Instead of what waits; that goes without an event.
    Replace {
        /// For whom.
        device: String,
        /// All or none.
        downlinks: Vec<Downlink>,
    },
    /// A device sends.
    Uplink(Uplink),
    /// A device's uplinks acknowledge from now on, or do not.
    Acknowledges {
        /// Who.
        device: String,
        /// Whether.
        acknowledges: bool,
    },
    /// There is a new device.
    Add(DeviceSetup),
    /// It is deleted, and its queue with it.
    Remove(String),
    /// It joins: a new session, to which the queue moves.
    Join(String),
    /// Its session is gone, and its queue with it.
    Leave(String),
    /// Its queue is thrown away and told of, as where the caller encrypts.
    Invalidate(String),
    /// Trouble to come.
    Arm(Fault),
    /// No trouble any more.
    Disarm,
    /// Nothing else.
    TimePasses,
}

/// A frame of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uplink {
    /// Who; in the control API the address says it.
    pub device: String,
    /// 0: nothing of the application's.
    pub f_port: u32,
    /// Its bytes, base64.
    pub frm_payload: String,
    /// How fast; the first window answers as fast.
    pub data_rate: DataRate,
    /// It asks for an acknowledgement, which the server gives and nobody sees.
    pub confirmed: bool,
    /// It acknowledges; none: as the device does.
    pub ack: Option<bool>,
}

/// What came of an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What who asked gets.
    pub answer: Result<(), Refusal>,
    /// What is posted now, in this order.
    pub events: Vec<Event>,
}

/// An event and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    /// From 1, without gaps.
    pub number: u64,
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// A fault took it: it was not posted.
    pub is_lost: bool,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// How the server is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// See [`QUEUE_CAPACITY`].
    pub queue_capacity: usize,
    /// How often a confirmed downlink is sent if the caller does not say.
    pub default_attempts: u32,
    /// What the caller may say at most.
    pub attempts_max: u32,
    /// How long a class C device has for its acknowledgement before the next confirmed one goes, ms.
    pub class_c_timeout_ms: i64,
}

impl Default for Limits {
    /// The Stack's own.
    fn default() -> Self {
        Self { queue_capacity: QUEUE_CAPACITY, default_attempts: 8, attempts_max: 32, class_c_timeout_ms: 5 * 60_000 }
    }
}

/// An application.
#[derive(Clone, Debug)]
pub struct Application {
    name: String,
    limits: Limits,
    now_ms: i64,
    ids: Ids,
    devices: BTreeMap<String, Device>,
    faults: Armed,
    /// By when they are due, and in the order in which they were held back.
    held_back: BTreeMap<(i64, u64), Event>,
    held_back_ever: u64,
    journal: VecDeque<Transmission>,
    radioed: u64,
    told: VecDeque<Told>,
    told_ever: u64,
}

impl Application {
    /// Without devices.
    pub fn new(name: &str, limits: Limits) -> Self {
        Self {
            name: name.to_owned(),
            limits,
            now_ms: 0,
            ids: Ids::default(),
            devices: BTreeMap::new(),
            faults: Armed::default(),
            held_back: BTreeMap::new(),
            held_back_ever: 0,
            journal: VecDeque::new(),
            radioed: 0,
            told: VecDeque::new(),
            told_ever: 0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// PURE: what becomes of an input at a time (ms since 1970, UTC), after what was due before it. Time does not go
    /// back.
    pub fn step(&mut self, input: Input, now_ms: i64) -> Outcome {
        self.now_ms = self.now_ms.max(now_ms);
        let mut events = Vec::new();
        self.release(&mut events);
        let mut fresh = Vec::new();
        self.class_c(&mut fresh);
        let answer = self.carried_out(input, &mut fresh);
        for event in fresh {
            self.fare(event, &mut events);
        }
        Outcome { answer: answer.map_err(|refusal| self.numbered(refusal)), events }
    }

    fn carried_out(&mut self, input: Input, fresh: &mut Vec<Event>) -> Result<(), Refusal> {
        match input {
            Input::Push { device, downlinks } => self.hand_in(&device, downlinks, false, fresh),
            Input::Replace { device, downlinks } => self.hand_in(&device, downlinks, true, fresh),
            Input::Uplink(uplink) => self.hear(&uplink, fresh),
            Input::Acknowledges { device, acknowledges } => {
                self.device(&device)?.acknowledges = acknowledges;
                Ok(())
            }
            Input::Add(setup) => self.add(setup),
            Input::Remove(device) => {
                self.device(&device)?;
                self.devices.remove(&device);
                Ok(())
            }
            Input::Join(device) => self.join(&device, fresh),
            Input::Leave(device) => {
                self.device(&device)?.session = None;
                Ok(())
            }
            Input::Invalidate(device) => self.invalidate(&device, fresh),
            Input::Arm(fault) => {
                self.faults.arm(fault).map_err(|unarmed| Refusal::new(3, "tts-sim", "fault", &unarmed.to_string()))
            }
            Input::Disarm => {
                self.faults.clear();
                Ok(())
            }
            Input::TimePasses => Ok(()),
        }
    }

    /// When time alone does something next, ms since 1970.
    pub fn wakes_at_ms(&self) -> Option<i64> {
        let held_back = self.held_back.keys().next().map(|(due, _)| *due);
        let windows = self.devices.values().filter_map(|device| self.class_c_at_ms(device));
        windows.chain(held_back).min()
    }

    /// Transmissions with a number above this one, oldest first.
    pub fn journal(&self, after: u64) -> impl Iterator<Item = &Transmission> {
        let gone = self.radioed - self.journal.len() as u64;
        let known = usize::try_from(after.saturating_sub(gone)).unwrap_or(usize::MAX);
        self.journal.iter().skip(known)
    }

    /// Events with a number above this one, oldest first.
    pub fn told(&self, after: u64) -> impl Iterator<Item = &Told> {
        let gone = self.told_ever - self.told.len() as u64;
        let known = usize::try_from(after.saturating_sub(gone)).unwrap_or(usize::MAX);
        self.told.iter().skip(known)
    }

    /// Trouble that is still to come.
    pub fn faults(&self) -> &[Fault] {
        self.faults.list()
    }

    /// Names of all devices, in order.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// How a device stands.
    pub fn view(&self, device: &str) -> Option<DeviceView> {
        let device = self.devices.get(device)?;
        let session = device.session.as_ref();
        let queue = session.map(|session| {
            session
                .queue
                .iter()
                .map(|item| Value::Object(written(&item.downlink, Some(session.placed(item)))))
                .collect()
        });
        Some(DeviceView {
            device_id: device.id.clone(),
            class: device.class,
            session_key_id: session.map(|session| session.key_id.clone()),
            last_f_cnt_down: session.map(|session| session.last_f_cnt_down).unwrap_or_default(),
            last_f_cnt_up: session.and_then(|session| session.last_f_cnt_up),
            awaits_ack: session.is_some_and(|session| session.unanswered.is_some()),
            queue: queue.unwrap_or_default(),
        })
    }

    /// What waits for all devices.
    fn queued(&self) -> usize {
        let sessions = self.devices.values().filter_map(|device| device.session.as_ref());
        sessions.map(|session| session.queue.len()).sum()
    }

    fn device(&mut self, name: &str) -> Result<&mut Device, Refusal> {
        self.devices.get_mut(name).ok_or_else(|| Refusal::device_not_found(&self.name, name))
    }

    /// With an id, as each error has one.
    fn numbered(&mut self, refusal: Refusal) -> Refusal {
        if refusal.correlation_id != 0 {
            return refusal;
        }
        Refusal { correlation_id: self.ids.of_error(), ..refusal }
    }

    /// What was held back until now.
    fn release(&mut self, events: &mut Vec<Event>) {
        while let Some(held) = self.held_back.first_entry().filter(|held| held.key().0 <= self.now_ms) {
            let event = held.remove();
            self.tell(event, false, events);
        }
    }

    fn fare(&mut self, event: Event, events: &mut Vec<Event>) {
        let fate = self.faults.strike(&event.device, |trouble| match trouble {
            Trouble::Event { kind, fate } if kind.is_none_or(|kind| kind == event.kind) => Some(*fate),
            _ => None,
        });
        match fate {
            None => self.tell(event, false, events),
            Some(Fate::Lost) => self.tell(event, true, events),
            Some(Fate::Doubled) => {
                self.tell(event.clone(), false, events);
                self.tell(event, false, events);
            }
            // What has no room is told at once: late is a fault that was asked for, lost is not.
            Some(Fate::Delayed(_)) if self.held_back.len() >= HELD_BACK_MAX => self.tell(event, false, events),
            Some(Fate::Delayed(ms)) => {
                self.held_back_ever += 1;
                self.held_back.insert((self.now_ms.saturating_add(ms), self.held_back_ever), event);
            }
        }
    }

    fn tell(&mut self, event: Event, is_lost: bool, events: &mut Vec<Event>) {
        self.told_ever += 1;
        if self.told.len() == EVENTS_MAX {
            self.told.pop_front();
        }
        let told = Told { number: self.told_ever, at_ms: self.now_ms, is_lost, event: event.clone() };
        self.told.push_back(told);
        if !is_lost {
            events.push(event);
        }
    }

    /// What class C devices can be sent by now.
    fn class_c(&mut self, fresh: &mut Vec<Event>) {
        let due = |device: &&Device| self.class_c_at_ms(device).is_some_and(|at_ms| at_ms <= self.now_ms);
        let due: Vec<String> = self.devices.values().filter(due).map(|device| device.id.clone()).collect();
        for device in due {
            self.transmit(&device, None, fresh);
        }
    }

    /// When the head of a class C device's queue may go; `None` where nothing waits, or for other devices.
    fn class_c_at_ms(&self, device: &Device) -> Option<i64> {
        let session = device.session.as_ref().filter(|_| device.class == Class::C)?;
        let head = session.queue.front()?;
        let asked = head.downlink.absolute_time_ms().unwrap_or(i64::MIN);
        let confirmed = session.last_confirmed_ms.filter(|_| head.downlink.confirmed);
        let rested = confirmed.map_or(i64::MIN, |at_ms| at_ms.saturating_add(self.limits.class_c_timeout_ms));
        Some(asked.max(rested))
    }
}
