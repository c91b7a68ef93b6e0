//! What a simulator is to be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::faults::Faults;
use crate::hub::events::EventSource;
use crate::record::Recorded;
use crate::setup::Setup;

/// Milliseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// Fills what it is handed with random bytes.
pub type RandomBytes = Arc<dyn Fn(&mut [u8]) + Send + Sync>;
/// Told of each accepted message after it stands in the record. Called under a lock: must be quick and never wait.
pub type OnMessage = Arc<dyn Fn(&Recorded) + Send + Sync>;

/// What a simulator is to be. [`Options::new`] is in memory, on any free port, with no faults.
#[derive(Clone)]
pub struct Options {
    /// Wall-clock time: for expiry of tokens, time stamps, certificates and rate limits.
    pub clock: Clock,
    /// Where random bytes come from, for keys, ids, locks and etags; none: the operating system. From the same bytes the same
    /// calls get the same answers. Certificates always come from the system.
    pub random: Option<RandomBytes>,
    /// Addresses to listen on. The first must work, others are taken when they can be had.
    pub bind: Vec<IpAddr>,
    /// Port of DPS and hub over HTTPS; 0 takes any. Microsoft's SDKs know no port but 443.
    pub https_port: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP; 0 takes any. Most of Microsoft's SDKs know none but 5671.
    pub amqp_port: u16,
    /// Port of DPS and hub over MQTT; 0 takes any. Microsoft's SDKs know none but 8883.
    pub mqtt_port: u16,
    /// Port of the page and the control API (plain HTTP, no login); 0 takes any, `None` has none.
    pub page_port: Option<u16>,
    /// Names besides `localhost`. The first is the hub, unless the setup has one; all lead to it, and to DPS.
    pub hosts: Vec<String>,
    /// Host names of hubs besides that one, each with devices, keys and events of its own. Devices are spread over all.
    pub more_hubs: Vec<String>,
    /// Hubs, id scopes and enrolment groups; none: one id scope with one group for all hubs.
    pub setup: Option<Setup>,
    /// Keeps CA, id scope, keys, devices and registrations over restarts. Made when missing.
    pub dir: Option<PathBuf>,
    /// Where the CA's certificate is written for clients. Default: in `dir`, else a file of its own in the system's directory
    /// for such things, removed in the end.
    pub ca_file: Option<PathBuf>,
    /// Accepted messages are appended here, one JSON line each.
    pub record: Option<PathBuf>,
    /// Instead of the kept or a random one; of the scope that a setup leaves out.
    pub id_scope: Option<String>,
    /// Primary group key, base64, instead of the kept or a random one; of the group that there is without a setup.
    pub group_key: Option<String>,
    /// How many polls are answered `assigning` before a registration is final.
    pub assigning_polls: u32,
    /// `Retry-After` of pending registrations, seconds. The real service says 3.
    pub retry_after_s: u64,
    /// Trouble from the start.
    pub faults: Faults,
    /// The hub's own events that readers see beside telemetry; the real hub tells none without a route for it.
    pub events: Vec<EventSource>,
    /// Told of each accepted message.
    pub on_message: Option<OnMessage>,
}

impl Options {
    /// Defaults as the real service behaves; see the fields.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            random: None,
            bind: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            https_port: 0,
            amqp_port: 0,
            mqtt_port: 0,
            page_port: None,
            hosts: Vec::new(),
            more_hubs: Vec::new(),
            setup: None,
            dir: None,
            ca_file: None,
            record: None,
            id_scope: None,
            group_key: None,
            assigning_polls: 1,
            retry_after_s: 3,
            faults: Faults::default(),
            events: Vec::new(),
            on_message: None,
        }
    }
}

impl fmt::Debug for Options {
    /// Without the group key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("bind", &self.bind)
            .field("https_port", &self.https_port)
            .finish_non_exhaustive()
    }
}
