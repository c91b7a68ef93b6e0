//! Telemetry over AMQP 1.0: many devices on few connections.
//!
//! ```text
//! admit ─┐              ┌─ line 0: driver (task) + line (state) ── TLS or WebSocket ── hub
//! send  ─┼─> fleet ─────┼─ line 1: …                        up to 900 devices on each
//! forget ┘   (who, where, when)
//! ```
//!
//! A device needs a token on its connection (CBS) and a link; both are made when its first message comes and kept, with
//! the token renewed in place, until the device is idle for long, has to make room, or loses its right. A message on a
//! link that stands takes one round trip.
//!
//! Promises
//! - only `accepted` counts as delivered; a [`SendError`] tells whether the hub may have the message;
//! - a send ends within its turn + connect + 2 × open + answer timeout, 20 + 10 + 40 + 20 s with the defaults, whatever
//!   happens; dropping it takes the message back if it is not written yet, and harms nobody else;
//! - what happens to a device is its own affair: nothing but the end of a connection touches the others on it, and then
//!   each message that waits there has its outcome at once;
//! - a connection over which nothing comes is given up after [`AmqpOptions::silence_max`].
//!
//! Resends nothing that was written. Relies on [`Dial`] for the network and TLS, on tokio's timer for waits, and on the
//! clock that is handed in for tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::https::unsendable;
use super::{AMQP, AMQP_WS, Capabilities, Delivered, SendError, Telemetry, Why};
use crate::UnixSeconds;
use crate::key::Signer;
use crate::net::{Dial, Endpoint};

mod cbs; // tokens on the wire
mod condition; // what the hub's errors mean
mod driver; // one task a connection
mod encode; // a message on the wire
mod fleet; // which device is on which connection, and when it may come
mod inbox; // what a connection is told
mod learnt; // how many messages a hub takes
mod line; // one connection and its devices
mod pace; // so many a second
mod shared; // what the senders and the drivers have in common
mod spread; // renewals, evenly
#[cfg(test)]
mod test_hub;
mod theft; // two senders, one device
mod websocket; // through port 443

use shared::{Posted, Shared};

/// The bytes that AMQP runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AmqpTransport {
    /// TLS on TCP, usually port 5671.
    #[default]
    Tcp,
    /// A WebSocket, usually port 443.
    WebSocket,
}

impl AmqpTransport {
    /// Its row in the table of transports.
    pub fn capabilities(self) -> Capabilities {
        match self {
            Self::Tcp => AMQP,
            Self::WebSocket => AMQP_WS,
        }
    }
}

/// Bounds of the connections to one hub.
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// TCP or WebSocket.
    pub transport: AmqpTransport,
    /// Devices on one connection, 1 to 995 (over a WebSocket 500): the hub's own bound is 1000 tokens, and tokens of
    /// devices that have gone may count until they run out, so a tenth is left for them.
    pub devices_per_connection: usize,
    /// Devices that are attached at once. Beyond it the one that was idle longest goes. 100 000 are 112 connections and
    /// about 200 MB.
    pub max_links: usize,
    /// A device that sent nothing for so long is let go when its token is due, instead of renewed. A renewal costs a
    /// permit every 48 minutes and a new attach costs one as well: after two hours two or three were spent on silence.
    /// 100 000 devices that stay take 35 permits a second for renewals.
    pub link_idle: Duration,
    /// One for each device that is attached and one for each renewal; 0: unpaced. An S1 hub takes 100 new connections a
    /// second. (A link that the hub takes away while messages wait is opened again once without a permit.)
    pub attaches_per_second: u32,
    /// At the most; 0: as many as the hub takes, which is learnt when it throttles.
    pub sends_per_second: u32,
    /// How long a token is good for, at least ten seconds.
    pub token_life: Duration,
    /// Name, TCP, TLS and WebSocket.
    pub connect_timeout: Duration,
    /// A device's token and link; also AMQP's own handshake.
    pub open_timeout: Duration,
    /// From a message on a link that stands to the hub's word.
    pub answer_timeout: Duration,
    /// A connection over which nothing comes for so long is given up; the hub is asked to say something at least twice as
    /// often. With 28 s a dead connection is found within 30.
    pub silence_max: Duration,
    /// Tells this process from others: names of connections, and the waits of two senders that fight for a device.
    pub seed: u64,
}

