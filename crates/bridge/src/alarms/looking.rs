//! The shell of the watch: gathers the facts every ten seconds, and carries the news out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use azure::net::Dial;
use queue::{Queue, Stats, UnixMillis};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::book::News;
use super::facts::{Ending, Facts, Heard, Quota, Runs, Service};
use super::report::Report;
use super::room::{Filling, Outlook};
use super::rules::{self, Devices, Rules, Silent};
use super::{Alarms, Kind, LOOK_EVERY, Now, lock, sender};
use crate::config::Config;
use crate::device::Shared;
use crate::events::{Event, Events};
use crate::feed::radio::DEVICES_MAX;
use crate::feed::units::Day;
use crate::lane::{DeviceKey, Lane};
use crate::swap::Swap;
use crate::webhook::tls::Tls;
use crate::world::World;

/// The queue answers all questions of a look within this, or that look does without: a disk may stand still, which is an alarm.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Lanes in one question to the queue's writer.
const LANES_AT_ONCE: usize = 512;
/// What a device does so often is its habit.
const INTERVALS_MIN: u8 = 4;

/// Devices that are recalled in one go after a restart, each a row read by the queue's writer: 500 a second.
const RECALLED_AT_ONCE: usize = 50;
const RECALL_EVERY: Duration = Duration::from_millis(100);

/// Each device, and when its uplinks of before were settled, the oldest first.
type Recalled = Vec<(Arc<DeviceKey>, Vec<UnixMillis>)>;

/// Where the queue is, and how large it may become.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its directory.
    pub dir: PathBuf,
    /// `queue.max_bytes`
    pub max_bytes: u64,
}

/// What is looked at.
#[derive(Debug)]
pub struct Watch {
    /// Depths.
    pub queue: Queue,
    /// Where news are counted; and what was counted.
    pub events: Events,
    /// `[alarms]`, as it is now.
    pub config: Arc<Swap<Config>>,
    /// Hubs and scopes. None while the process only takes messages.
    pub flow: Option<Arc<Shared>>,
    /// This process has a door.
    pub has_door: bool,
    /// The door's certificate.
    pub tls: Option<Tls>,
    /// None where the queue is not on a disk of ours.
    pub place: Option<Place>,
    /// When the process was started.
    pub started_at: UnixMillis,
    /// The clock.
    pub world: World,
}

impl Watch {
    /// Looks, and tells the operator's receiver, until the runtime ends.
    pub fn start(self, alarms: &Arc<Alarms>, dial: Arc<dyn Dial>) {
        let told = (self.events.clone(), self.world.clone());
        tokio::spawn(sender::run(alarms.clone(), self.config.clone(), dial, told));
        tokio::spawn(self.run(alarms.clone()));
    }

