//! The services without ports and without TLS, on wires of the caller's own.
//!
//! For whoever wants a simulator in memory: a fuzzer that makes a new one for each input, a test in virtual time. What is
//! spoken on a wire is what is spoken on a port inside TLS.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::amqp::Amqp;
use crate::cloud::Cloud;
use crate::connections::Http;
use crate::https::Https;
use crate::mqtt::Mqtt;
use crate::opening::Hosts;
use crate::options::Options;
use crate::simulator::{StartError, open};
use crate::sockets::{Reset, Serves};

/// The services of a simulator. A wire is served to its end: until the client, the service or a fault ends it.
#[derive(Clone)]
pub struct Unplugged {
    cloud: Arc<Cloud>,
}

impl std::fmt::Debug for Unplugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unplugged").finish_non_exhaustive()
    }
}

impl Unplugged {
    /// As `options` say; ports and addresses in them mean nothing here.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(options: &Options) -> Result<Self, StartError> {
        Ok(Self { cloud: Arc::new(open(options, &Hosts::of(options)?, 0)?) })
    }

    /// Makes devices as if each had registered, with the keys that it has in the group.
    ///
    /// # Errors
    /// When a name cannot be a registration id, or a change could not be written.
    pub fn enrol(&self, ids: &[String]) -> std::io::Result<()> {
        self.cloud.enrol(ids).map_err(|refusal| std::io::Error::other(refusal.message))
    }

    /// Serves what would come in at the port of HTTPS, also WebSockets.
    pub async fn https(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let https = Arc::new(Https { cloud: Arc::clone(&self.cloud) });
        Arc::new(Http(https)).serve(wire, Reset::default()).await;
    }

    /// Serves what would come in at the port of AMQP.
    pub async fn amqp(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        Arc::new(Amqp { cloud: Arc::clone(&self.cloud) }).serve(wire, Reset::default()).await;
    }

    /// Serves what would come in at the port of MQTT.
    pub async fn mqtt(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        Arc::new(Mqtt { cloud: Arc::clone(&self.cloud) }).serve(wire, Reset::default()).await;
    }
}
