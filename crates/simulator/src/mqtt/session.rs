//! One connection without its socket: bytes, time and notes come in, packets and a fate come out.
//!
//! Promises: a client has said who it is before anything else is looked at. What a client must not do ends its connection;
//! what was answered before is still written. Whatever ends it: a will is sent unless the client said goodbye, and another
//! connection can have its messages at once. Never waits, and holds no buffer while nothing happens.

use std::time::Duration;

use bytes::BytesMut;

use super::answer::{self, Message, NOT_GRANTED};
use super::connect::Client;
use super::outbox::Outbox;
use super::packet::{self, Bad, Packet, Publish, Qos};
use super::subscriptions::Family;
use crate::directory::{ConnectionId, Notes, Protocol};
use crate::driver::{Fate, Scene, Talks};
use crate::faults::AllConnections;

/// From the end of the TLS handshake to a whole CONNECT: two round trips on a bad mobile link.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// Largest CONNECT: a will and a topic of 64 KiB; ids and tokens have 2 KiB.
const CONNECT_BYTES_MAX: usize = 136 << 10;
/// Largest packet afterwards: a message of 256 KiB under the longest topic there is.
const PACKET_BYTES_MAX: usize = (256 << 10) + (64 << 10) + 4;

/// One connection.
pub(crate) struct Session {
    pub(super) id: ConnectionId,
    /// None before CONNECT.
    pub(super) client: Option<Box<Client>>,
    pub(super) outbox: Outbox,
    /// What was read and not looked at.
    held: BytesMut,
    /// When the last packet came.
    heard_at: Duration,
    fate: Option<Fate>,
    is_ended: bool,
}

impl Session {
    /// Looks at what was read, as far as nothing keeps it from that.
    fn look(&mut self, scene: Scene<'_>) {
        while !self.held.is_empty() && self.reads() {
            let most = if self.client.is_some() { PACKET_BYTES_MAX } else { CONNECT_BYTES_MAX };
            match packet::take(&mut self.held, most) {
                Ok(Some(packet)) => {
                    self.heard_at = scene.at;
                    self.came(packet, scene);
                }
                Ok(None) => break,
                Err(Bad::OtherVersion) if self.client.is_none() => {
                    self.refuse(answer::Code::OTHER_VERSION, Duration::ZERO, scene);
                }
                Err(Bad::OtherVersion | Bad::Malformed) => self.end("malformed", scene),
                Err(Bad::TooLarge) => self.end("too_large", scene),
            }
        }
        if self.held.is_empty() || self.is_ended {
            // The buffer is not kept for the next time, which may be hours away.
            self.held = BytesMut::new();
        }
    }

    fn came(&mut self, packet: Packet, scene: Scene<'_>) {
        match packet {
            Packet::Connect(connect) if self.client.is_none() => self.connect(*connect, scene),
            _ if self.client.is_none() => self.end("malformed", scene),
            // Twice is once too often.
            Packet::Connect(_) => self.end("malformed", scene),
            Packet::Publish(publish) => self.published(&publish, scene),
            Packet::PubAck(id) => self.answered(id, scene),
            Packet::Subscribe { id, filters } => self.subscribe(id, filters, scene),
            Packet::Unsubscribe { id, filters } => self.unsubscribe(id, &filters, scene),
            Packet::PingReq => self.outbox.put_first(answer::pingresp),
            Packet::Disconnect => {
                if let Some(client) = &mut self.client {
                    client.will = None;
                }
                self.end("by_client", scene);
            }
        }
    }

    fn published(&mut self, publish: &Publish, scene: Scene<'_>) {
        scene.cloud.count_publish();
        match (publish.qos, self.is_device()) {
            (Qos::Two, _) => self.end("qos_2", scene),
            (_, true) => self.published_to_hub(publish, scene),
            (_, false) => self.published_to_dps(publish, scene),
        }
    }

    fn subscribe(&mut self, id: u16, filters: Vec<(String, Qos)>, scene: Scene<'_>) {
        let Some(weather) = self.braves(scene) else { return };
        let Some(client) = &mut self.client else { return };
        let mut codes = Vec::with_capacity(filters.len());
        for (filter, wanted) in filters {
            let Some(family) = client.family(&filter) else { return self.end("topic", scene) };
            let granted = client.subscriptions.add(filter, family, wanted);
            codes.push(granted.map_or(NOT_GRANTED, |qos| u8::from(qos == Qos::One)));
        }
        self.put(weather, scene, |out| answer::suback(out, id, &codes));
        self.listens(scene);
    }

    fn unsubscribe(&mut self, id: u16, filters: &[String], scene: Scene<'_>) {
        let Some(weather) = self.braves(scene) else { return };
        let Some(client) = &mut self.client else { return };
        filters.iter().for_each(|filter| client.subscriptions.remove(filter));
        self.put(weather, scene, |out| answer::unsuback(out, id));
        self.listens(scene);
    }

