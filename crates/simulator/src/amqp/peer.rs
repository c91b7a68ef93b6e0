//! One connection without its socket: bytes, time and notes come in, bytes and a fate come out.
//!
//! ```text
//! receive(bytes) ─┐                    ┌─ output(&mut buffer): bytes to write
//! notes(…) ───────┼─> Peer ── engine ──┼─ deadline(): when to tick
//! tick() ─────────┘      └─── cloud    └─ fate(): what is to become of the socket
//! ```
//!
//! Promises: whatever a client does ends nothing but its own connection, and where the engine allows only a session or a
//! link. Every method leaves no event of the engine unanswered. Never waits.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::connection::{Connection, Ended, Event, LinkId, Options};
use amqp::performative::Error;
use bytes::{Buf as _, BytesMut};

use super::deliveries::Sources;
use super::handed::Hungry;
use super::later::{Job, Later};
use super::links::{Kind, Link};
use super::provisioning::Registration;
use super::sasl;
use super::tokens::Tokens;
use crate::cloud::Cloud;
use crate::directory::ConnectionId;
pub(super) use crate::driver::{Fate, Scene};
use crate::endpoint::HubId;

/// What the real hub announces is half of it.
const SILENCE_MAX: Duration = Duration::from_secs(480);
/// Messages that have begun and not ended, bytes, all links together: 16 of the largest.
const PARTIAL_BYTES_MAX: usize = 16 << 20;
/// A thousand devices with all the links that one can have (six), and more. Each holds about 1 KiB.
const LINKS_MAX: usize = 8192;
/// While somebody waits for the middle of a message bytes are looked at in such pieces: the smallest frame has more.
const PIECE_BYTES: usize = 256;

/// One connection.
pub(crate) struct Peer {
    pub(super) engine: Connection,
    pub(super) id: ConnectionId,
    /// The hub that is meant: by its SASL user, else by the host name of its open.
    pub(super) hub: HubId,
    pub(super) tokens: Tokens,
    /// The connection's own token, of a client that brought one before open: with it the connection ends.
    pub(super) expires_ms: Option<i64>,
    pub(super) registration: Option<Registration>,
    /// In the order of ids: what is done to many of them is done in it.
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) readers: Sources,
    pub(super) hungry: Hungry,
    pub(super) later: Later,
    /// What was read and not looked at.
    held: BytesMut,
    pub(super) paused_until: Option<Duration>,
    pub(super) fate: Option<Fate>,
    is_over: bool,
}

impl Peer {
    pub(super) fn new(id: ConnectionId, scene: Scene<'_>) -> Self {
        let engine = Connection::server(options(scene.cloud), sasl::mechanisms(), true, scene.at);
        Self {
            engine,
            id,
            hub: scene.cloud.default_hub(),
            tokens: Tokens::default(),
            expires_ms: None,
            registration: None,
            links: BTreeMap::new(),
            readers: Sources::default(),
            hungry: Hungry::default(),
            later: Later::default(),
            held: BytesMut::new(),
            paused_until: None,
            fate: None,
            is_over: false,
        }
    }

    /// What was read.
    pub(super) fn receive(&mut self, bytes: &[u8], scene: Scene<'_>) {
        self.held.extend_from_slice(bytes);
        self.expire(scene);
        self.look(scene);
    }

    /// Looks at what was read, as far as nothing keeps it from that.
    fn look(&mut self, scene: Scene<'_>) {
        while !self.held.is_empty() && self.reads() {
            let is_watched = scene.cloud.manners().watches_transfers;
            let length = if is_watched { PIECE_BYTES.min(self.held.len()) } else { self.held.len() };
            self.engine.receive(&self.held[..length], scene.at);
            self.held.advance(length);
            self.work(scene);
            if is_watched {
                self.meet_transfers(scene);
            }
        }
        self.work(scene);
    }

    /// Whether more may be read.
    pub(super) fn reads(&self) -> bool {
        self.paused_until.is_none() && self.fate.is_none() && !self.is_over
    }

    /// The transport is gone.
    pub(super) fn cut(&mut self, scene: Scene<'_>) {
        self.engine.cut();
        self.work(scene);
    }

