//! A bridge's days in virtual time, a look every ten seconds: which alarms are raised, and which end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::queue::{Stats, UnixMillis};

use super::super::alarm::Severity;
use super::super::facts::{Door, Ending, Heard, Quota, Runs, Service};
use super::super::room::Outlook;
use super::*;
use crate::lane::DeviceKey;

const START: UnixMillis = 1_790_000_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn settings() -> Alarms {
    Alarms {
        webhook: None,
        bridge: None,
        device_silent_intervals: 3,
        device_silent_min: Duration::from_secs(HOUR),
        flow_silent_min: Duration::from_secs(15 * MINUTE),
        queue_old: Duration::from_secs(10 * MINUTE),
        hub_down_min: Duration::from_secs(MINUTE),
        off: BTreeSet::new(),
    }
}

fn fine() -> Facts {
    Facts {
        queue: Stats { writable: true, ..Stats::default() },
        devices_assigned: 1_000,
        door: Some(Door::default()),
        settled: Some(0),
        ..Facts::default()
    }
}

/// Alarms and rules under a clock that can be set.
struct Watch {
    rules: Rules,
    book: Book,
    settings: Alarms,
    passed: u64,
    set_by: UnixMillis,
    /// Application and device: how often it sends in seconds, when it did last by the wall clock, and when it will next.
    devices: BTreeMap<(String, String), (u64, UnixMillis, u64)>,
    /// These do not send any more.
    gone: BTreeSet<(String, String)>,
    /// Of these something waits in the queue.
    waiting: BTreeSet<(String, String)>,
    last_gap: Option<(UnixMillis, u32)>,
    facts: Facts,
}

impl Watch {
    fn new() -> Self {
        Self {
            rules: Rules::default(),
            book: Book::default(),
            settings: settings(),
            passed: 0,
            set_by: 0,
            devices: BTreeMap::new(),
            gone: BTreeSet::new(),
            waiting: BTreeSet::new(),
            last_gap: None,
            facts: fine(),
        }
    }

    fn with(application: &str, devices: usize, every: u64) -> Self {
        Self::new().and(application, devices, every)
    }

    fn and(mut self, application: &str, devices: usize, every: u64) -> Self {
        for nth in 0..devices {
            // Not all at once.
            let before = every * nth as u64 / devices as u64;
            let at = START - UnixMillis::try_from(before).unwrap() * 1_000;
            self.devices.insert(name(application, nth), (every, at, every - before));
        }
        self
    }

    fn wall(&self) -> UnixMillis {
        START + self.set_by + UnixMillis::try_from(self.passed).unwrap() * 1_000
    }

    fn stop(&mut self, application: &str, devices: std::ops::Range<usize>) {
        self.gone.extend(devices.map(|nth| name(application, nth)));
    }

    /// So many seconds pass. What is told: second, state, alarm, subject.
    fn pass(&mut self, seconds: u64) -> Vec<String> {
        let end = self.passed + seconds;
        let mut told = Vec::new();
        while self.passed < end {
            self.passed += 10;
            told.extend(self.look());
        }
        told
    }

