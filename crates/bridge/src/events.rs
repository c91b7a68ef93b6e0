//! Every fact that we log, count and show. A fact is one variant of [`Event`]; emitting it writes the log line and
//! moves the counters, so that the three can never tell different stories.
//!
//! Words: a dotted name, `up.delivered`; its last word is the counter's (`longhaul_delivered_total`) and the page's. The table is in
//! docs/metrics.md, and a test holds it against this file.
//!
//! Levels: ERROR a human must act, WARN we coped, INFO a state changed, DEBUG one message. Keys, tokens and bodies
//! never appear here.

pub(crate) mod counters; // what is counted
mod event; // what may be told
pub mod names; // values of labels, bounded
mod seldom; // lines that one cause can bring by the thousand
mod tally; // what was counted, for the process itself

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lorawan::fingerprint::Fingerprint;
use prometheus_client::registry::Registry;
use tracing::{debug, error, info, warn};

use self::counters::Totals;
pub use self::event::Event;
use self::names::Names;
use self::seldom::Seldom;
pub use self::tally::Tally;
use crate::alarms::{Alarm, Severity};
use crate::feed::Feed;
use crate::feed::journeys::{Parcel, State};
use crate::feed::series::Counted;
use crate::provision::scope::Progress;
use crate::traces::Traces;
use crate::world::{Stamp, World};

/// The mailbox of traces has no room for this one.
const TRACE_FULL: Event<'static> =
    Event::TracesLost { count: 1, why: "full", cause: "the collector does not take them" };

/// Where facts go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    totals: Totals,
    seldom: Seldom,
    tally: Tally,
    /// What a hub or a scope said last; as many as there are of them.
    causes: Mutex<BTreeMap<String, String>>,
    feed: Feed,
    world: World,
    traces: Option<Traces>,
}

impl Events {
    /// Counters of its own, registered below `registry`. The world's clock says when something happened.
    pub fn new(registry: &mut Registry, world: &World) -> Self {
        Self(Arc::new(Inner {
            totals: Totals::new(registry),
            seldom: Seldom::default(),
            tally: Tally::default(),
            causes: Mutex::default(),
            feed: Feed::default(),
            world: world.clone(),
            traces: None,
        }))
    }

    /// Walks of messages are told there. Before anybody else has these events.
    ///
    /// # Panics
    /// Afterwards.
    #[must_use]
    pub fn told_to(mut self, traces: Traces) -> Self {
        Arc::get_mut(&mut self.0).expect("nobody else has these events yet").traces = Some(traces);
        self
    }

    /// Which names from outside stand in labels.
    pub fn names(&self) -> &Names {
        &self.0.totals.names
    }

    /// What the page shows of the recent past.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// What was counted, for whoever reasons about it.
    pub fn tally(&self) -> &Tally {
        &self.0.tally
    }

    /// What a hub, or a scope, said when it failed last.
    pub fn cause(&self, of: &str) -> Option<String> {
        self.0.causes.lock().unwrap_or_else(PoisonError::into_inner).get(of).cloned()
    }

    fn note_cause(&self, of: &str, cause: &str) {
        let mut causes = self.0.causes.lock().unwrap_or_else(PoisonError::into_inner);
        causes.insert(of.to_owned(), cause.to_owned());
    }

    /// A walk has ended, of which only the position is at hand.
    fn walked(&self, seq: u64) {
        if self.0.traces.is_some() {
            self.walked_as(seq, self.0.feed.journeys.of(seq).and_then(|journey| journey.message_id));
        }
    }

    fn walked_as(&self, seq: u64, message_id: Option<Fingerprint>) {
        if self.0.traces.as_ref().is_some_and(|traces| !traces.ended(seq, message_id)) {
            self.emit(TRACE_FULL);
        }
    }

    fn attempted(&self, seq: u64, now: Stamp, cause: &str) {
        let journey = || self.0.feed.journeys.of(seq);
        if self.0.traces.as_ref().is_some_and(|traces| !traces.failed(journey, now, cause)) {
            self.emit(TRACE_FULL);
        }
    }

