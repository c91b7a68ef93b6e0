//! A [`Peer`] on a socket.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::peer::Peer;
use crate::cloud::Cloud;
use crate::directory::{ConnectionId, Notes, Protocol};
use crate::driver::{Fate, Scene, Talks, drive};
use crate::sockets::{Plug, Serves, Wire};

/// Answers that a client may leave unread while we go on reading; as much as is written at a time. At 30 bytes an answer
/// that is 8 000 messages.
const UNREAD_BYTES_MAX: usize = 256 << 10;

/// The services behind the port.
pub(crate) struct Amqp {
    pub(crate) cloud: Arc<Cloud>,
}

impl Serves for Amqp {
    async fn serve(self: Arc<Self>, wire: impl Wire, plug: Plug) {
        drive::<Peer>(wire, Arc::clone(&self.cloud), plug).await;
    }
}

impl Talks for Peer {
    const PROTOCOL: Protocol = Protocol::Amqp;

    fn begin(id: ConnectionId, scene: Scene<'_>) -> Self {
        Self::new(id, scene)
    }

    fn receive(&mut self, bytes: &[u8], scene: Scene<'_>) {
        self.receive(bytes, scene);
    }

    fn notes(&mut self, notes: Notes, scene: Scene<'_>) {
        self.notes(notes, scene);
    }

    fn tick(&mut self, scene: Scene<'_>) {
        self.tick(scene);
    }

    fn deadline(&self, scene: Scene<'_>) -> Option<Duration> {
        self.deadline(scene)
    }

    fn output(&mut self, out: &mut BytesMut, scene: Scene<'_>) {
        self.output(out, scene);
    }

    fn reads(&self) -> bool {
        self.reads()
    }

    /// Both sides may send in bulk: a client that has to write before it reads (as our own does) is listened to, as long as
    /// it does not leave too many of our answers unread.
    fn reads_while_writing(&self) -> bool {
        self.reads() && self.engine.written() < UNREAD_BYTES_MAX
    }

    fn fate(&self) -> Option<Fate> {
        self.fate()
    }

    fn is_over(&self) -> bool {
        self.is_over()
    }

    fn cut(&mut self, scene: Scene<'_>) {
        self.cut(scene);
    }

    fn gone(&mut self, scene: Scene<'_>) {
        self.gone(scene);
    }
}

#[cfg(test)]
mod tests;
