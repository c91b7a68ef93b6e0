//! Every fact that we log, count and show. A fact is one variant of [`Event`]; emitting it writes the log line and
//! moves the counters, so that the three can never tell different stories.
//!
//! Levels: ERROR a human must act, WARN we coped, INFO a state changed, DEBUG one message. Keys, tokens and bodies
//! never appear here.

mod seldom; // lines that one cause can bring by the thousand

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing::{debug, error, info, warn};

use self::seldom::Seldom;
use crate::config::GroupKey;
use crate::feed::journeys::{Parcel, State};
use crate::feed::radio::Frame;
use crate::feed::series::Counted;
use crate::feed::{Feed, Passage};
use crate::lane::DeviceKey;
use crate::provision::scope::Progress;
use crate::world::World;

/// One fact.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The door committed a message.
    Accepted {
        /// Which one; its kind is as the queue files it.
        parcel: Parcel<'a>,
        /// Name of the network in the configuration.
        network: &'a str,
        /// Application, `-` when there is none.
        application: &'a str,
        /// Device, `-` when there is none.
        device: &'a str,
        /// Bytes of its body.
        bytes: usize,
        /// From the end of the body to the commit.
        seconds: f64,
    },
    /// The door answered something else than 2xx.
    Refused {
        /// HTTP status.
        status: u16,
        /// A fixed word, such as `wrong_key`.
        why: &'static str,
    },
    /// A connection was closed because its client was too slow.
    SlowClient {
        /// `handshake`, `first_byte`, `header`, `body`, `write` or `idle`.
        phase: &'static str,
    },
    /// A connection was taken.
    ConnectionTaken,
    /// The listener is at its bound of connections; one was closed unread.
    ConnectionsFull,
    /// `accept` failed (no file descriptors, no memory); the door goes on.
    AcceptFailed {
        /// The system's word for it.
        cause: &'a str,
    },
    /// A TLS handshake did not come about.
    HandshakeFailed {
        /// What the client did wrong.
        cause: &'a str,
    },
    /// A changed certificate is in use for new connections.
    CertificateLoaded,
    /// Changed certificate files cannot be used; the old ones stay.
    CertificateRefused {
        /// Why.
        cause: &'a str,
    },
    /// A changed configuration is in use.
    Reloaded {
        /// The sections that differ.
        changed: &'a [&'static str],
    },
    /// A changed configuration cannot be used; the one before stays.
    ReloadRefused {
        /// Every mistake, or what cannot change.
        cause: &'a str,
    },
    /// A secret was fetched from its key vault while running.
    SecretFetched {
        /// Vault and name.
        secret: &'a vault::Reference,
        /// The fetch before this one had failed.
        is_back: bool,
    },
    /// A secret could not be fetched; the value that is there, if any, stays.
    SecretNotFetched {
        /// Vault and name.
        secret: &'a vault::Reference,
        /// Why.
        cause: &'a str,
        /// The fetch before this one had not failed.
        is_first: bool,
    },
    /// A put was committed after its sender had been answered 503. It is delivered all the same.
    CommittedLate {
        /// Position in the queue.
        seq: u64,
        /// From the end of the body to the commit.
        seconds: f64,
    },
    /// A message went straight to the dead letters, or was buried by its worker.
    Buried {
        /// Which one.
        parcel: Parcel<'a>,
        /// Reason code.
        reason: &'a str,
        /// Name of the network in the configuration.
        network: &'a str,
        /// Application, `-` when there is none.
        application: &'a str,
        /// Device, `-` when there is none.
        device: &'a str,
        /// One sentence.
        detail: &'a str,
    },
    /// Dead letters are back in their lanes.
    LettersReplayed {
        /// Their positions.
        seqs: &'a [u64],
    },
    /// Dead letters were thrown away.
    LettersDropped {
        /// How many.
        count: usize,
    },
    /// Dead letters came from elsewhere.
    LettersImported {
        /// How many.
        count: usize,
    },
    /// A worker read an uplink; it may read the same one again.
    Heard {
        /// Whose.
        device: &'a Arc<DeviceKey>,
        /// What it says of its way through the air.
        frame: &'a Frame,
    },
    /// A message goes to its hub; what comes of it follows.
    Sending {
        /// Which one.
        parcel: Parcel<'a>,
        /// Where it goes, and since when.
        passage: Passage<'a>,
    },
    /// A message rests in its lane, uncounted, for a reason that is not its own.
    Held {
        /// Which one.
        parcel: Parcel<'a>,
        /// Why.
        cause: &'a str,
    },
    /// IoT Hub has it and the queue let it go.
    Delivered {
        /// Which one.
        parcel: Parcel<'a>,
        /// Who sent it.
        owner: &'a Arc<DeviceKey>,
        /// Where it went, and when it was where.
        passage: Passage<'a>,
        /// Its message id.
        message_id: &'a str,
        /// What IoT Hub got; for the page only.
        body: &'a [u8],
        /// Body, names and values together, as the hub counts them.
        bytes: usize,
        /// From the door to here.
        waited: Duration,
    },
    /// A second copy of a message was recognised and not sent.
    Duplicate {
        /// The second copy.
        parcel: Parcel<'a>,
        /// Who sent it.
        owner: &'a DeviceKey,
        /// The message id of both.
        message_id: &'a str,
    },
    /// Understood, of no use to Azure, set aside.
    Kept {
        /// Which one.
        parcel: Parcel<'a>,
        /// Kind of event, or `mac_only`.
        kind: &'a str,
    },
    /// A route dropped an uplink on purpose.
    Dropped {
        /// Which one.
        parcel: Parcel<'a>,
        /// That route.
        route: &'a str,
    },
    /// A send failed and is tried again later.
    Retried {
        /// Which one.
        parcel: Parcel<'a>,
        /// The device's name in Azure.
        device: &'a str,
        /// Why.
        cause: &'a str,
        /// In how long.
        wait: Duration,
    },
    /// The outcome of a message could not be committed; it comes again.
    NotSettled {
        /// Why.
        cause: &'a str,
    },
    /// Dead letters were pushed out by newer ones or by age, before anybody dealt with them.
    DeadLettersGone {
        /// How many since the last look.
        count: u64,
    },
    /// The queue cannot make a message durable; the door answers 503.
    QueueShut {
        /// Why.
        trouble: &'a str,
    },
    /// It can again.
    QueueOpen,
    /// At this pace there will soon be no room.
    QueueFills {
        /// Until then.
        seconds_left: u64,
        /// Bytes of messages that still fit.
        bytes_left: u64,
    },
    /// A hub stopped working; its devices' messages rest in the queue.
    HubDown {
        /// Host and port.
        hub: &'a str,
        /// Why.
        cause: &'a str,
    },
    /// A hub works again.
    HubWorks {
        /// Host and port.
        hub: &'a str,
        /// Lanes that rested and go on now.
        woken: usize,
    },
    /// A hub that cannot be reached is no more where its devices live.
    HubLeft {
        /// Host and port.
        hub: &'a str,
        /// Devices that rested for it and ask now.
        resting: usize,
    },
    /// So many devices of a hub are refused that none is registered again.
    BreakerOpened {
        /// Host and port.
        hub: &'a str,
        /// What it said to the last of them, the likely cause and the mend.
        cause: &'a str,
    },
    /// Few are refused by now: devices register again.
    BreakerClosed {
        /// Host and port.
        hub: &'a str,
    },
    /// Somebody else sends as this device: two bridges with one device, or a device with its own connection.
    DeviceStolen {
        /// Its name in Azure.
        device: &'a str,
        /// How long we leave it alone.
        wait: Duration,
        /// What the hub said.
        cause: &'a str,
    },
    /// DPS assigned a device.
    Assigned {
        /// Its registration id.
        registration_id: &'a str,
        /// The hub.
        hub: &'a str,
    },
    /// Devices wait in line to be registered. Told every ten seconds while they do.
    Provisioning {
        /// How far it is.
        progress: &'a Progress,
    },
    /// A group's other key is in use from now on: the one before is refused.
    GroupKeyChanged {
        /// DPS endpoint and id scope.
        scope: &'a str,
        /// The one in use.
        key: GroupKey,
    },
    /// DPS denies many devices of a scope, and took none since.
    ScopeDenies {
        /// DPS endpoint and id scope.
        scope: &'a str,
        /// What it said to the last of them.
        cause: &'a str,
    },
    /// DPS refused a device.
    RegistrationRefused {
        /// Its registration id.
        registration_id: &'a str,
        /// A fixed word.
        class: &'static str,
        /// The service's answer.
        cause: &'a str,
    },
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteName {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    why: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Status {
    status: u16,
    why: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Target {
    target: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ScopeName {
    scope: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HubName {
    hub: String,
}

/// Where facts go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    accepted: Family<Kind, Counter>,
    accept_seconds: Histogram,
    refused: Family<Status, Counter>,
    slow_clients: Family<Why, Counter>,
    connections_taken: Counter,
    connections_full: Counter,
    accept_failed: Counter,
    handshake_failed: Counter,
    certificate_loaded: Counter,
    certificate_refused: Counter,
    reloaded: Counter,
    reload_refused: Counter,
    secrets_fetched: Counter,
    secrets_not_fetched: Counter,
    committed_late: Counter,
    buried: Family<Why, Counter>,
    seldom: Seldom,
    delivered: Family<Target, Counter>,
    delivered_seconds: Histogram,
    duplicates: Counter,
    kept: Family<Kind, Counter>,
    dropped: Family<RouteName, Counter>,
    retried: Counter,
    not_settled: Counter,
    hub_down: Family<HubName, Counter>,
    breaker_opened: Family<HubName, Counter>,
    hub_left: Family<HubName, Counter>,
    scope_denies: Family<ScopeName, Counter>,
    stolen: Counter,
    assigned: Counter,
    registration_refused: Family<Why, Counter>,
    feed: Feed,
    world: World,
}

impl Events {
    /// Counters of its own, registered below `registry`. The world's clock says when something happened.
    pub fn new(registry: &mut Registry, world: &World) -> Self {
        let counters = Counters {
            accepted: Family::default(),
            // 1 ms to 4 s: the door answers within 4 s whatever happens.
            accept_seconds: Histogram::new([0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0]),
            refused: Family::default(),
            slow_clients: Family::default(),
            connections_taken: Counter::default(),
            connections_full: Counter::default(),
            accept_failed: Counter::default(),
            handshake_failed: Counter::default(),
            certificate_loaded: Counter::default(),
            certificate_refused: Counter::default(),
            reloaded: Counter::default(),
            reload_refused: Counter::default(),
            secrets_fetched: Counter::default(),
            secrets_not_fetched: Counter::default(),
            committed_late: Counter::default(),
            buried: Family::default(),
            seldom: Seldom::default(),
            delivered: Family::default(),
            // 5 ms to a day: an outage of Azure shows here.
            delivered_seconds: Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 3600.0, 86400.0]),
            duplicates: Counter::default(),
            kept: Family::default(),
            dropped: Family::default(),
            retried: Counter::default(),
            not_settled: Counter::default(),
            hub_down: Family::default(),
            breaker_opened: Family::default(),
            hub_left: Family::default(),
            scope_denies: Family::default(),
            stolen: Counter::default(),
            assigned: Counter::default(),
            registration_refused: Family::default(),
            feed: Feed::default(),
            world: world.clone(),
        };
        registry.register("webhook_accepted", "Messages committed, by kind", counters.accepted.clone());
        registry.register("webhook_accept_seconds", "Body read to commit", counters.accept_seconds.clone());
        registry.register("webhook_refused", "Answers other than 2xx", counters.refused.clone());
        registry.register("webhook_slow_clients", "Connections cut by phase", counters.slow_clients.clone());
        registry.register("webhook_connections_taken", "Connections taken", counters.connections_taken.clone());
        registry.register("webhook_connections_full", "Connections over the bound", counters.connections_full.clone());
        registry.register("webhook_accept_failed", "Failures of accept", counters.accept_failed.clone());
        registry.register("webhook_handshake_failed", "TLS handshakes that failed", counters.handshake_failed.clone());
        registry.register(
            "webhook_certificate_loaded",
            "Changed certificates taken",
            counters.certificate_loaded.clone(),
        );
        registry.register(
            "webhook_certificate_refused",
            "Changed certificates refused",
            counters.certificate_refused.clone(),
        );
        registry.register("config_reloaded", "Changed configurations taken", counters.reloaded.clone());
        registry.register("config_reload_refused", "Changed configurations refused", counters.reload_refused.clone());
        registry.register("key_vault_fetched", "Secrets fetched while running", counters.secrets_fetched.clone());
        registry.register(
            "key_vault_failed",
            "Secrets that could not be fetched",
            counters.secrets_not_fetched.clone(),
        );
        registry.register("webhook_committed_late", "Commits after a 503", counters.committed_late.clone());
        registry.register("buried", "Messages to the dead letters, by reason", counters.buried.clone());
        let c = &counters;
        registry.register("delivered", "Messages that IoT Hub accepted, by target", c.delivered.clone());
        registry.register("delivered_seconds", "Door to acceptance by IoT Hub", c.delivered_seconds.clone());
        registry.register("duplicates", "Second copies recognised and not sent", c.duplicates.clone());
        registry.register("kept", "Events set aside, by kind", c.kept.clone());
        registry.register("dropped", "Messages that a route drops on purpose, by route", c.dropped.clone());
        registry.register("retried", "Attempts that failed and are repeated", c.retried.clone());
        registry.register("not_settled", "Outcomes that could not be committed", c.not_settled.clone());
        registry.register("hub_down", "Times a hub stopped working", c.hub_down.clone());
        registry.register("scope_denies", "Alarms: a scope denies many devices", c.scope_denies.clone());
        registry.register("hub_left", "Alarms: a hub's devices live elsewhere", c.hub_left.clone());
        registry.register("breaker_opened", "Alarms: a hub refuses many devices", c.breaker_opened.clone());
        registry.register("device_stolen", "Alarms: another sender took a device over", c.stolen.clone());
        registry.register("assigned", "Registrations that DPS assigned", c.assigned.clone());
        registry.register("registration_refused", "Registrations refused", c.registration_refused.clone());
        Self(Arc::new(counters))
    }

    /// What the page shows of the recent past.
    pub fn feed(&self) -> &Feed {
        &self.0.feed
    }

    /// Logs and counts one fact.
    pub fn emit(&self, event: Event<'_>) {
        let c = &self.0;
        match event {
            Event::Accepted { parcel, network, application, device, bytes, seconds } => {
                let Parcel { seq, kind, .. } = parcel;
                c.accepted.get_or_create(&Kind { kind: kind.to_owned() }).inc();
                c.accept_seconds.observe(seconds);
                c.feed.accepted(parcel, [network, application], c.world.stamp());
                debug!(kind, network, application, device, seq, bytes, "up.accept");
            }
            Event::Refused { status, why } => {
                c.refused.get_or_create(&Status { status, why: why.to_owned() }).inc();
                c.feed.second.count(Counted::Refused);
                if let Some(left_out) = c.seldom.turn(why) {
                    warn!(status, why, left_out, "up.refuse");
                }
            }
            Event::SlowClient { phase } => {
                c.slow_clients.get_or_create(&Why { why: phase.to_owned() }).inc();
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
                c.accept_failed.inc();
                if let Some(left_out) = c.seldom.turn("accept_failed") {
                    error!(cause, left_out, "up.accept_failed");
                }
            }
            Event::HandshakeFailed { cause } => {
                c.handshake_failed.inc();
                debug!(cause, "up.handshake_failed");
            }
            Event::CertificateLoaded => {
                c.certificate_loaded.inc();
                info!("up.certificate_loaded");
            }
            Event::CertificateRefused { cause } => {
                c.certificate_refused.inc();
                error!(cause, "up.certificate_refused");
            }
            Event::Reloaded { changed } => {
                c.reloaded.inc();
                info!(changed = changed.join(", "), "config.reloaded");
            }
            Event::ReloadRefused { cause } => {
                c.reload_refused.inc();
                error!(cause, "config.reload_refused: the configuration before stays in use");
            }
            Event::SecretFetched { secret, is_back } => {
                c.secrets_fetched.inc();
                if is_back {
                    info!(%secret, "config.key_vault_works");
                }
            }
            Event::SecretNotFetched { secret, cause, is_first } => {
                c.secrets_not_fetched.inc();
                if is_first {
                    warn!(%secret, cause, "config.key_vault_failed: the value that is there stays in use");
                }
            }
            Event::CommittedLate { seq, seconds } => {
                c.committed_late.inc();
                info!(seq, seconds, "up.committed_late");
            }
            Event::Buried { parcel, reason, network, application, device, detail } => {
                c.buried.get_or_create(&Why { why: reason.to_owned() }).inc();
                c.feed.ended(parcel, State::Buried, Some(detail), c.world.stamp());
                info!(reason, network, application, device, seq = parcel.seq, detail, "up.bury");
            }
            Event::Heard { device, frame } => c.feed.read(device, frame),
            Event::Sending { parcel, passage } => c.feed.sending(parcel, passage),
            Event::Held { parcel, cause } => c.feed.held(parcel, cause),
            Event::Delivered { parcel, owner, passage, message_id, body, bytes, waited } => {
                let way = passage.way;
                c.delivered.get_or_create(&Target { target: way.target.clone() }).inc();
                c.delivered_seconds.observe(waited.as_secs_f64());
                c.feed.delivered(parcel, passage, (body, bytes), waited);
                debug!(%owner, device_id = way.id, message_id, seq = parcel.seq, bytes, ?waited, "up.deliver");
            }
            Event::Duplicate { parcel, owner, message_id } => {
                c.duplicates.inc();
                c.feed.ended(parcel, State::Duplicate, None, c.world.stamp());
                debug!(%owner, message_id, "up.duplicate");
            }
            Event::Kept { parcel, kind } => {
                c.kept.get_or_create(&Kind { kind: kind.to_owned() }).inc();
                c.feed.ended(parcel, State::Kept, Some(kind), c.world.stamp());
                debug!(kind, "up.keep");
            }
            Event::LettersReplayed { seqs } => {
                seqs.iter().for_each(|seq| c.feed.replayed(*seq, c.world.stamp()));
                info!(count = seqs.len(), "letters.replay");
            }
            Event::LettersDropped { count } => info!(count, "letters.drop"),
            Event::LettersImported { count } => info!(count, "letters.import"),
            Event::Dropped { parcel, route } => {
                c.dropped.get_or_create(&RouteName { route: route.to_owned() }).inc();
                c.feed.ended(parcel, State::Dropped, Some(route), c.world.stamp());
                debug!(route, "up.drop");
            }
            Event::Retried { parcel, device, cause, wait } => {
                c.retried.inc();
                c.feed.retried(parcel, cause, c.world.stamp());
                if let Some(left_out) = c.seldom.turn("retry") {
                    warn!(device, cause, ?wait, left_out, "up.retry");
                }
            }
            Event::NotSettled { cause } => {
                c.not_settled.inc();
                error!(cause, "up.not_settled");
            }
            Event::DeadLettersGone { count } => {
                error!(count, "queue.dead_letters_gone: nobody dealt with them in time")
            }
            Event::QueueShut { trouble } => error!(trouble, "queue.shut: messages are refused"),
            Event::QueueFills { seconds_left, bytes_left } => {
                warn!(seconds_left, bytes_left, "queue.fills: make room on its disk, or raise queue.max_bytes");
            }
            Event::QueueOpen => info!("queue.open: messages are taken again"),
            Event::HubDown { hub, cause } => {
                c.hub_down.get_or_create(&HubName { hub: hub.to_owned() }).inc();
                warn!(hub, cause, "hub.down");
            }
            Event::HubWorks { hub, woken } => info!(hub, woken, "hub.works"),
            Event::HubLeft { hub, resting } => {
                c.hub_left.get_or_create(&HubName { hub: hub.to_owned() }).inc();
                error!(hub, resting, "hub.left: it cannot be reached, and devices are assigned to another one now");
            }
            Event::BreakerClosed { hub } => info!(hub, "hub.breaker_closed: few devices are refused by now"),
            Event::BreakerOpened { hub, cause } => {
                c.breaker_opened.get_or_create(&HubName { hub: hub.to_owned() }).inc();
                error!(hub, cause, "hub.breaker_opened: many devices are refused at once; none is registered again");
            }
            Event::DeviceStolen { device, wait, cause } => {
                c.stolen.inc();
                if let Some(left_out) = c.seldom.turn("stolen") {
                    error!(device, ?wait, cause, left_out, "hub.device_stolen: somebody else sends as this device");
                }
            }
            Event::Assigned { registration_id, hub } => {
                c.assigned.inc();
                debug!(registration_id, hub, "dps.assign");
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
                    "provisioning: devices stand in line"
                );
            }
            Event::GroupKeyChanged { scope, key } => {
                warn!(scope, key = key.name(), "dps.group_key_changed: the other key of the group is refused");
            }
            Event::ScopeDenies { scope, cause } => {
                c.scope_denies.get_or_create(&ScopeName { scope: scope.to_owned() }).inc();
                error!(scope, cause, "dps.denies_many: likely a wrong group key, or a group that is not there");
            }
            Event::RegistrationRefused { registration_id, class, cause } => {
                c.registration_refused.get_or_create(&Why { why: class.to_owned() }).inc();
                if let Some(left_out) = c.seldom.turn(class) {
                    warn!(registration_id, class, cause, left_out, "dps.refuse");
                }
            }
        }
    }
}