    /// Logs and counts one fact.
    pub fn emit(&self, event: Event<'_>) {
        let Inner { totals: c, seldom, feed, world, tally, .. } = &*self.0;
        match event {
            Event::Accepted { parcel, network, application, device, bytes, seconds } => {
                let Parcel { seq, kind, .. } = parcel;
                let labels = [("application", c.names.applications.label(application)), ("kind", kind.to_owned())];
                c.accepted.get_or_create(&labels).inc();
                c.accept_seconds.observe(seconds);
                let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
                tally.accepted();
                feed.accepted(parcel, [network, application], took, world.stamp());
                debug!(kind, network, application, device, seq, bytes, "up.accepted");
            }
            Event::Refused { status, why } => {
                c.refused.get_or_create(&[("status", status.to_string()), ("why", why.to_owned())]).inc();
                tally.refused(status);
                feed.second.count(Counted::Refused);
                if let Some(left_out) = seldom.turn(why) {
                    warn!(status, why, left_out, "up.refused");
                }
            }
            Event::SlowClient { phase } => {
                c.slow_clients.get_or_create(&[("phase", phase.to_owned())]).inc();
                debug!(phase, "up.slow_client");
            }
            Event::ConnectionTaken => {
                c.connections_taken.inc();
            }
            Event::ConnectionsFull => {
                c.connections_full.inc();
                debug!("up.connections_full");
            }
            Event::AcceptFailed { cause } => {
                c.connections_failed.inc();
                if let Some(left_out) = seldom.turn("connection_failed") {
                    error!(cause, left_out, "up.connection_failed");
                }
            }
            Event::HandshakeFailed { cause } => {
                c.handshakes_failed.inc();
                debug!(cause, "up.handshake_failed");
            }
            Event::CertificateLoaded => {
                c.certificates_loaded.inc();
                info!("up.certificate_loaded");
            }
            Event::CertificateRefused { cause } => {
                c.certificates_refused.inc();
                error!(cause, "up.certificate_refused");
            }
            Event::Reloaded { changed } => {
                c.config_reloaded.inc();
                info!(changed = changed.join(", "), "config.reloaded");
            }
            Event::ReloadRefused { cause } => {
                c.config_reload_refused.inc();
                error!(cause, "config.reload_refused: the configuration before stays in use");
            }
            Event::SecretFetched { secret, is_back } => {
                c.key_vault_fetched.inc();
                if is_back {
                    info!(%secret, "config.key_vault_works");
                }
            }
            Event::SecretNotFetched { secret, cause, is_first } => {
                c.key_vault_failed.inc();
                if is_first {
                    warn!(%secret, cause, "config.key_vault_failed: the value that is there stays in use");
                }
            }
            Event::CommittedLate { seq, seconds } => {
                c.committed_late.inc();
                info!(seq, seconds, "up.committed_late");
            }
            Event::Buried { parcel, reason, network, application, device, detail } => {
                c.buried.get_or_create(&[("reason", crate::reason::of(reason).code.to_owned())]).inc();
                tally.one_settled();
                feed.ended(parcel, State::Buried, Some(detail), world.stamp());
                self.walked(parcel.seq);
                info!(reason, network, application, device, seq = parcel.seq, detail, "up.buried");
            }
            Event::Heard { device, frame } => feed.read(device, frame),
            Event::Sending { parcel, passage } => feed.sending(parcel, passage),
            Event::Held { parcel, cause } => feed.held(parcel, cause),
            Event::Delivered { parcel, owner, passage, message_id, body, bytes, waited } => {
                let way = passage.way;
                let application = c.names.applications.label(&owner.application);
                let labels = [("application", application), ("target", c.names.targets.label(&way.target))];
                c.delivered.get_or_create(&labels).inc();
                c.delivery_seconds.observe(waited.as_secs_f64());
                tally.one_settled();
                feed.delivered(parcel, passage, (body, bytes), waited);
                self.walked_as(parcel.seq, Some(passage.message_id));
                debug!(%owner, device_id = way.id, message_id, seq = parcel.seq, bytes, ?waited, "up.delivered");
            }
            Event::Duplicate { parcel, owner, message_id } => {
                c.duplicates.inc();
                tally.one_settled();
                feed.ended(parcel, State::Duplicate, None, world.stamp());
                self.walked(parcel.seq);
                debug!(%owner, message_id, "up.duplicate");
            }
            Event::Kept { parcel, kind } => {
                c.kept.get_or_create(&[("kind", kind.to_owned())]).inc();
                tally.one_settled();
                feed.ended(parcel, State::Kept, Some(kind), world.stamp());
                self.walked(parcel.seq);
                debug!(kind, "up.kept");
            }
            Event::LettersReplayed { seqs } => {
                c.dead_letters_replayed.inc_by(seqs.len() as u64);
                seqs.iter().for_each(|seq| feed.replayed(*seq, world.stamp()));
                info!(count = seqs.len(), "letters.replayed");
            }
            Event::LettersDropped { count } => {
                c.dead_letters_dropped.inc_by(count as u64);
                info!(count, "letters.dropped");
            }
            Event::LettersImported { count } => {
                c.dead_letters_imported.inc_by(count as u64);
                info!(count, "letters.imported");
            }
            Event::TakenOver { kept, buried } => info!(kept, buried, "queue.taken_over"),
            Event::Dropped { parcel, route } => {
                c.dropped.get_or_create(&[("route", c.names.routes.label(route))]).inc();
                tally.one_settled();
                feed.ended(parcel, State::Dropped, Some(route), world.stamp());
                self.walked(parcel.seq);
                debug!(route, "up.dropped");
            }
            Event::Retried { parcel, device, cause, wait } => {
                c.retried.inc();
                let now = world.stamp();
                feed.retried(parcel, cause, now);
                self.attempted(parcel.seq, now, cause);
                if let Some(left_out) = seldom.turn("retry") {
                    warn!(device, cause, ?wait, left_out, "up.retried");
                }
            }
            Event::TracesSent { count } => {
                c.traces_sent.inc_by(count as u64);
            }
            Event::TracesLost { count, why, cause } => {
                c.traces_lost.get_or_create(&[("why", why.to_owned())]).inc_by(count as u64);
                if let Some(left_out) = seldom.turn(why) {
                    warn!(count, why, cause, left_out, "traces.lost: messages go their way all the same");
                }
            }
            Event::NotSettled { cause } => {
                c.not_settled.inc();
                error!(cause, "up.not_settled");
            }
            Event::DeadLettersGone { count } => {
                error!(count, "queue.dead_letters_gone: nobody dealt with them in time")
            }
            Event::AlarmRaised { alarm, is_further } => {
                let Alarm { alarm: kind, subject, severity, text, mend, .. } = alarm;
                if !is_further {
                    let labels = [("alarm", kind.word().to_owned())];
                    c.alarms_active.get_or_create(&labels).inc();
                    c.alarms_raised.get_or_create(&labels).inc();
                }
                match severity {
                    Severity::Page => error!(alarm = kind.word(), subject, text, mend, "alarm.raised"),
                    Severity::Warn => warn!(alarm = kind.word(), subject, text, mend, "alarm.raised"),
                }
            }
            Event::AlarmEnded { alarm: Alarm { alarm, subject, text, .. } } => {
                c.alarms_active.get_or_create(&[("alarm", alarm.word().to_owned())]).dec();
                info!(alarm = alarm.word(), subject, text, "alarm.ended");
            }
            Event::AlarmReportFailed { to, cause } => {
                c.alarm_reports_failed.inc();
                if let Some(left_out) = seldom.turn("alarm_report") {
                    warn!(to, cause, left_out, "alarm.report_failed: it is tried again");
                }
            }
            Event::AlarmReportsGone { count } => {
                c.alarm_reports_gone.inc_by(count as u64);
                error!(count, "alarm.reports_gone: nobody was told of these");
            }
            Event::QueueShut { trouble } => error!(trouble, "queue.shut: messages are refused"),
            Event::QueueFills { seconds_left, bytes_left } => {
                warn!(seconds_left, bytes_left, "queue.fills: make room on its disk, or raise queue.max_bytes");
            }
            Event::QueueOpen => info!("queue.open: messages are taken again"),
            Event::HubDown { hub, cause } => {
                c.hub_down.get_or_create(&[("hub", c.names.hubs.label(hub))]).inc();
                self.note_cause(hub, cause);
                warn!(hub, cause, "hub.down");
            }
            Event::HubWorks { hub, woken } => info!(hub, woken, "hub.works"),
            Event::HubLeft { hub, resting } => {
                c.hub_left.get_or_create(&[("hub", c.names.hubs.label(hub))]).inc();
                error!(hub, resting, "hub.left: it cannot be reached, and devices are assigned to another one now");
            }
            Event::BreakerClosed { hub } => info!(hub, "hub.breaker_closed: few devices are refused by now"),
            Event::BreakerOpened { hub, cause } => {
                c.hub_breaker_opened.get_or_create(&[("hub", c.names.hubs.label(hub))]).inc();
                self.note_cause(hub, cause);
                error!(hub, cause, "hub.breaker_opened: many devices are refused at once; none is registered again");
            }
            Event::DeviceStolen { device, wait, cause } => {
                c.devices_stolen.inc();
                if let Some(left_out) = seldom.turn("stolen") {
                    error!(device, ?wait, cause, left_out, "hub.device_stolen: somebody else sends as this device");
                }
            }
            Event::Assigned { registration_id, hub } => {
                c.registrations_assigned.inc();
                debug!(registration_id, hub, "dps.assigned");
            }
            Event::Provisioning { progress } => {
                let Progress {
                    scope, waiting, waiting_ahead, under_way, done, per_minute, seconds_left, works, ..
                } = progress;
                info!(
                    scope,
                    waiting,
                    waiting_ahead,
                    under_way,
                    done,
                    per_minute,
                    seconds_left,
                    works,
                    "dps.provisioning: devices stand in line"
                );
            }
            Event::GroupKeyChanged { scope, key } => {
                c.group_keys_changed.get_or_create(&[("scope", c.names.scopes.label(scope))]).inc();
                warn!(scope, key = key.name(), "dps.group_key_changed: the other key of the group is refused");
            }
            Event::ScopeDenies { scope, cause } => {
                c.scope_denies_many.get_or_create(&[("scope", c.names.scopes.label(scope))]).inc();
                self.note_cause(scope, cause);
                error!(scope, cause, "dps.denies_many: likely a wrong group key, or a group that is not there");
            }
            Event::RegistrationRefused { registration_id, class, cause } => {
                c.registrations_refused.get_or_create(&[("class", class.to_owned())]).inc();
                if let Some(left_out) = seldom.turn(class) {
                    warn!(registration_id, class, cause, left_out, "dps.refused");
                }
            }
        }
    }
}