    async fn run(self, alarms: Arc<Alarms>) {
        let began = Instant::now();
        let mut recalled = self.recall();
        let (mut rules, mut filling, mut before) = (Rules::default(), Filling::default(), self.queue.stats());
        filling.look(&before);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Now { wall: self.world.now(), passed: began.elapsed() };
            let stats = self.queue.stats();
            changes(&before, &stats).into_iter().for_each(|event| self.events.emit(event));
            filling.look(&stats);
            before = stats.clone();
            let outlook = self.place.as_ref().and_then(room).map(|room| filling.outlook(room));
            *lock(&alarms.outlook) = outlook;
            let config = self.config.get();
            let by = Instant::now() + ASK_WITHIN;
            if let Ok(recalled) = recalled.try_recv() {
                self.remember(&mut rules, recalled);
            }
            let devices = self.devices(&mut rules, &config, now, by).await;
            let facts = self.facts(&alarms, &config, (stats, outlook), by).await;
            let mut book = lock(&alarms.book);
            let claims = rules.look(&config.alarms, &facts, &devices, &book, now);
            let news = book.look(claims, |kind| rules::patience(&config.alarms, kind), now);
            drop(book);
            self.tell(&alarms, &config, news, outlook);
        }
    }

    /// When each device was heard before this process was there, as far as the queue on our disk remembers: the last 64 uplinks of
    /// a day. A bounded number of rows a second, so that puts wait for none of it.
    fn recall(&self) -> oneshot::Receiver<Recalled> {
        let (recalled, at_the_end) = oneshot::channel();
        let (Some(flow), Some(_)) = (self.flow.clone(), &self.place) else { return at_the_end };
        tokio::spawn(async move {
            let (mut found, mut after): (Recalled, Option<DeviceKey>) = (Vec::new(), None);
            while found.len() < DEVICES_MAX {
                let owners = flow.claims.owners_after(after.as_ref(), RECALLED_AT_ONCE);
                let Some(last) = owners.last() else { break };
                after = Some((*last.device).clone());
                for owner in owners {
                    let lane = Lane::Telemetry((*owner.device).clone()).to_string();
                    let Ok(seen) = flow.queue.seen(&lane).await else { return };
                    let mut times: Vec<_> = seen.iter().map(|seen| seen.at).collect();
                    times.sort_unstable();
                    found.push((owner.device, times));
                }
                tokio::time::sleep(RECALL_EVERY).await;
            }
            // Nobody waits for it when the process ends.
            let _ = recalled.send(found);
        });
        at_the_end
    }

    fn remember(&self, rules: &mut Rules, recalled: Recalled) {
        if let Some(last) = recalled.iter().filter_map(|(_, times)| times.last()).max() {
            rules.lived_until(*last);
        }
        for (device, times) in recalled {
            self.events.feed().radios.remember(&device, &times);
        }
    }

    /// All devices, and which of them are silent: not those of which something waits, nor those that another process has.
    async fn devices(&self, rules: &mut Rules, config: &Config, now: Now, by: Instant) -> Devices {
        let mut round = rules.begin(&config.alarms, now);
        self.each_device(|heard| round.see(heard));
        let lane = |silent: &Silent| Lane::Telemetry((*silent.device).clone()).to_string();
        let mut silent = std::collections::BTreeSet::new();
        for piece in round.candidates().chunks(LANES_AT_ONCE) {
            let lanes = piece.iter().map(lane).collect();
            let Ok(Ok(waiting)) = timeout_at(by, self.queue.lanes(lanes)).await else { break };
            let of = piece.iter().zip(waiting).filter(|(_, waiting)| waiting.is_none());
            silent.extend(of.map(|(silent, _)| silent.device.clone()));
        }
        let is_ours = |silent: &Silent| !self.queue.is_shared() || self.queue.holds(&lane(silent));
        round.end(|candidate| silent.contains(&candidate.device) && is_ours(candidate))
    }

    fn each_device(&self, mut look: impl FnMut(&Heard)) {
        self.events.feed().radios.each(|seen| {
            let usual = seen.usual_interval_ms.filter(|_| seen.intervals >= INTERVALS_MIN);
            look(&Heard {
                device: seen.device,
                last_uplink_at: seen.last_uplink_at,
                usual_interval: usual.map(Duration::from_millis),
                last_gap: seen.last_gap.map(|(at, missing)| (at, u32::from(missing))),
            });
        });
    }

    async fn facts(
        &self,
        alarms: &Alarms,
        config: &Config,
        (queue, outlook): (Stats, Option<Outlook>),
        by: Instant,
    ) -> Facts {
        let limit = i64::try_from(config.alarms.queue_old.as_millis()).unwrap_or(i64::MAX);
        let before = self.world.now().saturating_sub(limit);
        let is_old = queue.oldest_accepted_at.is_some_and(|oldest| oldest < before);
        let old_lanes = match is_old {
            true => timeout_at(by, self.queue.lanes_older_than(before)).await.ok().and_then(Result::ok).unwrap_or(0),
            false => 0,
        };
        let tally = self.events.tally();
        Facts {
            queue,
            old_lanes,
            devices_assigned: self.flow.as_ref().map_or(0, |flow| flow.provision.assigned()),
            outlook,
            services: self.flow.as_deref().map_or_else(Vec::new, |flow| self.services(flow)),
            quotas: self.quotas(config),
            ends: self.ends(alarms, config),
            door: self.has_door.then(|| tally.door()),
            settled: self.flow.is_some().then(|| tally.settled()),
        }
    }

    /// Of the hubs whose allowance is known: the least that one of their targets says.
    fn quotas(&self, config: &Config) -> Vec<Quota> {
        let (now, units) = (self.world.now(), self.events.feed().units());
        let quota = |(hub, day): (String, Day)| {
            let targets = units.targets_of(&hub);
            let allowances = targets.iter().filter_map(|target| config.targets.get(target)?.daily_units);
            let allowance = allowances.min()?;
            let forecast = day.forecast(now, self.started_at, Some(allowance));
            let (forecast, runs_out_at) = (Some(forecast.end_of_day), forecast.runs_out_at);
            Some(Quota { hub, used: day.used, allowance, forecast, runs_out_at })
        };
        units.today(now).into_iter().filter_map(quota).collect()
    }

    fn services(&self, flow: &Shared) -> Vec<Service> {
        let hubs = flow.pool.standing().into_iter().map(|hub| Service {
            works: hub.open,
            refuses_many: hub.refuses_many,
            waiting: hub.resting,
            cause: self.events.cause(&hub.hub),
            name: hub.hub,
        });
        let scopes = flow.provision.progress().into_iter().map(|scope| Service {
            works: scope.works,
            refuses_many: scope.denies_many,
            waiting: scope.waiting,
            cause: self.events.cause(&scope.scope),
            name: scope.scope,
        });
        hubs.chain(scopes).collect()
    }

    fn ends(&self, alarms: &Alarms, config: &Config) -> Vec<Ending> {
        let mut ends = lock(&alarms.secrets).clone();
        if let (Some(tls), Some(files)) = (&self.tls, &config.webhook.tls) {
            let name = files.cert_file.display().to_string();
            ends.extend(tls.ends_at().map(|at| Ending { what: Runs::Certificate, name, at }));
        }
        let account = config.queue.kind.storage().and_then(|storage| storage.account.ends_at());
        let name = || "queue.connection_string".to_owned();
        ends.extend(account.map(|at| Ending { what: Runs::Signature, name: name(), at: at.saturating_mul(1_000) }));
        ends
    }

    fn tell(&self, alarms: &Alarms, config: &Config, news: Vec<News>, outlook: Option<Outlook>) {
        let bridge = config.alarms.bridge.as_deref().unwrap_or(&alarms.host);
        for news in news {
            let (alarm, is_further) = (&news.alarm, news.is_further);
            match alarm.ended_at {
                None => self.events.emit(Event::AlarmRaised { alarm, is_further }),
                Some(_) => self.events.emit(Event::AlarmEnded { alarm }),
            }
            if let (Kind::DiskFilling, None, Some(Outlook { bytes_left, seconds_left: Some(seconds_left) })) =
                (alarm.alarm, alarm.ended_at, outlook)
            {
                self.events.emit(Event::QueueFills { seconds_left, bytes_left });
            }
            if config.alarms.webhook.is_some() {
                let gone = alarms.reports.push(Report::new(news, bridge), &self.world);
                if gone > 0 {
                    self.events.emit(Event::AlarmReportsGone { count: gone });
                }
            }
        }
    }
}

