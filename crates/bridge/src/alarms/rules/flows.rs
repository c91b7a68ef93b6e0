//! PURE: applications, networks, or everything that came regularly and does not any more; and what comes in and does not go out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use queue::UnixMillis;

use super::super::alarm::{Claim, Kind, Severity};
use super::super::book::Now;
use super::super::facts::Facts;
use super::clocks::millis;
use super::devices::{Group, Tally};
use super::words;

/// Silence is unusual beyond so many of the longest that came by itself lately…
const GAPS: u32 = 3;
/// …which is from the last two of these.
const LATELY: Duration = Duration::from_secs(43_200);
/// And not before messages were seen in so many looks.
const LOOKS_MIN: u32 = 10;
/// For so long nothing may come to an outcome while messages wait, and so many came meanwhile.
const OUT_AFTER: Duration = Duration::from_secs(600);
const OUT_MESSAGES_MIN: u64 = 10;
/// One stuck device stops no flow.
const OUT_DEVICES_MIN: u64 = 2;
/// Everything: all applications of all networks.
pub(super) const ALL: &str = "everything";

/// An application that stopped, as one of the rules sees it.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) group: Group,
    /// Most of it.
    pub(super) is_whole: bool,
    pub(super) claim: Claim,
}

/// What has to be remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct Flows {
    paces: BTreeMap<Group, Pace>,
    out: Option<Out>,
}

/// How regularly messages come.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// See [`Tally::mark`].
    mark: UnixMillis,
    first: Duration,
    last: Duration,
    looks: u32,
    /// The longest times without a message: in this half of a day, and in the one before.
    gaps: [Duration; 2],
    half_began: Duration,
    is_stopped: bool,
    /// The last silence that was an alarm.
    alarmed: Duration,
}

/// What comes to an outcome.
#[derive(Clone, Copy, Debug)]
struct Out {
    settled: u64,
    at: Duration,
    accepted_then: u64,
}

impl Flows {
    /// What does not come in any more. `silent` are applications that many devices fell silent of. Only one alarm of those that
    /// mean the same, unless it was told already: see `stands`.
    pub(super) fn incoming(
        &mut self,
        groups: &BTreeMap<Group, Tally>,
        (flow_silent_min, silent): (Duration, Vec<Stop>),
        stands: impl Fn(Kind, &str) -> bool,
        now: Now,
    ) -> Vec<Claim> {
        let mut stops: BTreeMap<Group, Stop> = BTreeMap::new();
        for (group, tally) in groups {
            let mark = tally.mark;
            let pace = self.paces.entry(group.clone()).or_insert_with(|| Pace::new(mark, now));
            if let Some(lasts) = pace.look(mark, flow_silent_min, now) {
                stops.insert(group.clone(), stop(group.clone(), lasts, now));
            }
        }
        self.paces.retain(|group, _| groups.contains_key(group));
        for stop in silent {
            // What is known of its devices tells more, unless they are few yet.
            if stop.is_whole || !stops.contains_key(&stop.group) {
                stops.insert(stop.group.clone(), stop);
            }
        }
        one_for_all(&stops, &self.known(&stops), &stands)
    }

    /// Applications that could be missed.
    fn known(&self, stops: &BTreeMap<Group, Stop>) -> BTreeSet<Group> {
        let learnt = self.paces.iter().filter(|(_, pace)| pace.looks >= LOOKS_MIN).map(|(group, _)| group);
        learnt.chain(stops.keys()).cloned().collect()
    }

    /// What comes in and does not go out.
    pub(super) fn outgoing(&mut self, facts: &Facts, now: Now) -> Option<Claim> {
        let (settled, accepted) = (facts.settled?, facts.door?.accepted);
        let fresh = Out { settled, at: now.passed, accepted_then: accepted };
        let out = self.out.get_or_insert(fresh);
        if out.settled != settled || facts.queue.waiting == 0 {
            *out = fresh;
            return None;
        }
        let lasts = now.passed.saturating_sub(out.at);
        let came = accepted.saturating_sub(out.accepted_then);
        let is_stopped = lasts >= OUT_AFTER && came >= OUT_MESSAGES_MIN && facts.old_lanes >= OUT_DEVICES_MIN;
        // That has alarms of its own, which name the cause.
        let is_explained = facts.services.iter().any(|service| !service.works || service.refuses_many);
        if !is_stopped || is_explained {
            return None;
        }
        let text = format!(
            "messages come in and none goes out: {came} were accepted in {}, none was delivered, buried or kept, and {} wait",
            words::lasting(lasts),
            facts.queue.waiting
        );
        let mend = "see what the oldest of them waits for: longhaul devices list --state held; then the log of the last minutes. Nothing is lost meanwhile";
        Some(Claim::new(Kind::FlowStopped, "outgoing", Severity::Page, [text, mend.to_owned()]))
    }
}

