//! PURE: from evidence to findings. Each rule is a promise of the product, as strict as its excuses allow.

use std::collections::{BTreeMap, BTreeSet};

use super::trouble::uncovered;
use super::{Asked, End, Evidence, Finding, Post, Posted, Taken};
use crate::log::Moment;
use crate::plan::{DROPPED_PORT, Settings};
use crate::uplink::{Kind, Uplink, UplinkId};

/// The door answers within four seconds of the body's end; the way there and back is a second at the most.
const ANSWER_MS_MAX: i64 = 5_000;
/// The queue looks for room, and opens a store that failed, within five seconds.
const ROOM_MS: i64 = 5_000;
/// While nothing is wrong, a message that is kept reaches its hub within so long: a registration that is polled three times,
/// three seconds each, the ways there and back, and nine messages before it. The longest of a thousand stories is 15 s.
const CLEAR_MS_MAX: i64 = 20_000;
/// While nothing is wrong, a device that must register waits for its turn as well, a minute for each so many devices.
const TURN_MS: i64 = 60_000;
/// A hub may take a message without the bridge hearing of it when something goes wrong from so long before it does until so
/// long after it: what the bridge waits for an answer, and a commit.
const DOUBT_MS: (i64, i64) = (60_000, 30_000);
/// A registration's answer is on the disk so long after the question, unless something is wrong then.
const NOTED_MS: i64 = 60_000;
/// The longest life of a token, and a while for it to be put.
const TOKEN_MS_MAX: i64 = 70 * 60_000;
/// A hub holds a connection that went silent for eight minutes, while the bridge gave it up long ago: tokens run out on it,
/// which harms nobody.
const SILENCE_MS: i64 = 9 * 60_000;
/// A minute, as well as it can be told from looks a second apart.
const MINUTE_MS: i64 = 58_000;
/// What is asked for is counted over so many minutes: a back-off begins with short waits.
const MINUTES: i64 = 5;
/// What a host may be asked for in those minutes, whatever goes wrong. About twice the most of a thousand stories, in which a
/// dozen devices talk: 32 connections, 164 KB, 54 refusals, 6 thefts. Who tries again every two seconds comes to 150. What comes through is
/// room for as much again: a connection that drops at each second message of a backlog, or a hub that refuses each second one, is
/// asked as often, and the backlog shrinks.
const ASKED_MAX: Asked = Asked { connections: 60, bytes: 384 << 10, refused: 100, stolen: 12 };

/// All that is wrong.
pub(crate) fn verdict(evidence: &Evidence) -> Vec<Finding> {
    let case = Case::new(evidence);
    let mut findings: Vec<Finding> = Vec::new();
    let scandals = evidence.scandals.iter().map(|what| Finding { kind: "scandal", what: what.clone() });
    findings.extend(scandals);
    case.door(&mut findings);
    case.taken(&mut findings);
    case.owed(&mut findings);
    case.buried(&mut findings);
    case.order(&mut findings);
    case.owners(&mut findings);
    case.asked(&mut findings);
    case.registered(&mut findings);
    case.paced(&mut findings);
    case.tokens(&mut findings);
    let stuck = evidence.stuck.iter().map(|lane| Finding { kind: "stuck", what: lane.clone() });
    findings.extend(stuck);
    findings
}

/// The evidence, put in order.
struct Case<'a> {
    evidence: &'a Evidence,
    /// The first time each message was taken, and where in the list.
    first: BTreeMap<UplinkId, usize>,
    /// When the network server was first told that a message is kept.
    kept: BTreeMap<UplinkId, i64>,
    /// When it was first posted.
    sent: BTreeMap<UplinkId, i64>,
    buried: BTreeSet<UplinkId>,
    began: i64,
}

