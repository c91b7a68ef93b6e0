//! What kind of installation is it? Drawn from the seed: how telemetry travels, how many devices, how fast everything is.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::judge::Pace;
use crate::uplink::Device;
use crate::wire::Latency;

/// The provisioning service.
pub(crate) const PROVISIONING: &str = "dps.example";
pub(crate) const HUBS: [&str; 2] = ["hub-a.example", "hub-b.example"];
pub(crate) const ID_SCOPE: &str = "0ne00000001";
pub(crate) const GROUP: &str = "sensors";
/// Telemetry on this port is dropped by every second edition of the configuration.
pub(crate) const DROPPED_PORT: u8 = 20;
const APPLICATIONS: [&str; 3] = ["building", "vehicles", NAMESAKES];
/// Where the device is that has another's name.
const NAMESAKES: &str = "cellar";
/// Of the enrolment group; of this simulation alone.
const GROUP_KEY: &[u8] = b"the group key of a simulated enrolment";

/// How telemetry travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Amqp,
    AmqpWebSocket,
    Https,
}

impl Transport {
    fn key(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::AmqpWebSocket => "amqp-ws",
            Self::Https => "https",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) transport: Transport,
    /// Without the namesake.
    pub(crate) device_count: usize,
    /// A device of another application would have the name of the first one.
    pub(crate) has_namesake: bool,
    pub(crate) latency: Latency,
    /// What a commit takes, milliseconds, up to.
    pub(crate) commit_ms: u64,
    pub(crate) token_life_s: u64,
    pub(crate) registrations_per_minute: u32,
    pub(crate) devices_per_connection: u32,
    pub(crate) max_in_flight: u32,
    pub(crate) assigning_polls: u32,
}

fn one_of<T: Copy>(chance: &mut fastrand::Rng, choices: &[T]) -> T {
    choices[chance.usize(0..choices.len())]
}

impl Settings {
    pub(crate) fn draw(chance: &mut fastrand::Rng, has_namesake: bool) -> Self {
        let transports = [Transport::Amqp, Transport::Amqp, Transport::AmqpWebSocket, Transport::Https];
        Self {
            transport: one_of(chance, &transports),
            device_count: chance.usize(1..=12),
            has_namesake,
            latency: Latency {
                least: Duration::from_millis(chance.u64(0..80)),
                jitter: Duration::from_millis(chance.u64(0..80)),
                per_byte: Duration::ZERO,
            },
            commit_ms: one_of(chance, &[0, 2, 10, 50]),
            token_life_s: one_of(chance, &[300, 600, 1_200, 3_600]),
            registrations_per_minute: one_of(chance, &[3, 20, 60, 1_000]),
            devices_per_connection: one_of(chance, &[0, 1, 3]),
            max_in_flight: one_of(chance, &[1, 4, 64, 1_024]),
            assigning_polls: one_of(chance, &[0, 1, 3]),
        }
    }

    /// The namesake is the last.
    pub(crate) fn devices(&self) -> Vec<Device> {
        // Names are the applications' own: two of them have the same, unless all would be called so in Azure.
        let shared = if self.has_namesake { 1 } else { 2 };
        let device = |number: usize, application: &str| {
            let device = format!("sensor-{}", number / shared);
            let registration_id = if self.has_namesake { device.clone() } else { format!("{application}--{device}") };
            let dev_eui = format!("70B3D57ED00{:05X}", number + if application == NAMESAKES { 0x100 } else { 0 });
            Device { application: application.to_owned(), device, dev_eui, registration_id }
        };
        let application = |number: usize| APPLICATIONS[number % 2];
        let mut devices: Vec<_> = (0..self.device_count).map(|number| device(number, application(number))).collect();
        if self.has_namesake {
            devices.push(device(0, NAMESAKES));
        }
        devices
    }

    /// Which device the namesake is.
    pub(crate) fn namesake(&self) -> usize {
        if self.has_namesake { self.device_count } else { 0 }
    }

    pub(crate) fn pace(&self) -> Pace {
        let per_minute = usize::try_from(self.registrations_per_minute).unwrap_or(usize::MAX);
        Pace { per_minute, is_at_once: self.assigning_polls == 0 }
    }

    pub(crate) fn group_key(&self) -> String {
        STANDARD.encode(GROUP_KEY)
    }

    /// Opens the webhook's door from this edition of the configuration on, and still in the next: the network server is told
    /// of it once it is in use.
    pub(crate) fn webhook_key(edition: u32) -> String {
        format!("the-{edition}th-key-of-the-network-server")
    }

    /// Whether this edition of the configuration drops [`DROPPED_PORT`].
    pub(crate) fn drops(edition: u32) -> bool {
        edition % 2 == 1
    }

    /// `longhaul.toml`. Each edition has another key, and other routes than the one before.
    pub(crate) fn configuration(&self, edition: u32) -> String {
        let name = if self.has_namesake { "{device_id}" } else { "{application_id}--{device_id}" };
        let keys: Vec<_> = (edition.saturating_sub(1)..=edition).map(Self::webhook_key).collect();
        let drop =
            |application| format!("[[routes]]\napplication = \"{application}\"\nport = {DROPPED_PORT}\ndrop = true\n");
        let dropped = if Self::drops(edition) { APPLICATIONS.map(drop).concat() } else { String::new() };
        format!(
            "[webhook]\nkeys = {keys:?}\n\
             [azure]\ntransport = \"{}\"\nregistrations_per_minute = {}\ndevices_per_connection = {}\nmax_in_flight = {}\n\
             token_life_seconds = {}\n\
             [targets.main]\nkind = \"dps\"\nendpoint = \"{PROVISIONING}\"\nid_scope = \"{ID_SCOPE}\"\ngroup_key = \"{}\"\n\
             device_id = \"{name}\"\n\
             [[routes]]\ntarget = \"main\"\n{dropped}",
            self.transport.key(),
            self.registrations_per_minute,
            self.devices_per_connection,
            self.max_in_flight,
            self.token_life_s,
            self.group_key(),
        )
    }
}
