//! PURE: hubs and provisioning services: down, refusing many, or near the end of their day's allowance.

use super::super::alarm::{Claim, Kind, Severity};
use super::super::book::Now;
use super::super::facts::{Facts, Quota, Service};
use super::words;

/// Shares of the allowance at which somebody is told, in percent. The forecast comes before them.
const USED: [u64; 3] = [80, 95, 100];

pub(super) fn look(facts: &Facts, now: Now) -> Vec<Claim> {
    let down = facts.services.iter().filter(|service| !service.works).map(down);
    let refusing = facts.services.iter().filter(|service| service.refuses_many).map(refusing);
    let quotas = facts.quotas.iter().filter_map(|quota| near(quota, now));
    down.chain(refusing).chain(quotas).collect()
}

fn cause(service: &Service) -> String {
    service.cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"))
}

fn down(service: &Service) -> Claim {
    let Service { name, waiting, .. } = service;
    let text =
        format!("{name} does not work{}; {waiting} devices wait for it, and nothing of theirs is lost", cause(service));
    let mend = "see whether Azure has an outage, and whether name, firewall and proxy let us reach it: longhaul check. It is tried again by itself, and what waits goes then";
    Claim::new(Kind::HubDown, name, Severity::Page, [text, mend.to_owned()])
}

fn refusing(service: &Service) -> Claim {
    let Service { name, .. } = service;
    let text = format!(
        "{name} refuses many devices at once{}; their messages wait, and none is registered again",
        cause(service)
    );
    let mend = "most likely a key or a policy was changed, or devices were disabled or deleted there: put it right, and then longhaul devices retry";
    Claim::new(Kind::BreakerOpen, name, Severity::Page, [text, mend.to_owned()])
}

fn near(quota: &Quota, now: Now) -> Option<Claim> {
    let Quota { hub, used, allowance, forecast, runs_out_at } = quota;
    let percent = used.saturating_mul(100).checked_div(*allowance)?;
    let passed = USED.iter().filter(|share| percent >= **share).count();
    let will_pass = forecast.is_some_and(|forecast| forecast > *allowance);
    if passed == 0 && !will_pass {
        return None;
    }
    let end = runs_out_at.filter(|at| will_pass && *at > now.wall);
    let end = end.map_or_else(String::new, |at| format!(", and at this pace it is used up at {}", words::moment(at)));
    let text = if passed == USED.len() {
        format!(
            "{hub} has had its {allowance} units of today ({used} by our count): it refuses until midnight UTC, and messages wait in the queue until then"
        )
    } else {
        format!("{used} of today's {allowance} units of {hub} are used ({percent} %){end}")
    };
    let mend = "add units to the hub, or let devices send less; the queue keeps what it refuses, if it has room until midnight UTC";
    let severity = if passed >= 2 { Severity::Page } else { Severity::Warn };
    let step = u8::try_from(passed).expect("there are three");
    Some(Claim::new(Kind::QuotaNear, hub, severity, [text, mend.to_owned()]).at_step(step))
}
