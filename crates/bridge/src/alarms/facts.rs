//! What the rules are told at one look. Plain values: where they come from is the shell's business.

use std::sync::Arc;
use std::time::Duration;

use queue::{Stats, UnixMillis};

use super::room::Outlook;
use crate::lane::DeviceKey;

/// Everything that is seen at one look.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The queue.
    pub queue: Stats,
    /// Lanes whose oldest message has waited for longer than `alarms.queue_old`, as far as they were counted.
    pub old_lanes: u64,
    /// Devices that have a place in Azure.
    pub devices_assigned: usize,
    /// How long there will be room; none before it is known, and of a shared queue.
    pub outlook: Option<Outlook>,
    /// Hubs and provisioning services that were asked since the start.
    pub services: Vec<Service>,
    /// What of the day's allowance is used.
    pub quotas: Vec<Quota>,
    /// What runs out.
    pub ends: Vec<Ending>,
    /// What the door answered since the start; none in a process without one.
    pub door: Option<Door>,
    /// Messages that came to an outcome since the start: delivered, buried, kept, dropped, known as a second copy. None in a
    /// process that only takes messages.
    pub settled: Option<u64>,
}

/// A hub, or a provisioning service with its scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its host and port, or as the log calls the scope.
    pub name: String,
    /// It works, as far as is known.
    pub works: bool,
    /// It refuses many devices at once.
    pub refuses_many: bool,
    /// Lanes, or devices, that wait for it.
    pub waiting: usize,
    /// What it said last when it failed, or how it failed.
    pub cause: Option<String>,
}

/// A hub's allowance of messages, in units of 4 KB, of the UTC day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The hub.
    pub hub: String,
    /// Units that we used since midnight.
    pub used: u64,
    /// Units a day.
    pub allowance: u64,
    /// What will be used by midnight at the pace of the last hours; none while nobody can tell.
    pub forecast: Option<u64>,
    /// When they run out at that pace.
    pub runs_out_at: Option<UnixMillis>,
}

/// What runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What it is.
    pub what: Runs,
    /// The key in the configuration, or the file.
    pub name: String,
    /// When it is no longer taken.
    pub at: UnixMillis,
}

/// Kinds of what runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// The door's certificate.
    Certificate,
    /// A secret of a key vault that has an expiry date.
    VaultSecret,
    /// A shared access signature.
    Signature,
}

/// What the door answered, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// 2xx.
    pub accepted: u64,
    /// 401: no key, or a wrong one.
    pub unauthorized: u64,
    /// 403: a key that is not for this application.
    pub forbidden: u64,
    /// 413: too large.
    pub too_large: u64,
    /// 503: the message could not be kept now.
    pub unavailable: u64,
}

/// A device, as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Who.
    pub device: Arc<DeviceKey>,
    /// When its last uplink was accepted.
    pub last_uplink_at: UnixMillis,
    /// How often it sends, as learnt; none while it sent too few to tell.
    pub usual_interval: Option<Duration>,
    /// The last gap between its frame counters: when it was seen, and how many are missing.
    pub last_gap: Option<(UnixMillis, u32)>,
}
