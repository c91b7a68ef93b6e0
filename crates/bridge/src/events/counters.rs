//! The counters behind the events. What each tells, and when to worry, stands in docs/metrics.md, which a test holds against a
//! running bridge.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::names::Names;
use crate::alarms::Kind;
use crate::reason;

/// 1 ms to 4 s: the door answers within 4 s whatever happens.
const ACCEPT_SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0];
/// 5 ms to a day: an outage of Azure shows here.
const DELIVERY_SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0, 86_400.0];

/// Names and values of labels, in the order in which they are written.
pub(super) type Labels<const N: usize> = [(&'static str, String); N];
/// Counters with labels.
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// All that events move.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) names: Names,
    pub(super) accepted: Counters<2>,
    pub(super) accept_seconds: Histogram,
    pub(super) refused: Counters<2>,
    pub(super) committed_late: Counter,
    pub(super) slow_clients: Counters<1>,
    pub(super) connections_taken: Counter,
    pub(super) connections_full: Counter,
    pub(super) connections_failed: Counter,
    pub(super) handshakes_failed: Counter,
    pub(super) certificates_loaded: Counter,
    pub(super) certificates_refused: Counter,
    pub(super) config_reloaded: Counter,
    pub(super) config_reload_refused: Counter,
    pub(super) key_vault_fetched: Counter,
    pub(super) key_vault_failed: Counter,
    pub(super) delivered: Counters<2>,
    pub(super) delivery_seconds: Histogram,
    pub(super) duplicates: Counter,
    pub(super) kept: Counters<1>,
    pub(super) dropped: Counters<1>,
    pub(super) buried: Counters<1>,
    pub(super) retried: Counter,
    pub(super) not_settled: Counter,
    pub(super) dead_letters_replayed: Counter,
    pub(super) dead_letters_dropped: Counter,
    pub(super) dead_letters_imported: Counter,
    pub(super) hub_down: Counters<1>,
    pub(super) hub_left: Counters<1>,
    pub(super) hub_breaker_opened: Counters<1>,
    pub(super) devices_stolen: Counter,
    pub(super) registrations_assigned: Counter,
    pub(super) registrations_refused: Counters<1>,
    pub(super) scope_denies_many: Counters<1>,
    pub(super) group_keys_changed: Counters<1>,
    pub(super) alarms_active: Family<Labels<1>, Gauge>,
    pub(super) alarms_raised: Counters<1>,
    pub(super) alarm_reports_failed: Counter,
    pub(super) alarm_reports_gone: Counter,
    pub(super) traces_sent: Counter,
    pub(super) traces_lost: Counters<1>,
}

impl Totals {
    /// Registered below `registry`, in the order of a message's way.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let accept_seconds = Histogram::new(ACCEPT_SECONDS);
        let delivery_seconds = Histogram::new(DELIVERY_SECONDS);
        let seconds = Unit::Seconds;
        let help = "How long messages took from the end of their body to the commit";
        registry.register_with_unit("accept", help, seconds.clone(), accept_seconds.clone());
        let help = "How long messages took from the door to the acceptance by their hub";
        registry.register_with_unit("delivery", help, seconds, delivery_seconds.clone());
        let mut of = Registrar(registry);
        let totals = Self {
            names: Names::default(),
            accept_seconds,
            delivery_seconds,
            accepted: of.metric("accepted", "How many messages were committed, by application and kind of event"),
            refused: of.metric("refused", "How many requests got another answer than 2xx, by status and cause"),
            committed_late: of
                .metric("committed_late", "How many messages were committed after their sender had got a 503"),
            slow_clients: of
                .metric("slow_clients", "How many connections were cut because their client was too slow, by phase"),
            connections_taken: of
                .metric("connections_taken", "How many connections the webhook and the admin listener took"),
            connections_full: of
                .metric("connections_full", "How many connections were closed unread because there were too many"),
            connections_failed: of
                .metric("connections_failed", "How often the system could not hand over a connection"),
            handshakes_failed: of
                .metric("handshakes_failed", "How many TLS handshakes at the webhook did not come about"),
            certificates_loaded: of
                .metric("certificates_loaded", "How often a changed certificate of the webhook was taken"),
            certificates_refused: of
                .metric("certificates_refused", "How often a changed certificate could not be used"),
            config_reloaded: of.metric("config_reloaded", "How often a changed configuration was taken"),
            config_reload_refused: of
                .metric("config_reload_refused", "How often a changed configuration could not be used"),
            key_vault_fetched: of
                .metric("key_vault_fetched", "How many secrets were fetched from key vaults while running"),
            key_vault_failed: of
                .metric("key_vault_failed", "How many secrets could not be fetched from their key vault"),
            delivered: of.metric("delivered", "How many messages a hub accepted, by application and target"),
            duplicates: of.metric("duplicates", "How many second copies of a message were recognised and not sent"),
            kept: of.metric("kept", "How many messages were set aside because Azure has no use for them, by kind"),
            dropped: of.metric("dropped", "How many messages a route dropped on purpose, by route"),
            buried: of.metric("buried", "How many messages went to the dead letters, by reason"),
            retried: of.metric("retried", "How many attempts to send failed and are repeated"),
            not_settled: of.metric("not_settled", "How many outcomes of messages could not be committed"),
            dead_letters_replayed: of
                .metric("dead_letters_replayed", "How many dead letters were put back into their lanes"),
            dead_letters_dropped: of.metric("dead_letters_dropped", "How many dead letters a person threw away"),
            dead_letters_imported: of.metric("dead_letters_imported", "How many dead letters came from a file"),
            hub_down: of.metric("hub_down", "How often a hub stopped working, by hub"),
            hub_left: of.metric("hub_left", "How often a hub turned out to be no more where its devices live, by hub"),
            hub_breaker_opened: of.metric("hub_breaker_opened", "How often a hub refused many devices at once, by hub"),
            devices_stolen: of
                .metric("devices_stolen", "How often another sender was found to send as one of our devices"),
            registrations_assigned: of.metric("registrations_assigned", "How many registrations ended with a hub"),
            registrations_refused: of.metric("registrations_refused", "How many registrations were refused, by class"),
            scope_denies_many: of
                .metric("scope_denies_many", "How often a scope denied many devices at once, by scope"),
            group_keys_changed: of
                .metric("group_keys_changed", "How often the other key of a group was taken, by scope"),
            alarms_active: of.metric("alarms_active", "How many alarms stand, by name"),
            alarms_raised: of.metric("alarms_raised", "How many alarms were raised, by name"),
            alarm_reports_failed: of
                .metric("alarm_reports_failed", "How many tries to tell the receiver of alarms failed"),
            alarm_reports_gone: of.metric("alarm_reports_gone", "How many reports of alarms nobody took"),
            traces_sent: of.metric("traces_sent", "How many walks of messages a collector of traces took"),
            traces_lost: of
                .metric("traces_lost", "How many walks of messages a collector of traces will never have, by cause"),
        };
        // A counter that is there before its first count has an increase to look at.
        for reason in reason::codes() {
            drop(totals.buried.get_or_create(&[("reason", reason.to_owned())]));
        }
        for kind in Kind::ALL {
            let labels = [("alarm", kind.word().to_owned())];
            drop(totals.alarms_active.get_or_create(&labels));
            drop(totals.alarms_raised.get_or_create(&labels));
        }
        totals
    }
}

/// Makes a metric and registers it.
struct Registrar<'a>(&'a mut Registry);

impl Registrar<'_> {
    /// `help` is a sentence without its end.
    fn metric<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, Always(metric.clone()));
        metric
    }
}

/// A metric whose name and help stand in each scrape, also before its first count.
#[derive(Debug)]
pub(crate) struct Always<M>(pub(crate) M);

impl<M: EncodeMetric> EncodeMetric for Always<M> {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.0.metric_type()
    }

    fn is_empty(&self) -> bool {
        false
    }
}