    /// The same, without when.
    fn tells(&mut self, seconds: u64) -> Vec<String> {
        self.pass(seconds).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    fn look(&mut self) -> Vec<String> {
        let now = Now { wall: self.wall(), passed: Duration::from_secs(self.passed) };
        for (device, (every, last, next)) in &mut self.devices {
            if *next <= self.passed {
                *next += *every;
                *last = if self.gone.contains(device) { *last } else { now.wall };
            }
        }
        let mut round = self.rules.begin(&self.settings, now);
        for ((application, device), (every, last, _)) in &self.devices {
            let (network, application, device) = ("ttn".to_owned(), application.clone(), device.clone());
            round.see(&Heard {
                device: Arc::new(DeviceKey { network, application, device }),
                last_uplink_at: *last,
                usual_interval: Some(Duration::from_secs(*every)),
                last_gap: self.last_gap,
            });
        }
        let waits =
            |silent: &Silent| self.waiting.contains(&(silent.device.application.clone(), silent.device.device.clone()));
        let devices = round.end(|silent| !waits(silent));
        let claims = self.rules.look(&self.settings, &self.facts, &devices, &self.book, now);
        let news = self.book.look(claims, |kind| patience(&self.settings, kind), now);
        let line = |news: super::super::book::News| {
            assert!(!news.alarm.text.is_empty() && !news.alarm.mend.is_empty(), "{news:?}");
            let severity = if news.alarm.severity == Severity::Page { " page" } else { "" };
            let (word, subject) = (news.alarm.alarm.word(), &news.alarm.subject);
            format!("{} {} {word} {subject}{severity}", self.passed, news.state())
        };
        news.into_iter().map(line).collect()
    }

    fn text_of(&self, alarm: Kind) -> String {
        let of = |found: &&super::super::Alarm| found.alarm == alarm;
        self.book.active().find(of).map(|found| found.text.clone()).unwrap_or_default()
    }
}

fn name(application: &str, nth: usize) -> (String, String) {
    (application.to_owned(), format!("d{nth}"))
}

#[test]
fn a_device_that_falls_silent_is_told_once_and_its_return_once() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE);
    assert_eq!(watch.pass(5 * HOUR), [""; 0]);
    watch.stop("hall", 3..4);
    assert_eq!(watch.pass(HOUR), [""; 0], "an hour at least");
    assert_eq!(watch.tells(20 * MINUTE), ["raised device_silent ttn/hall/d3"]);
    assert!(
        watch.text_of(Kind::DeviceSilent).contains("usually sends every 10 min"),
        "{}",
        watch.text_of(Kind::DeviceSilent)
    );
    assert_eq!(watch.pass(DAY), [""; 0]);
    watch.gone.clear();
    assert_eq!(watch.tells(11 * MINUTE), ["ended device_silent ttn/hall/d3"]);
    watch.stop("hall", 3..4);
    watch.pass(2 * HOUR);
    assert_eq!(watch.tells(8 * DAY), ["ended device_silent ttn/hall/d3"], "taken away for good");
}

#[test]
fn a_slow_device_has_its_own_patience() {
    let mut watch = Watch::with("hall", 3, DAY).and("hall2", 20, 10 * MINUTE);
    watch.pass(2 * DAY);
    watch.stop("hall", 1..2);
    assert_eq!(watch.pass(2 * DAY), [""; 0]);
    assert_eq!(watch.tells(DAY + HOUR), ["raised device_silent ttn/hall/d1"]);
}

#[test]
fn many_that_fall_silent_are_one_alarm_with_their_number() {
    for (gone, severity) in [(60, " page"), (30, "")] {
        let mut watch = Watch::with("hall", 100, 10 * MINUTE).and("other", 20, 10 * MINUTE);
        assert_eq!(watch.pass(5 * HOUR), [""; 0]);
        watch.stop("hall", 0..gone);
        let told = watch.tells(2 * HOUR);
        let raised = format!("raised flow_stopped ttn/hall{severity}");
        assert!(told.iter().all(|line| line.starts_with("raised flow_stopped ttn/hall")), "{told:?}");
        assert_eq!(told.last(), Some(&raised), "and a step further at half of them");
        let text = watch.text_of(Kind::FlowStopped);
        assert!(text.contains(&format!("{gone} of 100 devices")), "{text}");
        watch.gone.clear();
        assert_eq!(watch.tells(HOUR), [format!("ended flow_stopped ttn/hall{severity}")]);
    }
}

#[test]
fn those_whose_messages_wait_are_not_silent() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE);
    watch.pass(5 * HOUR);
    watch.stop("hall", 0..2);
    watch.waiting.insert(name("hall", 0));
    assert_eq!(watch.tells(3 * HOUR), ["raised device_silent ttn/hall/d1"]);
}

#[test]
fn an_application_that_stops_is_told_and_so_is_everything_at_once() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE).and("road", 40, 10 * MINUTE);
    watch.pass(5 * HOUR);
    watch.stop("hall", 0..40);
    assert_eq!(watch.pass(14 * MINUTE), [""; 0]);
    assert_eq!(watch.tells(2 * HOUR), ["raised flow_stopped ttn/hall page"], "and none of its devices");
    watch.gone.clear();
    assert_eq!(watch.tells(20 * MINUTE), ["ended flow_stopped ttn/hall page"]);
    watch.pass(HOUR);
    for application in ["hall", "road"] {
        watch.stop(application, 0..40);
    }
    assert_eq!(watch.tells(2 * HOUR), ["raised flow_stopped everything page"]);
    watch.gone.clear();
    assert_eq!(watch.tells(20 * MINUTE), ["ended flow_stopped everything page"]);
}