impl AmqpOptions {
    /// The defaults of a transport.
    pub fn new(transport: AmqpTransport) -> Self {
        Self {
            transport,
            devices_per_connection: match transport {
                AmqpTransport::Tcp => 900,
                AmqpTransport::WebSocket => 450,
            },
            max_links: 100_000,
            link_idle: Duration::from_secs(2 * 3600),
            attaches_per_second: 90,
            sends_per_second: 0,
            token_life: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(10),
            open_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(20),
            silence_max: Duration::from_secs(28),
            seed: 0,
        }
    }
}

impl Default for AmqpOptions {
    fn default() -> Self {
        Self::new(AmqpTransport::Tcp)
    }
}

/// May a device send now?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It is attached, or it has a turn to attach, which is kept for it for half a minute.
    Go,
    /// Its turn comes after this; another device is told another time.
    Later(Duration),
}

/// Whether a device has a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Neither a link nor a place on a connection.
    None,
    /// It has a place, and no message had an outcome there yet.
    Attaching,
    /// A message of it had an outcome on the connection where it is now.
    Attached,
}

/// What there is, for people to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Links {
    /// Connections, those that are being opened included.
    pub connections: usize,
    /// Devices with a link.
    pub attached: usize,
    /// Devices on their way to one.
    pub opening: usize,
    /// Messages that were taken and have no outcome.
    pub unsettled: usize,
    /// Devices that have a turn and have not used it.
    pub waiting: usize,
    /// Devices that keep still because somebody else sends as them.
    pub stolen: usize,
    /// Tokens renewed so far.
    pub renewals: u64,
    /// Messages a second that the hub is given at the most, learnt or configured; none: no pace.
    pub pace_per_second: Option<u64>,
}

/// Talks to one hub. Cheap to clone; clones share the connections, and the last one to go closes them.
#[derive(Clone)]
pub struct AmqpHub(Arc<Shared>);

impl fmt::Debug for AmqpHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpHub").field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}

impl AmqpHub {
    /// Opens nothing yet. `clock` tells the hub's time as far as it is known; it is asked whenever a token is signed.
    pub fn new(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        options: AmqpOptions,
        clock: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
    ) -> Self {
        Self(Arc::new(Shared::new(endpoint, dial, options, clock)))
    }

    /// Whom this talks to.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.endpoint()
    }

    /// May this device send now? Never waits. A turn that is given is kept for half a minute; asking again takes no
    /// second one.
    pub fn admit(&self, device_id: &str) -> Admit {
        match self.0.admit(device_id) {
            Duration::ZERO => Admit::Go,
            wait => Admit::Later(wait),
        }
    }

    /// Sends one message of a device, which is attached first if need be. `signer` signs its tokens and is kept while it is
    /// attached; another than before replaces it. Ends within the bound that is named above. A device that was not
    /// admitted waits for its turn here, at most the open timeout, or hears [`Why::NotYet`].
    ///
    /// Messages of one device go out in the order of the calls. After an error the order is the caller's business: one at
    /// a time keeps it.
    pub async fn send(&self, device_id: &str, signer: &Signer, telemetry: &Telemetry) -> Result<Delivered, SendError> {
        telemetry.check().map_err(unsendable)?;
        let payload = encode::message(telemetry);
        let deadline = Instant::now() + self.0.turn_max();
        loop {
            match self.0.post(device_id, signer, &payload) {
                Posted::Waiting(waiting) => return waiting.outcome().await,
                Posted::Refused(error) => return Err(error),
                Posted::Later(wait) if Instant::now() + wait <= deadline => tokio::time::sleep(wait).await,
                Posted::Later(wait) => {
                    let why = Why::NotYet { retry_after: wait };
                    return Err(SendError::unanswered(why, "the device waits for its turn to attach"));
                }
            }
        }
    }

    /// Lets a device go: its key or its hub is another one now. Its messages under way are [`Why::Lost`] or
    /// [`Why::Closed`]. What was learnt of another owner is forgotten, too.
    pub fn forget(&self, device_id: &str) {
        self.0.forget(device_id);
    }

    /// Whether a device has a link. Two lookups.
    pub fn link(&self, device_id: &str) -> Link {
        self.0.link(device_id)
    }

    /// A person has seen to it that nobody else sends as this device: it need not keep still any longer.
    pub fn pardon(&self, device_id: &str) {
        self.0.pardon(device_id);
    }

    /// What there is now.
    pub fn standing(&self) -> Links {
        self.0.standing()
    }

    /// Takes no more messages, gives those under way a second, and closes the connections: two seconds at the most. Goes
    /// on in the background when it is dropped.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests;
