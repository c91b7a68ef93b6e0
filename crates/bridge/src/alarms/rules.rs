//! PURE: what is wrong, by what is seen now and what was before. Asks nobody and tells nobody: facts go in, claims come out, and
//! the [`Book`] makes alarms of them.

mod clocks; // when was that, by a clock that may have been set?
mod devices; // one look at all devices
mod ends; // what runs out
mod flows; // what came regularly
mod network; // what the network's webhook shows
mod queue; // what waits, what fits
mod services; // hubs and provisioning services
mod silence; // which devices do not send
pub(super) mod words; // for a person

use std::time::Duration;

use super::alarm::{Claim, Kind};
use super::book::{Book, Now, Patience};
use super::facts::Facts;
use crate::config::Alarms;

pub use devices::{Devices, Round, Silent};

/// All rules, with what they remember.
#[derive(Debug, Default)]
pub struct Rules {
    clocks: clocks::Clocks,
    flows: flows::Flows,
    network: network::Network,
    queue: queue::QueueRules,
}

impl Rules {
    /// Begins a look at all devices.
    pub fn begin(&mut self, settings: &Alarms, now: Now) -> Round<'_> {
        self.clocks.look(now);
        Round::new(settings, &self.clocks, now)
    }

    /// The process before this one heard its last uplink then: what followed until our start counts for nobody's silence.
    pub fn lived_until(&mut self, at: ::queue::UnixMillis) {
        self.clocks.lived_until(at);
    }

    /// What is wrong now. What stood before decides what is said of it once more.
    pub fn look(&mut self, settings: &Alarms, facts: &Facts, devices: &Devices, book: &Book, now: Now) -> Vec<Claim> {
        let stands = |alarm: Kind, subject: &str| book.stands(alarm, subject);
        let mut claims = self.queue.look(facts, settings.queue_old, now);
        claims.extend(services::look(facts, now));
        claims.extend(ends::look(facts, now));
        claims.extend(self.network.refused(facts.door, now));
        claims.extend(network::missing(&devices.0));
        let (alone, stops) = silence::look(&devices.0, stands);
        claims.extend(alone);
        claims.extend(self.flows.incoming(&devices.0, (settings.flow_silent_min, stops), stands, now));
        claims.extend(self.flows.outgoing(facts, now));
        claims.retain(|claim| !settings.off.contains(&claim.alarm));
        claims
    }
}

/// How long each must last. Devices wait a while, so that many that fall silent in the same minutes are seen to be many.
pub fn patience(settings: &Alarms, alarm: Kind) -> Patience {
    let [raise_after, end_after] = match alarm {
        Kind::DeviceSilent => [SILENT_TOGETHER.min(settings.device_silent_min / 6), Duration::ZERO],
        Kind::HubDown => [settings.hub_down_min, SETTLES],
        Kind::BreakerOpen | Kind::QueueOld | Kind::QueueShut => [Duration::ZERO, SETTLES],
        Kind::QuotaNear => [Duration::from_secs(60), Duration::from_secs(600)],
        Kind::WebhookFailing => [Duration::ZERO, Duration::from_secs(300)],
        Kind::FlowStopped => [STOP_TOGETHER.min(settings.flow_silent_min / 6), SETTLES],
        Kind::DiskFilling | Kind::DeadLettersGone => [Duration::ZERO; 2],
        Kind::CertificateEnding | Kind::SecretEnding => [Duration::ZERO; 2],
    };
    Patience { raise_after, end_after }
}

/// Devices that fall silent within this are seen together.
const SILENT_TOGETHER: Duration = Duration::from_secs(600);
/// As do applications that stop within this.
const STOP_TOGETHER: Duration = Duration::from_secs(60);
/// Two looks without it: it is over.
const SETTLES: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