#[test]
fn what_comes_in_bursts_is_missed_after_three_of_its_silences() {
    let mut watch = Watch::with("meters", 1, 6 * HOUR);
    // Forty more, all in the same minute of each six hours.
    for nth in 1..40 {
        watch.devices.insert(name("meters", nth), (6 * HOUR, START, 6 * HOUR));
    }
    assert_eq!(watch.pass(4 * DAY), [""; 0]);
}

#[test]
fn a_new_habit_is_two_alarms_and_no_more() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE);
    watch.pass(5 * HOUR);
    // From now on all of them send in the same minute of each hour.
    watch.settings.device_silent_min = Duration::from_secs(DAY);
    watch.devices.values_mut().for_each(|(every, _, next)| (*every, *next) = (HOUR, 6 * HOUR));
    let told = watch.tells(3 * DAY);
    assert_eq!(told.iter().filter(|line| line.starts_with("raised")).count(), 2, "{told:?}");
}

#[test]
fn a_clock_that_is_set_and_a_machine_that_slept_make_nobody_silent() {
    for set_by in [HOUR, 30 * HOUR].map(|by| UnixMillis::try_from(by * 1_000).unwrap()) {
        let mut watch = Watch::with("hall", 40, 30 * MINUTE);
        watch.pass(6 * HOUR);
        watch.set_by = set_by;
        assert_eq!(watch.pass(6 * HOUR), [""; 0], "set forward by {set_by}");
        watch.set_by = 0;
        assert_eq!(watch.pass(6 * HOUR), [""; 0], "set back by {set_by}");
    }
}

#[test]
fn a_clock_that_is_set_back_delays_an_alarm_and_hides_none() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE);
    watch.pass(5 * HOUR);
    watch.stop("hall", 0..1);
    watch.pass(20 * MINUTE);
    watch.set_by = -3_600_000;
    assert_eq!(watch.tells(3 * HOUR), ["raised device_silent ttn/hall/d0"]);
}

#[test]
fn after_a_restart_a_device_that_was_silent_is_told_again_and_the_time_between_is_nobodys() {
    let mut watch = Watch::with("hall", 40, 10 * MINUTE);
    watch.stop("hall", 5..6);
    let down = 5 * 3_600_000;
    for (nth, (_, last, _)) in watch.devices.values_mut().enumerate() {
        *last -= down + if nth == 5 { 7_200_000 } else { 0 };
    }
    let silent = watch.devices.keys().nth(5).unwrap().clone();
    watch.gone = BTreeSet::from([silent.clone()]);
    watch.rules.begin(&watch.settings, Now { wall: START, passed: Duration::ZERO });
    watch.rules.lived_until(START - down);
    assert_eq!(watch.tells(11 * MINUTE), [format!("raised device_silent ttn/hall/{}", silent.1)]);
}

#[test]
fn messages_that_come_in_and_do_not_go_out_are_a_stop_of_their_own() {
    let mut watch = Watch::new();
    watch.facts.queue.waiting = 50;
    watch.facts.old_lanes = 5;
    let mut told = Vec::new();
    for _ in 0..120 {
        watch.facts.door.as_mut().unwrap().accepted += 1;
        told.extend(watch.pass(10));
    }
    assert_eq!(told, ["670 raised flow_stopped outgoing page"]);
    watch.facts.settled = Some(1);
    assert_eq!(watch.tells(MINUTE), ["ended flow_stopped outgoing page"]);
    let mut watch = Watch::new();
    watch.facts.queue.waiting = 50;
    watch.facts.old_lanes = 5;
    watch.facts.services = vec![Service { name: "h".to_owned(), works: false, ..Service::default() }];
    for _ in 0..120 {
        watch.facts.door.as_mut().unwrap().accepted += 1;
        told.extend(watch.tells(10));
    }
    assert_eq!(told[1..], ["raised hub_down h page"], "that says why");
}

