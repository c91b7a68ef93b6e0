//! The services without ports and without TLS, on wires of the caller's own.
//!
//! For whoever wants a simulator in memory: a fuzzer that makes a new one for each input, a test in virtual time. What is
//! spoken on a wire is what is spoken on a port inside TLS. Spawns nothing: what happens by itself happens when the caller
//! lets time pass.

use std::ops::Deref;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::amqp::Amqp;
use crate::connections::Http;
use crate::handle::Handle;
use crate::https::Https;
use crate::mqtt::Mqtt;
use crate::opening::Hosts;
use crate::options::Options;
use crate::simulator::{StartError, open};
use crate::sockets::{Plug, Serves};

/// The services of a simulator, steered through their [`Handle`]. A wire is served to its end: until the client, the
/// service or a fault ends it, or the future is dropped. Nothing of a wire is left then, so that a runtime may go with all
/// wires that it serves, and the services go on in another one.
#[derive(Clone, Debug)]
pub struct Unplugged {
    handle: Handle,
}

impl Deref for Unplugged {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Unplugged {
    /// As `options` say; ports and addresses in them mean nothing here.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(options: &Options) -> Result<Self, StartError> {
        let cloud = Arc::new(open(options, &Hosts::of(options)?, 0)?);
        Ok(Self { handle: Handle { cloud } })
    }

    /// Lets happen what is due by the clock: messages and locks that have run out, feedback that has waited; and when the
    /// clock has leapt, has all connections look at it. A simulator with ports does so each second by itself.
    pub fn let_time_pass(&self) {
        self.cloud.let_time_pass();
    }

    /// Serves what would come in at the port of HTTPS, also WebSockets.
    pub async fn https(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let https = Arc::new(Https { cloud: Arc::clone(&self.cloud) });
        Arc::new(Http(https)).serve(wire, Plug::default()).await;
    }

    /// Serves what would come in at the port of AMQP.
    pub async fn amqp(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        Arc::new(Amqp { cloud: Arc::clone(&self.cloud) }).serve(wire, Plug::default()).await;
    }

    /// Serves what would come in at the port of MQTT.
    pub async fn mqtt(&self, wire: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        Arc::new(Mqtt { cloud: Arc::clone(&self.cloud) }).serve(wire, Plug::default()).await;
    }
}