    /// The simulator stops, or the socket does not take what is written.
    pub(super) fn gone(&mut self, scene: Scene<'_>) {
        scene.cloud.count_detaches("with_connection", self.links.len() as u64);
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.give_all_back(link, scene);
        }
        self.links.clear();
    }

    /// What is to become of the socket, if it is decided.
    pub(super) fn fate(&self) -> Option<Fate> {
        self.fate
    }

    /// Nothing more follows but what is to be written.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// When to tick.
    pub(super) fn deadline(&self, scene: Scene<'_>) -> Option<Duration> {
        let expiry = self.tokens.next_expiry_ms().into_iter().chain(self.expires_ms).min();
        let expiry = expiry.map(|at_ms| scene.when(at_ms));
        [self.engine.deadline(), expiry, self.later.next_due(), self.paused_until].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, scene: Scene<'_>) {
        self.engine.tick(scene.at);
        self.expire(scene);
        if self.paused_until.is_some_and(|until| until <= scene.at) {
            self.paused_until = None;
        }
        while let Some(job) = self.later.take(scene.at) {
            self.perform(job, scene);
        }
        self.look(scene);
    }

    /// Bytes to be written, as many as the engine gives at a time.
    pub(super) fn output(&mut self, out: &mut BytesMut, scene: Scene<'_>) {
        self.feed_readers(scene);
        self.feed_hungry(scene);
        self.engine.output(out, scene.at);
        // Writing is news to the engine: deliveries are done with.
        self.work(scene);
    }

    pub(super) fn work(&mut self, scene: Scene<'_>) {
        while let Some(event) = self.engine.poll() {
            self.happened(event, scene);
        }
    }

    fn happened(&mut self, event: Event, scene: Scene<'_>) {
        match event {
            Event::Authenticating(init) => {
                let is_good = self.lets_in(&init, scene);
                self.engine.authenticate(is_good);
            }
            Event::Attaching(session, link, attach) => self.attaching(session, link, attach, scene),
            Event::Delivered(link, delivery) => self.delivered(link, delivery, scene),
            Event::Credit(link, credit) => {
                self.readers.credit(&mut self.links, link, credit);
                self.is_hungry(link);
            }
            Event::Done(sent, fate) => {
                self.answered(sent.link());
                self.read(sent.link());
                self.came_back(sent, &fate, scene);
            }
            Event::Asked(sent, state) => self.asked(sent, state, scene),
            Event::Detached(link, detachment) => {
                // Those that we detach are forgotten at once.
                let reason = if detachment.by_us { "with_session" } else { "by_client" };
                scene.cloud.count_detaches(reason, u64::from(self.links.contains_key(&link)));
                self.forget(link, scene);
            }
            Event::Ended(ended) => self.ended(&ended),
            Event::Opened(open) => self.opened(open.hostname.as_deref(), scene),
            Event::Begun(..) | Event::SessionEnded(..) | Event::Attached(..) | Event::Drained(_) => {}
        }
    }

    /// Which hub is meant. A user that SASL let in said it before.
    fn opened(&mut self, hostname: Option<&str>, scene: Scene<'_>) {
        if self.tokens.is_empty() {
            self.hub = hostname.and_then(|host| scene.cloud.hub_named(host)).unwrap_or(self.hub);
        }
    }

    fn ended(&mut self, ended: &Ended) {
        tracing::debug!(connection = ?self.id, ?ended, "an AMQP connection ended");
        self.is_over = true;
    }

    /// A job whose time has come, or for which there was no room to wait.
    pub(super) fn perform(&mut self, job: Job, scene: Scene<'_>) {
        match job {
            Job::Attach(session, link, attach) => self.grant(session, link, &attach, scene),
            Job::Settle(link, delivery, state) => self.settle_now(link, delivery, state, scene),
            Job::LetGo(whom) => {
                let (endpoint, error) = *whom;
                self.detach_all(self.links_of(&endpoint, None), &Some(error), true, scene);
            }
            Job::TwinAnswer(link, payload) => self.answer_twin(link, payload, scene),
            Job::Reply(service, reply_to, payload) => self.reply_now(service, reply_to.as_deref(), payload),
        }
    }

    pub(super) fn do_after(&mut self, wait: Duration, job: Job, scene: Scene<'_>) {
        if wait.is_zero() {
            self.perform(job, scene);
        } else if let Err(job) = self.later.push(scene.at + wait, job) {
            self.perform(job, scene);
        }
    }
}

/// How links go.
impl Peer {
    /// Detaches a link of ours or the peer's, counted by condition.
    pub(super) fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>, scene: Scene<'_>) {
        let reason = error.as_ref().map_or("without_error", |error| error.condition.as_str());
        scene.cloud.count_detaches(reason, 1);
        self.forget(link, scene);
        self.engine.detach(link, closed, error);
    }

    pub(super) fn detach_all(&mut self, links: Vec<LinkId>, error: &Option<Error>, closed: bool, scene: Scene<'_>) {
        for link in links {
            self.detach(link, closed, error.clone(), scene);
        }
    }

    fn forget(&mut self, link: LinkId, scene: Scene<'_>) {
        self.give_all_back(link, scene);
        let Some(gone) = self.links.remove(&link) else { return };
        match &gone.kind {
            Kind::Reader(_) => {
                self.readers.remove(link);
                scene.cloud.directory().stand_up(self.id, link);
            }
            Kind::Feedback(_) => self.tell_feedback_ear(scene),
            kind => {
                if let Kind::Half(half) = kind {
                    self.end_half(half);
                }
                if let Some((endpoint, _)) = kind.owner() {
                    self.tell_ears(endpoint, scene);
                    if self.links_of(endpoint, None).is_empty() {
                        scene.cloud.give_up(endpoint, self.id);
                    }
                }
            }
        }
    }
}

/// As the real hub opens connections and begins sessions.
fn options(cloud: &Cloud) -> Options {
    let (window, frame_bytes_max) = cloud.amqp_sizes();
    let container_id = format!("DeviceGateway_{:032x}", u128::from_be_bytes(cloud.random().bytes()));
    let options = Options::new(container_id);
    Options {
        hostname: Some("localhost".to_owned()),
        max_frame_size: frame_bytes_max.unwrap_or(options.max_frame_size).max(512),
        incoming_window: window.unwrap_or(options.incoming_window).max(1),
        links_max: LINKS_MAX,
        partial_bytes_max: PARTIAL_BYTES_MAX,
        silence_max: Some(SILENCE_MAX),
        agrees_with_second: false,
        ..options
    }
}

#[cfg(test)]
pub(super) mod tests;