impl Pace {
    fn new(mark: UnixMillis, now: Now) -> Self {
        let at = now.passed;
        Self {
            mark,
            first: at,
            last: at,
            looks: 0,
            gaps: [Duration::ZERO; 2],
            half_began: at,
            is_stopped: false,
            alarmed: Duration::ZERO,
        }
    }

    /// For how long nothing came, where that is unusual.
    fn look(&mut self, mark: UnixMillis, flow_silent_min: Duration, now: Now) -> Option<Duration> {
        if now.passed >= self.half_began + LATELY {
            (self.gaps, self.half_began) = ([Duration::ZERO, self.gaps[0]], now.passed);
        }
        let gap = now.passed.saturating_sub(self.last);
        if mark != self.mark {
            (self.mark, self.last, self.looks) = (mark, now.passed, self.looks.saturating_add(1));
            // What was an alarm is not what is usual, unless it was one twice.
            let was_alarm = std::mem::take(&mut self.is_stopped);
            let usual = if was_alarm { gap.min(std::mem::replace(&mut self.alarmed, gap)) } else { gap };
            self.gaps[0] = self.gaps[0].max(usual);
            return None;
        }
        let unusual = flow_silent_min.max(self.gaps[0].max(self.gaps[1]).saturating_mul(GAPS));
        // Who came for ten minutes and then not for twenty may do that each hour.
        let is_learnt = self.looks >= LOOKS_MIN && self.last.saturating_sub(self.first) >= unusual;
        self.is_stopped = is_learnt && gap >= unusual;
        self.is_stopped.then_some(gap)
    }
}

fn stop(group: Group, lasts: Duration, now: Now) -> Stop {
    let since = now.wall.saturating_sub(millis(lasts));
    let text = format!("nothing came in from {group} for {}; before that, something always did", words::lasting(lasts));
    let claim = Claim::new(Kind::FlowStopped, group.to_string(), Severity::Page, [text, MEND_IN.to_owned()]);
    Stop { group, is_whole: true, claim: claim.since(since).at_step(1) }
}

const MEND_IN: &str = "look whether the network still posts: in its console at the application's live data and at the webhook, which it may have switched off or paused; then whether our door can be reached from outside";

/// PURE: everything, else each network as a whole, else each application. What was told by itself stays by itself.
fn one_for_all(
    stops: &BTreeMap<Group, Stop>,
    known: &BTreeSet<Group>,
    stands: &impl Fn(Kind, &str) -> bool,
) -> Vec<Claim> {
    let is_whole = |group: &&Group| stops.get(group).is_some_and(|stop| stop.is_whole);
    let is_one = |subject: &str, of: &[&Group]| {
        // Those that come back come one after the other: it is still the same, until some are back and others are not coming.
        let are_back = of.iter().any(|group| !stops.contains_key(group));
        let is_still = of.iter().any(|group| stops.contains_key(group)) && !(are_back && of.iter().any(is_whole));
        of.len() > 1 && (of.iter().all(is_whole) || (is_still && stands(Kind::FlowStopped, subject)))
    };
    let mut wholes = Vec::new();
    if is_one(ALL, &known.iter().collect::<Vec<_>>()) {
        wholes.push((ALL.to_owned(), None));
    } else {
        for network in known.iter().map(|group| &group.network).collect::<BTreeSet<_>>() {
            let of: Vec<_> = known.iter().filter(|group| group.network == *network).collect();
            if is_one(network, &of) {
                wholes.push((network.clone(), Some(network)));
            }
        }
    }
    let covered = |group: &Group| wholes.iter().any(|(_, network)| network.is_none_or(|of| *of == group.network));
    let whole = |(subject, network): &(String, Option<&String>)| {
        let of: Vec<_> = stops.values().filter(|stop| network.is_none_or(|of| *of == stop.group.network)).collect();
        let since = of.iter().filter_map(|stop| stop.claim.since).max();
        let what = network.map_or_else(|| "all networks".to_owned(), |network| format!("network {network}"));
        let text = format!("nothing comes in any more from {what}: all {} applications stopped", of.len());
        let claim = Claim::new(Kind::FlowStopped, subject, Severity::Page, [text, MEND_IN.to_owned()]);
        since.map_or(claim.clone(), |since| claim.since(since))
    };
    let alone = stops.values().filter(|stop| !covered(&stop.group) || stands(Kind::FlowStopped, &stop.claim.subject));
    wholes.iter().map(whole).chain(alone.map(|stop| stop.claim.clone())).collect()
}
