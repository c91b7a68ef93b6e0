//! PURE: devices that sent regularly and do not any more. Few of them are alarms of their own; many at once are one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::alarm::{Claim, Kind, Severity};
use super::devices::{Group, Silent, Tally};
use super::flows::Stop;
use super::{flows, words};

/// Devices with an alarm of their own; the others are one alarm.
const ALONE_MAX: usize = 100;
/// So many at once, and this share of an application in percent, are one thing that happened to all of them…
const MANY_MIN: usize = 10;
const MANY_PERCENT: usize = 10;
/// …as are so many of however large an application…
const MANY: usize = 30;
/// …and it is over when this share is left, in percent.
const FEW_PERCENT: usize = 5;

/// Devices alone, and applications that many fell silent of. `stands` says what was told.
pub(super) fn look(groups: &BTreeMap<Group, Tally>, stands: impl Fn(Kind, &str) -> bool) -> (Vec<Claim>, Vec<Stop>) {
    let is_told = |silent: &Silent| stands(Kind::DeviceSilent, &silent.device.to_string());
    let (mut told, mut new, mut stops) = (Vec::new(), Vec::new(), Vec::new());
    for (group, tally) in groups {
        let (before, fresh): (Vec<&Silent>, Vec<_>) = tally.silent.iter().partition(|silent| is_told(silent));
        let stopped = [&group.to_string(), &group.network, flows::ALL];
        let is_one = stopped.iter().any(|subject| stands(Kind::FlowStopped, subject)) && fresh.len() > 1;
        let is_still = is_one && fresh.len() * 100 >= tally.devices * FEW_PERCENT;
        told.extend(before);
        if is_many(fresh.len(), tally.devices) || is_still {
            stops.push(stop(group, tally));
        } else {
            new.extend(fresh);
        }
    }
    // Those that were told stay in the list.
    told.extend(new);
    let more = told.len().saturating_sub(ALONE_MAX);
    let claims = told.iter().take(ALONE_MAX).map(|silent| claim(silent)).chain((more > 0).then(|| more_devices(more)));
    (claims.collect(), stops)
}

fn is_many(fresh: usize, devices: usize) -> bool {
    let is_share = fresh >= MANY_MIN && fresh * 100 >= devices * MANY_PERCENT;
    is_share || fresh >= MANY || (fresh == devices && fresh > 1)
}

fn stop(group: &Group, tally: &Tally) -> Stop {
    let Tally { devices, silent, .. } = tally;
    let is_most = silent.len() * 2 >= *devices;
    let last = silent.iter().max_by_key(|silent| std::cmp::Reverse(silent.lasts));
    let (at, lasts) = last.map_or((0, Duration::ZERO), |last| (last.last_uplink_at, last.lasts));
    let text = format!(
        "{} of {devices} devices of {group} fell silent, the last of them {} ago, at {}",
        silent.len(),
        words::lasting(lasts),
        words::moment(at)
    );
    let mend = "look at the gateways that hear them and at the application in the network's console: many devices at once are a gateway, the network, or its webhook";
    let severity = if is_most { Severity::Page } else { Severity::Warn };
    let claim = Claim::new(Kind::FlowStopped, group.to_string(), severity, [text, mend.to_owned()]);
    Stop { group: group.clone(), is_whole: is_most, claim: claim.since(at).at_step(u8::from(is_most)) }
}

fn more_devices(more: usize) -> Claim {
    let text = format!("{more} more devices are silent than the {ALONE_MAX} that have alarms of their own");
    let mend = "longhaul alarms list names those; take devices that are gone out of the network, after a week of silence they are no longer watched";
    Claim::new(Kind::DeviceSilent, "more devices", Severity::Warn, [text, mend.to_owned()])
}

fn claim(silent: &Silent) -> Claim {
    let Silent { device, last_uplink_at, lasts, usual } = silent;
    let text = format!(
        "{device} usually sends every {} and was last heard {} ago, at {}",
        words::lasting(*usual),
        words::lasting(*lasts),
        words::moment(*last_uplink_at)
    );
    let mend = "look at its battery and at the gateway that heard it last; in the network's console, whether it still arrives there";
    let claim = Claim::new(Kind::DeviceSilent, device.to_string(), Severity::Warn, [text, mend.to_owned()]);
    claim.since(*last_uplink_at)
}
