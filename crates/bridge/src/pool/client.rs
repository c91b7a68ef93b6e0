//! One hub over the transport that was chosen: what the rest of the pool need not tell apart.

use std::sync::Arc;
use std::time::Duration;

use azure::UnixSeconds;
use azure::hub::amqp::{Admit, AmqpHub, AmqpOptions, AmqpTransport, Link, Links};
use azure::hub::https::{HttpsHub, HttpsOptions};
use azure::hub::{self, Capabilities, Delivered, SendError, Telemetry};
use azure::key::Signer;
use azure::net::{Dial, Endpoint};

use crate::config::{self, Transport};
use crate::world::{Random, ServerClock, World};

/// Over HTTPS each request brings a token of its own, which is never renewed. It lives as long as Microsoft's SDKs give it.
const HTTPS_TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// How long connections get to close: the peers answer within a round trip, or not at all.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(2);

/// How hubs are talked to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which transport telemetry takes.
    pub transport: Transport,
    /// Port of HTTPS and WebSockets.
    pub https_port: u16,
    /// Port that telemetry goes to.
    pub hub_port: u16,
    /// Over HTTPS.
    pub https: HttpsOptions,
    /// Over AMQP.
    pub amqp: AmqpOptions,
}

impl Options {
    /// As the configuration says.
    pub fn of(azure: &config::Azure, random: &Random) -> Self {
        let transport = match azure.transport {
            Transport::AmqpWs => AmqpTransport::WebSocket,
            Transport::Amqp | Transport::Https => AmqpTransport::Tcp,
        };
        let amqp = AmqpOptions::new(transport);
        Self {
            transport: azure.transport,
            https_port: azure.https_port,
            hub_port: azure.hub_port(),
            https: HttpsOptions { max_connections: azure.max_connections, ..HttpsOptions::default() },
            amqp: AmqpOptions {
                devices_per_connection: azure.devices_per_connection.unwrap_or(amqp.devices_per_connection),
                max_links: azure.max_links,
                attaches_per_second: azure.attaches_per_second,
                sends_per_second: azure.sends_per_second,
                token_life: azure.token_life,
                seed: random.seed("amqp"),
                ..amqp
            },
        }
    }
}

/// Whether a device may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Yes.
    Now,
    /// In so long.
    In(Duration),
}

/// Talks to one hub.
#[derive(Debug)]
pub(super) enum Client {
    Https(HttpsHub),
    Amqp {
        hub: AmqpHub,
        capabilities: Capabilities,
        /// AMQP does not tell the time.
        clock: HttpsHub,
    },
}

impl Client {
    pub(super) fn new(
        host: &str,
        options: &Options,
        dial: &Arc<dyn Dial>,
        clock: &Arc<ServerClock>,
        world: &World,
    ) -> Self {
        let at = |port| Endpoint { host: host.to_owned(), port };
        let https = HttpsHub::new(at(options.https_port), dial.clone(), options.https);
        if options.transport == Transport::Https {
            return Self::Https(https);
        }
        let (clock, world) = (clock.clone(), world.clone());
        let time = Arc::new(move || clock.now(&world));
        let hub = AmqpHub::new(at(options.hub_port), dial.clone(), options.amqp.clone(), time);
        Self::Amqp { hub, capabilities: options.amqp.transport.capabilities(), clock: https }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        match self {
            Self::Https(_) => hub::HTTPS,
            Self::Amqp { capabilities, .. } => *capabilities,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Https(hub) => hub.endpoint().clone(),
            Self::Amqp { hub, .. } => hub.endpoint().clone(),
        }
    }

    pub(super) fn links(&self) -> Option<Links> {
        match self {
            Self::Https(_) => None,
            Self::Amqp { hub, .. } => Some(hub.standing()),
        }
    }

    pub(super) fn link(&self, device: &str) -> Option<Link> {
        match self {
            Self::Https(_) => None,
            Self::Amqp { hub, .. } => Some(hub.link(device)),
        }
    }

    pub(super) fn pardon(&self, device: &str) {
        if let Self::Amqp { hub, .. } = self {
            hub.pardon(device);
        }
    }

    pub(super) fn turn(&self, device: &str) -> Turn {
        match self {
            Self::Https(_) => Turn::Now,
            Self::Amqp { hub, .. } => match hub.admit(device) {
                Admit::Go => Turn::Now,
                Admit::Later(wait) => Turn::In(wait),
            },
        }
    }

    pub(super) async fn send(
        &self,
        (clock, world): (&ServerClock, &World),
        device: &str,
        signer: &Signer,
        telemetry: &Telemetry,
    ) -> Result<Delivered, SendError> {
        match self {
            Self::Https(hub) => {
                let expiry = clock.now(world) + HTTPS_TOKEN_LIFE.as_secs().cast_signed();
                let token = azure::sas::device_token(&hub.endpoint().host, device, signer, expiry);
                hub.send(device, &token, telemetry).await
            }
            Self::Amqp { hub, .. } => hub.send(device, signer, telemetry).await,
        }
    }

    /// The hub's clock, when somebody has to know.
    pub(super) async fn server_time(&self) -> Option<UnixSeconds> {
        match self {
            Self::Https(hub) | Self::Amqp { clock: hub, .. } => hub.clock().await,
        }
    }

    pub(super) fn forget(&self, device: &str) {
        if let Self::Amqp { hub, .. } = self {
            hub.forget(device);
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Https(hub) => hub.close(),
            Self::Amqp { hub, clock, .. } => {
                clock.close();
                let _ = tokio::time::timeout(CLOSE_MAX, hub.close()).await;
            }
        }
    }
}