impl<'a> Case<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let mut first = BTreeMap::new();
        for (index, taken) in evidence.taken.iter().enumerate() {
            if let Ok(telemetry) = &taken.telemetry {
                first.entry(telemetry.id).or_insert(index);
            }
        }
        let (mut kept, mut sent) = (BTreeMap::new(), BTreeMap::new());
        for post in &evidence.posts {
            let Posted::Uplink(id) = post.what else { continue };
            let first: &mut i64 = sent.entry(id).or_insert(post.sent);
            *first = post.sent.min(*first);
            if let Some((at, End::Status(200..=299))) = post.end {
                let earliest: &mut i64 = kept.entry(id).or_insert(at);
                *earliest = at.min(*earliest);
            }
        }
        let buried = evidence.buried.iter().filter_map(|letter| letter.id).collect();
        let began = evidence.lives.first().map_or(0, |(from, _)| *from);
        Self { evidence, first, kept, sent, buried, began }
    }

    fn moment(&self, at: i64) -> Moment {
        Moment(at - self.began)
    }

    /// Every request is answered, in time, and by what it deserves.
    fn door(&self, findings: &mut Vec<Finding>) {
        for post in &self.evidence.posts {
            if let Some(what) = self.wrong_answer(post) {
                let sent = self.moment(post.sent);
                findings.push(Finding { kind: "door", what: format!("{:?}, sent at {sent}: {what}", post.what) });
            }
        }
    }

    fn wrong_answer(&self, post: &Post) -> Option<String> {
        let end = post.end.map_or(self.evidence.over, |(at, _)| at);
        let excused = |with: fn(&super::Effect) -> bool| {
            self.evidence
                .troubles
                .iter()
                .any(|trouble| with(&trouble.effect) && trouble.touches(post.sent - ROOM_MS, end))
        };
        match (post.end, post.what) {
            (Some((_, End::Status(503))), _) if excused(|e| e.closes_the_disk) => None,
            // Its key opens the door in the next edition of the configuration still, and not in the one after that.
            (Some((at, End::Status(401))), Posted::Uplink(_)) if self.editions(post.sent, at).count() > 2 => None,
            (Some((at, End::Status(status))), what) => {
                let late = post.whole.is_some_and(|whole| at - whole > ANSWER_MS_MAX);
                if late && !excused(|e| e.silences_the_door) {
                    return Some(format!("answered {} ms after its end", at - post.whole.unwrap_or(at)));
                }
                let right = match what {
                    Posted::Uplink(_) => status == 202,
                    Posted::Refusable(_, wanted) => status == wanted,
                };
                (!right).then(|| format!("answered {status}"))
            }
            (Some((_, End::HungUp)), _) => None,
            (None | Some((_, End::Nothing)), _) if excused(|e| e.silences_the_door) => None,
            (None | Some((_, End::Nothing)), _) => {
                let lived = self.evidence.lives.iter().any(|(from, to)| *from <= post.sent && end <= *to);
                lived.then(|| "not answered".to_owned())
            }
        }
    }

    /// Whatever a hub has was posted, is the same, and came from the device that it belongs to; twice only when the bridge
    /// could not know better.
    fn taken(&self, findings: &mut Vec<Finding>) {
        let mut last: BTreeMap<UplinkId, &Taken> = BTreeMap::new();
        for taken in &self.evidence.taken {
            let at = self.moment(taken.at);
            let telemetry = match &taken.telemetry {
                Ok(telemetry) => telemetry,
                Err(what) => {
                    findings.push(Finding { kind: "altered", what: format!("{} has at {at}: {what}", taken.hub) });
                    continue;
                }
            };
            let id = telemetry.id;
            let Some(uplink) = self.evidence.uplinks.get(&id).filter(|_| self.sent.contains_key(&id)) else {
                findings.push(Finding {
                    kind: "invented",
                    what: format!("{} has {id} at {at}, which nobody posted", taken.hub),
                });
                continue;
            };
            let device = &self.evidence.devices[uplink.device];
            if (&telemetry.application, &telemetry.device) != (&device.application, &device.device)
                || (telemetry.port, telemetry.counter) != (uplink.port.into(), uplink.counter.into())
                || uplink.kind != Kind::Ordinary
            {
                findings.push(Finding {
                    kind: "altered",
                    what: format!("{id} was posted as {uplink:?}, {} has {telemetry:?}", taken.hub),
                });
            }
            if taken.device_id != device.registration_id {
                let what = format!("{id} of {} was sent as {} at {at}", device.registration_id, taken.device_id);
                findings.push(Finding { kind: "identity", what });
            }
            let posted = self.sent.get(&id).copied().unwrap_or(taken.at);
            if uplink.port == DROPPED_PORT && !self.editions(posted, taken.at).any(|edition| !Settings::drops(edition))
            {
                let what = format!("{id} of port {DROPPED_PORT} was sent at {at}, and its route drops it");
                findings.push(Finding { kind: "routed", what });
            }
            if let Some(before) = last.insert(id, taken) {
                if !self.may_repeat(uplink.device, before.at, taken.at) {
                    let what = format!("{id} at {} and at {at}, with nothing wrong in between", self.moment(before.at));
                    findings.push(Finding { kind: "twice", what });
                }
                if before.message_id != taken.message_id {
                    findings.push(Finding {
                        kind: "twice",
                        what: format!("{id} comes again under another message id at {at}"),
                    });
                }
            }
        }
    }

    fn may_repeat(&self, device: usize, from: i64, to: i64) -> bool {
        let mut troubles = self.evidence.troubles.iter();
        let (from, to) = (from - DOUBT_MS.0, to.min(from + DOUBT_MS.1));
        troubles.any(|trouble| trouble.effect.repeats && trouble.concerns(device) && trouble.touches(from, to))
    }

    /// What was kept reached its hub, in time, or stands in the dead letters.
    fn owed(&self, findings: &mut Vec<Finding>) {
        for (id, kept) in &self.kept {
            let Some(uplink) = self.evidence.uplinks.get(id).filter(|uplink| uplink.kind == Kind::Ordinary) else {
                continue;
            };
            let taken = self.first.get(id).map(|index| self.evidence.taken[*index].at);
            let by = taken.unwrap_or(self.evidence.over);
            if self.may_be_dropped(uplink, *kept, by) || (taken.is_none() && self.buried.contains(id)) {
                continue;
            }
            if taken.is_none() {
                findings.push(Finding {
                    kind: "lost",
                    what: format!(
                        "{id} of {}, kept at {}",
                        self.evidence.devices[uplink.device].registration_id,
                        self.moment(*kept)
                    ),
                });
                continue;
            }
            let concerned = self.evidence.troubles.iter().filter(|trouble| trouble.concerns(uplink.device));
            let waits = concerned.filter_map(|trouble| Some((trouble.from, trouble.to + trouble.effect.delays?)));
            let clear = uncovered(*kept, by, waits);
            if clear > CLEAR_MS_MAX + self.turn_ms() {
                let what = format!(
                    "{id} waited from {} to {}, {clear} ms of it with nothing wrong",
                    self.moment(*kept),
                    self.moment(by)
                );
                findings.push(Finding { kind: "starved", what });
            }
        }
    }

    /// Which editions of the configuration may have been in use between the two.
    fn editions(&self, from: i64, to: i64) -> impl Iterator<Item = u32> {
        let changes = &self.evidence.editions;
        let first = changes.iter().take_while(|(_, surely)| surely.is_some_and(|surely| surely < from)).count();
        let last = changes.iter().take_while(|(earliest, _)| *earliest <= to).count();
        (first..=last).map(|edition| u32::try_from(edition).unwrap_or(u32::MAX))
    }

    /// A route may have ended it on purpose; who posts it again finds another route, and the message a later place.
    fn may_be_dropped(&self, uplink: &Uplink, from: i64, to: i64) -> bool {
        uplink.port == DROPPED_PORT && self.editions(from, to).any(Settings::drops)
    }

    /// Until all devices had their turn to register.
    fn turn_ms(&self) -> i64 {
        let turns = self.evidence.devices.len().checked_div(self.evidence.pace.per_minute).unwrap_or(0);
        TURN_MS * i64::try_from(turns).unwrap_or(i64::MAX / TURN_MS)
    }

    /// Nothing is buried but for a reason that there was.
    fn buried(&self, findings: &mut Vec<Finding>) {
        for letter in &self.evidence.buried {
            let uplink = letter.id.and_then(|id| self.evidence.uplinks.get(&id));
            let reason = letter.reason.as_str();
            let is_right = match uplink.map(|uplink| uplink.kind) {
                None => ["not_understood", "no_identity"].contains(&reason),
                Some(Kind::TooLarge) => reason == "too_large",
                Some(Kind::NoIdentity) => reason == "no_identity",
                Some(Kind::NotUnderstood) => reason == "not_understood",
                Some(_) if reason == "identity_conflict" => {
                    uplink.is_some_and(|uplink| self.has_namesake(uplink.device))
                }
                Some(_) => self.evidence.troubles.iter().any(|trouble| {
                    trouble.effect.buries.contains(&reason)
                        && uplink.is_some_and(|uplink| trouble.concerns(uplink.device))
                }),
            };
            if !is_right {
                let what = format!("{:?} as {reason}: {}", letter.id, letter.detail);
                findings.push(Finding { kind: "buried", what });
            }
        }
    }

    /// Another device would be called the same in Azure, and was there first or has sent since.
    fn has_namesake(&self, device: usize) -> bool {
        let own = &self.evidence.devices[device];
        let is_namesake = |other: &crate::uplink::Device| other.registration_id == own.registration_id && other != own;
        self.evidence.devices.iter().any(is_namesake)
    }

    /// Whoever used a name first owns it.
    fn owners(&self, findings: &mut Vec<Finding>) {
        let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
        for taken in &self.evidence.taken {
            let Ok(telemetry) = &taken.telemetry else { continue };
            let Some(uplink) = self.evidence.uplinks.get(&telemetry.id) else { continue };
            let owner = *owners.entry(&taken.device_id).or_insert(uplink.device);
            if owner != uplink.device {
                let what = format!("{} was sent as {}, which is another's", uplink.id, taken.device_id);
                findings.push(Finding { kind: "identity", what });
            }
        }
        for letter in self.evidence.buried.iter().filter(|letter| letter.reason == "identity_conflict") {
            let uplink = letter.id.and_then(|id| self.evidence.uplinks.get(&id));
            if uplink.is_some_and(|uplink| owners.values().any(|owner| *owner == uplink.device)) {
                let what = format!("{:?} was buried although its device owns its name", letter.id);
                findings.push(Finding { kind: "identity", what });
            }
        }
    }

    /// A device's messages come in the order in which they were kept: one that was answered before another was sent comes
    /// before it, and does not come again after it.
    fn order(&self, findings: &mut Vec<Finding>) {
        let mut seen: BTreeMap<usize, Vec<UplinkId>> = BTreeMap::new();
        for taken in &self.evidence.taken {
            let Ok(telemetry) = &taken.telemetry else { continue };
            let Some(uplink) = self.evidence.uplinks.get(&telemetry.id) else { continue };
            let before = seen.entry(uplink.device).or_default();
            let later = before.iter().find(|later| {
                let (Some(kept), Some(sent)) = (self.kept.get(&uplink.id), self.sent.get(later)) else { return false };
                **later != uplink.id && kept <= sent && !self.may_be_dropped(uplink, *kept, taken.at)
            });
            if let Some(later) = later {
                let what = format!("{} after {later}, at {}", uplink.id, self.moment(taken.at));
                findings.push(Finding { kind: "order", what });
            }
            before.push(uplink.id);
        }
    }

    /// Nobody is asked again and again.
    fn asked(&self, findings: &mut Vec<Finding>) {
        for (host, minute) in self.evidence.asked.keys() {
            let mut asked = Asked::default();
            for (_, one) in self.evidence.asked.range((host.clone(), *minute)..(host.clone(), minute + MINUTES)) {
                asked.add(one);
            }
            let from = self.began + minute * 60_000;
            let to = from + MINUTES * 60_000;
            let through = self.evidence.taken.iter().filter(|taken| (from..to).contains(&taken.at)).count();
            if asked.exceeds(&ASKED_MAX.beside(through as u64)) {
                let what = format!("{host} in {MINUTES} minutes from {minute}: {asked:?}");
                findings.push(Finding { kind: "hammered", what });
            }
        }
    }

    /// Where a device lives is asked once, until something says that it may live elsewhere.
    fn registered(&self, findings: &mut Vec<Finding>) {
        let mut last: BTreeMap<&str, (i64, u32)> = BTreeMap::new();
        for (at, device_id) in &self.evidence.registered {
            let times = last.get(device_id.as_str()).map_or(0, |(_, times)| *times);
            let Some((before, _)) = last.insert(device_id, (*at, times + 1)) else { continue };
            let excused = self.evidence.troubles.iter().any(|trouble| {
                let concerns = self.devices_named(device_id).any(|device| trouble.concerns(device));
                let after = trouble.effect.delays.unwrap_or(0);
                // A process that begins anew asks what came of the registration that was under way, and registers again only
                // when it finds none, or had no note of it. A device that had a hub goes there first, and asks when it is
                // refused as before.
                let is_amid = !self.evidence.pace.is_at_once || trouble.effect.forgets || times > 1;
                concerns
                    && match trouble.effect.restarts {
                        true => is_amid && trouble.touches(before - NOTED_MS, before + NOTED_MS),
                        false => trouble.effect.delays.is_some() && trouble.touches(before - after, *at),
                    }
            });
            if !excused {
                let what = format!(
                    "{device_id} at {} and at {}, with no reason in between",
                    self.moment(before),
                    self.moment(*at)
                );
                findings.push(Finding { kind: "registered", what });
            }
        }
    }

    fn devices_named(&self, registration_id: &str) -> impl Iterator<Item = usize> {
        let devices = self.evidence.devices.iter().enumerate();
        devices.filter(move |(_, device)| device.registration_id == registration_id).map(|(index, _)| index)
    }

    /// No more registrations in a minute than were allowed.
    fn paced(&self, findings: &mut Vec<Finding>) {
        let (times, most) = (&self.evidence.registered, self.evidence.pace.per_minute);
        for window in times.windows(most + 1).filter(|_| most > 0) {
            let [(from, _), .., (to, _)] = window else { continue };
            // A permit is the bridge's, the times are the service's: whatever holds up the way between them moves the minute.
            // Only the process that ends and begins anew holds up nobody who has a permit.
            let excused = self.evidence.troubles.iter().any(|trouble| {
                trouble.effect.delays.is_some() && !trouble.effect.restarts && trouble.touches(from - TURN_MS, *to)
            });
            if to - from < MINUTE_MS && !excused {
                let what = format!("{} devices from {} to {}", window.len(), self.moment(*from), self.moment(*to));
                findings.push(Finding { kind: "registered", what });
            }
        }
    }

    /// Tokens are renewed before they run out.
    fn tokens(&self, findings: &mut Vec<Finding>) {
        for (at, device_id) in &self.evidence.ran_out {
            let device = self.evidence.devices.iter().position(|device| &device.registration_id == device_id);
            let excused = self.evidence.troubles.iter().any(|trouble| {
                let concerns = device.is_none_or(|device| trouble.concerns(device));
                // A token that was signed under a wrong clock ends by that clock, long after it was set right.
                let after = if trouble.effect.ends_tokens {
                    Some(TOKEN_MS_MAX)
                } else {
                    trouble.effect.delays.map(|delays| delays.max(SILENCE_MS))
                };
                concerns && after.is_some_and(|after| trouble.touches(*at - after, *at))
            });
            if !excused {
                findings.push(Finding {
                    kind: "token",
                    what: format!("that of {device_id} ran out at {}", self.moment(*at)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