/// PURE: what changed between two looks that belongs into the log whatever becomes of it.
fn changes<'a>(before: &Stats, now: &'a Stats) -> Vec<Event<'a>> {
    let mut news = Vec::new();
    if now.dead_letters_gone > before.dead_letters_gone {
        news.push(Event::DeadLettersGone { count: now.dead_letters_gone - before.dead_letters_gone });
    }
    match (before.writable, now.writable) {
        (true, false) => news.push(Event::QueueShut { trouble: now.trouble.as_deref().unwrap_or("unknown") }),
        (false, true) => news.push(Event::QueueOpen),
        _ => {}
    }
    news
}

/// Bytes that the queue's file can have, with those that it has. None where the disk does not tell.
fn room(place: &Place) -> Option<u64> {
    let disk = rustix::fs::statvfs(&place.dir).ok()?;
    let file = std::fs::metadata(place.dir.join("queue.db")).ok()?.len();
    Some(place.max_bytes.min(file.saturating_add(disk.f_bavail.saturating_mul(disk.f_frsize))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let fine = Stats { writable: true, dead_letters_gone: 3, ..Stats::default() };
        assert!(changes(&fine, &fine).is_empty());
        let full = Stats { writable: false, trouble: Some("full".to_owned()), dead_letters_gone: 5, ..fine.clone() };
        let told = changes(&fine, &full);
        assert!(
            matches!(told[..], [Event::DeadLettersGone { count: 2 }, Event::QueueShut { trouble: "full" }]),
            "{told:?}"
        );
        assert!(changes(&full, &full).is_empty(), "once");
        assert!(matches!(changes(&full, &fine)[..], [Event::QueueOpen]));
    }
}