#[test]
fn hubs_are_told_when_they_are_down_for_a_minute_or_refuse_many() {
    let hub = |works, refuses_many| vec![Service { name: "h".to_owned(), works, refuses_many, ..Service::default() }];
    let mut watch = Watch::new();
    watch.facts.services = hub(false, false);
    assert_eq!(watch.pass(MINUTE), [""; 0]);
    assert_eq!(watch.pass(MINUTE), ["70 raised hub_down h page"]);
    watch.facts.services = hub(true, true);
    assert_eq!(watch.pass(MINUTE), ["130 raised breaker_open h page", "150 ended hub_down h page"]);
    watch.facts.services = hub(true, false);
    assert_eq!(watch.tells(MINUTE), ["ended breaker_open h page"]);
}

#[test]
fn one_held_device_is_no_page_and_many_are() {
    let old = |old_lanes| Facts {
        queue: Stats { waiting: 9, oldest_accepted_at: Some(START - 3_600_000), ..fine().queue },
        old_lanes,
        ..fine()
    };
    for (old_lanes, told) in [
        (0, vec![]),
        (1, vec!["raised queue_old queue"]),
        (9, vec!["raised queue_old queue"]),
        (10, vec!["raised queue_old queue page"]),
    ] {
        let mut watch = Watch::new();
        watch.facts = old(old_lanes);
        assert_eq!(watch.tells(MINUTE), told);
        if old_lanes > 0 {
            assert!(watch.text_of(Kind::QueueOld).contains("wait"), "{}", watch.text_of(Kind::QueueOld));
        }
    }
    let mut watch = Watch::new();
    watch.facts = Facts { services: vec![Service { name: "h".to_owned(), ..Service::default() }], ..old(500) };
    assert_eq!(watch.tells(30), ["raised queue_old queue"], "the hub's alarm pages");
}

#[test]
fn a_queue_that_shuts_fills_or_loses_dead_letters_is_told() {
    let mut watch = Watch::new();
    watch.facts.queue.writable = false;
    watch.facts.queue.trouble = Some("no room".to_owned());
    assert_eq!(watch.tells(10), ["raised queue_shut queue page"]);
    assert!(watch.text_of(Kind::QueueShut).contains("no room"));
    watch.facts.queue.writable = true;
    assert_eq!(watch.tells(MINUTE), ["ended queue_shut queue page"]);
    let left = |hours: u64| Some(Outlook { bytes_left: 5_000_000, seconds_left: Some(hours * HOUR) });
    watch.facts.outlook = left(20);
    assert_eq!(watch.tells(30), ["raised disk_filling queue"]);
    watch.facts.outlook = left(3);
    assert_eq!(watch.tells(30), ["raised disk_filling queue page"], "a step further");
    watch.facts.outlook = Some(Outlook { bytes_left: 5_000_000, seconds_left: None });
    assert_eq!(watch.tells(30), ["ended disk_filling queue page"]);
    watch.facts.queue.dead_letters_gone = 7;
    assert_eq!(watch.tells(MINUTE), ["raised dead_letters_gone dead letters"]);
    assert!(watch.text_of(Kind::DeadLettersGone).starts_with("7 dead letters"));
    assert_eq!(watch.tells(HOUR), ["ended dead_letters_gone dead letters"]);
}

#[test]
fn what_runs_out_is_told_three_weeks_a_week_and_a_day_before() {
    let cases = [
        (Runs::Certificate, "certificate_ending"),
        (Runs::VaultSecret, "secret_ending"),
        (Runs::Signature, "secret_ending"),
    ];
    for (what, word) in cases {
        let mut watch = Watch::new();
        let ends = |days: i64| vec![Ending { what, name: "it".to_owned(), at: START + days * 86_400_000 }];
        watch.facts.ends = ends(30);
        let told = watch.pass(31 * DAY);
        let days: Vec<_> = told.iter().map(|line| line.split_once(' ').unwrap()).collect();
        let days: Vec<_> =
            days.into_iter().map(|(at, told)| (at.parse::<u64>().unwrap() / DAY, told.to_owned())).collect();
        let line = |day, severity| (day, format!("raised {word} it{severity}"));
        assert_eq!(days, [line(9, ""), line(23, ""), line(29, " page")]);
        watch.facts.ends = ends(400);
        assert_eq!(watch.tells(10), [format!("ended {word} it page")]);
    }
}

