//! The facts themselves: what may be told, and what is said of it. What becomes of them is [`Events`](super::Events)' business.

use std::sync::Arc;
use std::time::Duration;

use crate::alarms::Alarm;
use crate::config::GroupKey;
use crate::feed::Passage;
use crate::feed::journeys::Parcel;
use crate::feed::radio::Frame;
use crate::lane::DeviceKey;
use crate::provision::scope::Progress;

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
    /// Messages came from the predecessor's storage queue.
    TakenOver {
        /// They wait to be sent.
        kept: usize,
        /// They are dead letters.
        buried: usize,
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
    /// A collector took the walks of messages, or failed attempts of one.
    TracesSent {
        /// How many.
        count: usize,
    },
    /// It will never have some.
    TracesLost {
        /// How many.
        count: usize,
        /// A fixed word.
        why: &'static str,
        /// For a person.
        cause: &'a str,
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
    /// An alarm was raised, or came a step further.
    AlarmRaised {
        /// As it is shown.
        alarm: &'a Alarm,
        /// It stood before.
        is_further: bool,
    },
    /// An alarm has ended.
    AlarmEnded {
        /// As it is shown.
        alarm: &'a Alarm,
    },
    /// The operator's receiver did not take a report; it is tried again.
    AlarmReportFailed {
        /// Its host and port.
        to: &'a str,
        /// What it said.
        cause: &'a str,
    },
    /// Reports that nobody took: too many, too old, or refused again and again.
    AlarmReportsGone {
        /// How many.
        count: usize,
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
