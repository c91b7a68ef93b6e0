//! What is so at the moment of a scrape, as metrics. PURE: what was seen goes in, a registry for this one scrape comes out.

use std::collections::BTreeMap;
use std::fmt;

use azure::hub::amqp::Links;
use prometheus_client::encoding::{EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use queue::{Stats, UnixMillis};

use super::super::targets::Today;
use super::process::Process;
use crate::alarms::Outlook;
use crate::events::names::{Few, Names};
use crate::pool::Standing;
use crate::provision::scope::Progress;

/// All that is looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) queue: Stats,
    pub(super) outlook: Option<Outlook>,
    pub(super) hubs: Vec<Standing>,
    /// What each of them counts today.
    pub(super) days: Vec<Option<Today>>,
    pub(super) scopes: Vec<Progress>,
    pub(super) devices_assigned: usize,
    pub(super) leaving: bool,
    pub(super) process: Process,
    pub(super) started_at: UnixMillis,
    pub(super) now: UnixMillis,
}

/// For one scrape.
pub(super) fn of(look: &Look, names: &Names) -> Registry {
    let mut registry = Registry::default();
    let mut ours = Sheet(registry.sub_registry_with_prefix("longhaul"));
    ours.0.register("build", "Which longhaul this is", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    ours.gauge("leaving", "Whether this process is about to end, as 1 or 0", one(u64::from(look.leaving)));
    queue(&mut ours, look);
    aside(&mut ours, look);
    hubs(&mut ours, look, &names.hubs);
    links(&mut ours, look, &names.hubs);
    units(&mut ours, look, &names.hubs);
    scopes(&mut ours, look, &names.scopes);
    process(&mut Sheet(registry.sub_registry_with_prefix("process")), look);
    registry
}

fn queue(sheet: &mut Sheet<'_>, look: &Look) {
    let stats = &look.queue;
    let age = stats.oldest_accepted_at.map_or(0, |oldest| look.now.saturating_sub(oldest).max(0));
    let left = look.outlook.map(|outlook| outlook.bytes_left);
    let full_in = look.outlook.and_then(|outlook| outlook.seconds_left);
    sheet.gauge(
        "waiting_messages",
        "How many messages wait in the queue, those being sent included",
        one(stats.waiting),
    );
    sheet.gauge_in(Unit::Bytes, "waiting", "How large the waiting messages are", one(stats.waiting_bytes));
    sheet.gauge("waiting_lanes", "How many devices have messages that wait", one(stats.lanes));
    sheet.gauge_in(Unit::Seconds, "oldest_waiting", "How old the oldest waiting message is, or 0", one(seconds(age)));
    sheet.gauge("leased_messages", "How many messages are being worked on", one(stats.leased));
    sheet.gauge("queue_writable", "Whether a message can be made durable, as 1 or 0", one(u64::from(stats.writable)));
    sheet.gauge_in(Unit::Bytes, "queue_room", "How many bytes of messages still fit into the queue", maybe(left));
    let help = "When the queue will be full at the pace of the last five minutes; not there while it does not fill";
    sheet.gauge_in(Unit::Seconds, "queue_full_in", help, maybe(full_in));
    let help = "How many leases were dropped unsettled, which is a defect of longhaul outside of a shutdown";
    sheet.counter("leases_dropped", help, one(stats.dropped_leases));
}

fn aside(sheet: &mut Sheet<'_>, look: &Look) {
    let stats = &look.queue;
    sheet.gauge("dead_letters", "How many dead letters there are", one(stats.dead_letters));
    sheet.gauge_in(Unit::Bytes, "dead_letters", "How large the dead letters are", one(stats.dead_letters_bytes));
    let help = "How many dead letters were pushed out by newer ones or by age, since the queue was made";
    sheet.counter("dead_letters_gone", help, one(stats.dead_letters_gone));
    sheet.gauge("kept_messages", "How many messages are set aside", one(stats.kept));
    sheet.gauge_in(Unit::Bytes, "kept", "How large the messages are that are set aside", one(stats.kept_bytes));
    let help = "How many messages set aside were pushed out by newer ones or by age, since the queue was made";
    sheet.counter("kept_gone", help, one(stats.kept_gone));
}

fn hubs(sheet: &mut Sheet<'_>, look: &Look, names: &Few) {
    let hubs = |figure: fn(&Standing) -> u64, fold| {
        by("hub", names, look.hubs.iter().map(|h| (h.hub.as_str(), figure(h))), fold)
    };
    sheet.gauge(
        "hub_up",
        "Whether a hub works as far as is known, as 1 or 0",
        hubs(|hub| u64::from(hub.open), u64::min),
    );
    let help = "Whether a hub refuses so many devices that none is registered again, as 1 or 0";
    sheet.gauge("hub_refuses_many", help, hubs(|hub| u64::from(hub.refuses_many), u64::max));
    let help = "How many devices have messages that rest until their hub works";
    sheet.gauge("hub_resting_lanes", help, hubs(|hub| hub.resting as u64, plus));
}

fn links(sheet: &mut Sheet<'_>, look: &Look, names: &Few) {
    let with_links = || look.hubs.iter().filter_map(|hub| Some((hub.hub.as_str(), hub.links.as_ref()?)));
    let links =
        |figure: fn(&Links) -> u64| by("hub", names, with_links().map(|(hub, links)| (hub, figure(links))), plus);
    let help = "How many AMQP connections to a hub there are, those being opened included";
    sheet.gauge("hub_connections", help, links(|links| links.connections as u64));
    sheet.gauge("hub_links", "How many devices have a link to their hub", links(|links| links.attached as u64));
    let help = "How many devices are on their way to a link";
    sheet.gauge("hub_links_opening", help, links(|links| links.opening as u64));
    let help = "How many devices keep still because somebody else sends as them";
    sheet.gauge("hub_links_stolen", help, links(|links| links.stolen as u64));
    let help = "How many messages wait for the word of their hub";
    sheet.gauge("hub_unsettled_messages", help, links(|links| links.unsettled as u64));
    let help = "How many tokens of devices were renewed";
    sheet.counter("hub_tokens_renewed", help, links(|links| links.renewals));
}

fn units(sheet: &mut Sheet<'_>, look: &Look, names: &Few) {
    let with_pace = look.hubs.iter().filter_map(|hub| Some((hub.hub.as_str(), hub.links.as_ref()?.pace_per_second?)));
    let help =
        "How many messages a second a hub is given at the most, learnt or configured; not there without such a pace";
    sheet.gauge("hub_pace_messages_per_second", help, by("hub", names, with_pace, plus));
    let days = || look.hubs.iter().zip(&look.days).filter_map(|(hub, day)| Some((hub.hub.as_str(), (*day)?)));
    let help = "How many units of 4 KiB a hub has taken since the day of UTC began";
    sheet.gauge("hub_units_today", help, by("hub", names, days().map(|(hub, day)| (hub, day.used)), plus));
    let help = "How many units a hub will have taken when the day of UTC ends, at the pace of the last hour";
    sheet.gauge("hub_units_forecast", help, by("hub", names, days().map(|(hub, day)| (hub, day.forecast)), plus));
    let allowed = days().filter_map(|(hub, day)| Some((hub, day.allowance?)));
    let help = "How many units a day a hub takes, where the configuration says so";
    sheet.gauge("hub_units_allowance", help, by("hub", names, allowed, plus));
}

fn scopes(sheet: &mut Sheet<'_>, look: &Look, names: &Few) {
    let scopes = |figure: fn(&Progress) -> u64, fold| {
        by("scope", names, look.scopes.iter().map(|scope| (scope.scope.as_str(), figure(scope))), fold)
    };
    sheet.gauge("devices_assigned", "How many devices have a hub", one(look.devices_assigned as u64));
    let help = "Whether a provisioning service works for this scope as far as is known, as 1 or 0";
    sheet.gauge("scope_up", help, scopes(|scope| u64::from(scope.works), u64::min));
    let help = "Whether a scope denies many devices and takes none, as 1 or 0";
    sheet.gauge("scope_denying", help, scopes(|scope| u64::from(scope.denies_many), u64::max));
    let help = "How many devices are being registered";
    sheet.gauge("registrations_under_way", help, scopes(|scope| scope.under_way as u64, plus));
    let help = "How many devices with waiting messages stand in line to be registered";
    sheet.gauge("registrations_waiting", help, scopes(|scope| scope.waiting as u64, plus));
    let help = "How many devices stand in line to be registered ahead of their first message";
    sheet.gauge("registrations_waiting_ahead", help, scopes(|scope| scope.waiting_ahead as u64, plus));
}

/// Under the names that every client library of Prometheus has.
fn process(sheet: &mut Sheet<'_>, look: &Look) {
    let Process { cpu_seconds, resident_bytes, open_fds, max_fds } = look.process;
    sheet.counter_in(Unit::Seconds, "cpu", "How much time of processors this process has used", one(cpu_seconds));
    let help = "How much memory of the machine this process has";
    sheet.gauge_in(Unit::Bytes, "resident_memory", help, maybe(resident_bytes));
    sheet.gauge("open_fds", "How many files and sockets this process has open", maybe(open_fds));
    sheet.gauge("max_fds", "How many files and sockets this process may have open", maybe(max_fds));
    let help = "When this process was started, in seconds since 1970";
    sheet.gauge_in(Unit::Seconds, "start_time", help, one(seconds(look.started_at)));
}

fn seconds(millis: UnixMillis) -> f64 {
    millis as f64 / 1e3
}

type Rows<N> = Vec<(Option<(&'static str, String)>, N)>;

fn one<N>(value: N) -> Rows<N> {
    vec![(None, value)]
}

fn maybe<N>(value: Option<N>) -> Rows<N> {
    value.map_or_else(Vec::new, one)
}

/// One row for each name; what names beyond the bound have is put together.
fn by<'a, N: Copy>(
    label: &'static str,
    names: &Few,
    of: impl Iterator<Item = (&'a str, N)>,
    fold: fn(N, N) -> N,
) -> Rows<N> {
    let mut rows = BTreeMap::new();
    for (name, value) in of {
        rows.entry(names.label(name)).and_modify(|before| *before = fold(*before, value)).or_insert(value);
    }
    rows.into_iter().map(|(name, value)| (Some((label, name)), value)).collect()
}

fn plus(a: u64, b: u64) -> u64 {
    a.saturating_add(b)
}

/// Where it is written.
struct Sheet<'a>(&'a mut Registry);

/// What may stand there.
trait Figure: EncodeGaugeValue + EncodeCounterValue + fmt::Debug + Send + Sync + 'static {}
impl<N: EncodeGaugeValue + EncodeCounterValue + fmt::Debug + Send + Sync + 'static> Figure for N {}

impl Sheet<'_> {
    fn gauge<N: Figure>(&mut self, name: &str, help: &str, rows: Rows<N>) {
        self.0.register(name, help, Found { kind: MetricType::Gauge, rows });
    }

    fn gauge_in<N: Figure>(&mut self, unit: Unit, name: &str, help: &str, rows: Rows<N>) {
        self.0.register_with_unit(name, help, unit, Found { kind: MetricType::Gauge, rows });
    }

    fn counter<N: Figure>(&mut self, name: &str, help: &str, rows: Rows<N>) {
        self.0.register(name, help, Found { kind: MetricType::Counter, rows });
    }

    fn counter_in<N: Figure>(&mut self, unit: Unit, name: &str, help: &str, rows: Rows<N>) {
        self.0.register_with_unit(name, help, unit, Found { kind: MetricType::Counter, rows });
    }
}

/// One metric as it was found, with its labels. Its name stands in each scrape, also where there is no row.
#[derive(Debug)]
struct Found<N> {
    kind: MetricType,
    rows: Rows<N>,
}

impl<N: Figure> Found<N> {
    fn row(&self, mut encoder: MetricEncoder<'_>, value: &N) -> fmt::Result {
        match self.kind {
            MetricType::Counter => encoder.encode_counter::<[(&str, &str); 0], N, u64>(value, None),
            _ => encoder.encode_gauge(value),
        }
    }
}

impl<N: Figure> EncodeMetric for Found<N> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (label, value) in &self.rows {
            match label {
                Some((name, of)) => self.row(encoder.encode_family(&[(*name, of.as_str())])?, value)?,
                None => return self.row(encoder, value),
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }

    fn is_empty(&self) -> bool {
        false
    }
}