    /// Puts an answer that takes the service so long.
    pub(super) fn put(&mut self, delay: Duration, scene: Scene<'_>, write: impl FnOnce(&mut BytesMut)) {
        self.outbox.put(scene.at, scene.at + delay, write);
    }

    pub(super) fn put_puback(&mut self, publish: &Publish, delay: Duration, scene: Scene<'_>) {
        if let Some(id) = publish.id {
            self.put(delay, scene, |out| answer::puback(out, id));
        }
    }

    /// Sends something that needs no PUBACK, if the client listens.
    pub(super) fn send(&mut self, family: Family, topic: &str, payload: &[u8], delay: Duration, scene: Scene<'_>) {
        let listens = self.client.as_ref().and_then(|client| client.subscriptions.qos(family, topic));
        if listens.is_some() {
            let message = Message { topic, payload, id: None, is_again: false };
            self.put(delay, scene, |out| answer::publish(out, &message));
        }
    }

    /// The connection is closed when what was answered is written.
    pub(super) fn end(&mut self, reason: &str, scene: Scene<'_>) {
        self.outbox.forget_later();
        self.finish(reason, scene);
    }

    /// A CONNECT is answered so, and the connection closed.
    pub(super) fn refuse(&mut self, code: answer::Code, delay: Duration, scene: Scene<'_>) {
        scene.cloud.count_connect(code.0);
        self.put(delay, scene, |out| answer::connack(out, false, code));
        self.finish("refused", scene);
    }

    /// The socket goes otherwise than in peace.
    pub(super) fn meet(&mut self, fate: Fate, reason: &str, scene: Scene<'_>) {
        self.fate = Some(fate);
        self.finish(reason, scene);
    }

    fn finish(&mut self, reason: &str, scene: Scene<'_>) {
        if !self.is_ended {
            self.is_ended = true;
            scene.cloud.count_close(reason);
            self.leave(scene);
        }
    }

    fn expire(&mut self, scene: Scene<'_>) {
        let expires_ms = self.client.as_ref().and_then(|client| client.expires_ms());
        if expires_ms.is_some_and(|at_ms| at_ms <= scene.now_ms) {
            if let Some(device) = self.device() {
                scene.cloud.count_run_out(&device.endpoint);
            }
            self.end("token_expired", scene);
        }
    }

    /// When the client has been silent for too long.
    fn silent_at(&self) -> Duration {
        self.heard_at + self.client.as_ref().map_or(CONNECT_MAX, |client| client.patience)
    }
}

impl Talks for Session {
    const PROTOCOL: Protocol = Protocol::Mqtt;

    fn begin(id: ConnectionId, scene: Scene<'_>) -> Self {
        Self {
            id,
            client: None,
            outbox: Outbox::default(),
            held: BytesMut::new(),
            heard_at: scene.at,
            fate: None,
            is_ended: false,
        }
    }

    fn receive(&mut self, bytes: &[u8], scene: Scene<'_>) {
        self.expire(scene);
        self.held.extend_from_slice(bytes);
        self.look(scene);
    }

    fn notes(&mut self, notes: Notes, scene: Scene<'_>) {
        match notes.all {
            Some(AllConnections::Drop) => self.meet(Fate::Reset, "dropped", scene),
            Some(AllConnections::HalfOpen) => self.meet(Fate::Silent, "half_open", scene),
            None => {}
        }
        if notes.time && !self.is_ended {
            self.expire(scene);
        }
        if !self.is_ended {
            self.heed(notes, scene);
        }
    }

    fn tick(&mut self, scene: Scene<'_>) {
        self.outbox.release(scene.at);
        if self.is_ended {
            return;
        }
        self.expire(scene);
        if self.silent_at() <= scene.at {
            self.end(if self.client.is_some() { "keep_alive" } else { "no_connect" }, scene);
        }
        self.look(scene);
    }

    fn deadline(&self, scene: Scene<'_>) -> Option<Duration> {
        let due = self.outbox.next_due();
        if self.is_ended {
            return due;
        }
        let expiry = self.client.as_ref().and_then(|client| client.expires_ms()).map(|at_ms| scene.when(at_ms));
        [due, expiry, Some(self.silent_at())].into_iter().flatten().min()
    }

    fn output(&mut self, out: &mut BytesMut, scene: Scene<'_>) {
        self.outbox.release(scene.at);
        let ready = self.outbox.take();
        if !ready.is_empty() {
            *out = ready;
        }
        // There is room again.
        self.look(scene);
        self.deliver(scene);
    }

    fn reads(&self) -> bool {
        !self.is_ended && !self.outbox.is_full()
    }

    fn fate(&self) -> Option<Fate> {
        self.fate
    }

    fn is_over(&self) -> bool {
        self.is_ended && self.outbox.is_empty()
    }

    fn cut(&mut self, scene: Scene<'_>) {
        self.finish("lost", scene);
    }

    fn gone(&mut self, scene: Scene<'_>) {
        self.finish("lost", scene);
    }
}

#[cfg(test)]
pub(crate) mod tests;
