//! A [`Session`] on a socket.

use std::sync::Arc;

use super::session::Session;
use crate::cloud::Cloud;
use crate::driver::drive;
use crate::sockets::{Plug, Serves, Wire};

/// The services behind the port.
pub(crate) struct Mqtt {
    pub(crate) cloud: Arc<Cloud>,
}

impl Serves for Mqtt {
    async fn serve(self: Arc<Self>, wire: impl Wire, plug: Plug) {
        drive::<Session>(wire, Arc::clone(&self.cloud), plug).await;
    }
}