#[test]
fn a_quota_is_told_by_its_forecast_and_by_its_shares() {
    let quota = |used, forecast| {
        vec![Quota {
            hub: "h".to_owned(),
            used,
            allowance: 1_000,
            forecast: Some(forecast),
            runs_out_at: Some(START + 36_000_000),
        }]
    };
    let mut watch = Watch::new();
    let mut tells = |used, forecast| {
        watch.facts.quotas = quota(used, forecast);
        watch.tells(2 * MINUTE)
    };
    assert_eq!(tells(100, 900), [""; 0]);
    assert_eq!(tells(300, 1_200), ["raised quota_near h"]);
    assert_eq!(tells(799, 1_200), [""; 0]);
    assert_eq!(tells(800, 1_200), ["raised quota_near h"]);
    assert_eq!(tells(951, 1_200), ["raised quota_near h page"]);
    assert_eq!(tells(1_000, 1_200), ["raised quota_near h page"]);
    watch.facts.quotas = quota(1, 20);
    assert_eq!(watch.tells(HOUR), ["ended quota_near h page"], "midnight");
}

#[test]
fn a_webhook_that_is_refused_says_what_the_network_counts() {
    let cases = [
        (Door { accepted: 100, unauthorized: 4, ..Door::default() }, ""),
        (Door { accepted: 100, unauthorized: 10, ..Door::default() }, ""),
        (Door { accepted: 40, unauthorized: 10, ..Door::default() }, "raised webhook_failing door"),
        (Door { accepted: 4, forbidden: 9, unauthorized: 1, ..Door::default() }, "raised webhook_failing door page"),
        (Door { unavailable: 50, ..Door::default() }, "raised webhook_failing door page"),
    ];
    for (door, told) in cases {
        let mut watch = Watch::new();
        watch.pass(10);
        watch.facts.door = Some(door);
        assert_eq!(watch.tells(10).join(","), told, "{door:?}");
        if !told.is_empty() {
            assert!(watch.text_of(Kind::WebhookFailing).contains("may switch the webhook off"));
        }
        assert_eq!(watch.tells(HOUR).len(), usize::from(!told.is_empty()), "it ends");
    }
}

#[test]
fn frames_that_are_missing_of_many_devices_are_told() {
    let mut watch = Watch::with("hall", 20, 10 * MINUTE);
    watch.pass(HOUR);
    watch.last_gap = Some((watch.wall(), 6));
    assert_eq!(watch.tells(10), ["raised webhook_failing ttn/hall"]);
    assert_eq!(watch.tells(HOUR), ["ended webhook_failing ttn/hall"]);
    watch.last_gap = Some((watch.wall(), 1));
    let mut chatty = Watch::with("hall", 20, 10);
    chatty.pass(HOUR);
    chatty.last_gap = Some((chatty.wall(), 1));
    assert_eq!(chatty.pass(HOUR), [""; 0], "what the radio loses");
}

#[test]
fn what_nobody_wants_is_not_told() {
    let mut watch = Watch::new();
    watch.settings.off = BTreeSet::from([Kind::QueueShut]);
    watch.facts.queue.writable = false;
    assert_eq!(watch.pass(HOUR), [""; 0]);
}

/// 100 000 devices within a look: 20 ms of a release build; a debug build on a busy machine takes fifty times as long.
#[test]
fn a_look_at_a_hundred_thousand_devices_is_short() {
    let settings = settings();
    let heard: Vec<_> = (0..100_000)
        .map(|nth| Heard {
            device: Arc::new(DeviceKey {
                network: "ttn".to_owned(),
                application: format!("a{}", nth % 50),
                device: format!("d{nth}"),
            }),
            last_uplink_at: START,
            usual_interval: Some(Duration::from_secs(600)),
            last_gap: None,
        })
        .collect();
    let (mut rules, mut book) = (Rules::default(), Book::default());
    let mut shortest = Duration::MAX;
    for passed in [0, 10, 7_200, 7_210] {
        let began = tokio::time::Instant::now();
        let now = Now { wall: START + passed * 1_000, passed: Duration::from_secs(passed.unsigned_abs()) };
        let mut round = rules.begin(&settings, now);
        heard.iter().for_each(|heard| round.see(heard));
        let devices = round.end(|_| true);
        let claims = rules.look(&settings, &fine(), &devices, &book, now);
        assert!(claims.len() <= 60, "{}", claims.len());
        book.look(claims, |kind| patience(&settings, kind), now);
        shortest = shortest.min(began.elapsed());
    }
    assert!(shortest < Duration::from_millis(if cfg!(debug_assertions) { 1_000 } else { 20 }), "{shortest:?}");
}
