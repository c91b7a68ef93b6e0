//! What the senders and the drivers of one hub have in common: the fleet, behind a lock that is never held over a wait.
//!
//! Orders go into a driver's inbox while the fleet is locked, so that they come in the order in which the fleet decided.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::driver::{self, CLOSE_GRACE, CLOSE_MAX};
use super::fleet::{Bounds, Fleet, LineId, Placed, Placement, Renewal};
use super::inbox::{Command, Inbox, Reply};
use super::line::{Effect, Line, Now, Post, Settings, Ticket};
use super::spread::mix;
use super::{AmqpOptions, Links};
use crate::UnixSeconds;
use crate::hub::{Delivered, SendError, Why};
use crate::net::{Dial, Endpoint};

/// Fewest and most devices on a connection: Microsoft's C# SDK stays at 995.
const DEVICES_PER_CONNECTION_MAX: usize = 995;
/// A token that lives shorter is renewed all the time. Tokens count whole seconds, so one of ten is good for nine at the
/// least, and is renewed after eight and a half at the latest.
const TOKEN_LIFE_MIN: Duration = Duration::from_secs(10);

pub(super) struct Shared {
    pub(super) endpoint: Endpoint,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) options: AmqpOptions,
    pub(super) settings: Arc<Settings>,
    pub(super) clocks: Clocks,
    inside: Mutex<Inside>,
    /// A driver has ended.
    ended: Notify,
}

/// Both clocks.
#[derive(Clone)]
pub(super) struct Clocks {
    /// Time is counted from here.
    began: Instant,
    unix: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
}

impl Clocks {
    pub(super) fn now(&self) -> Now {
        Now { at: self.began.elapsed(), unix: (self.unix)() }
    }

    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.began + at
    }
}

struct Inside {
    fleet: Fleet,
    inboxes: HashMap<LineId, Arc<Inbox>>,
    next_ticket: Ticket,
}

/// What became of a message at once.
pub(super) enum Posted {
    Waiting(Waiting),
    Later(Duration),
    Refused(SendError),
}

impl Shared {
    pub(super) fn new(
        endpoint: Endpoint,
        dial: Arc<dyn Dial>,
        options: AmqpOptions,
        clock: Arc<dyn Fn() -> UnixSeconds + Send + Sync>,
    ) -> Self {
        let devices_max = options.transport.capabilities().devices_per_connection.min(DEVICES_PER_CONNECTION_MAX);
        let bounds = Bounds {
            devices_per_line: options.devices_per_connection.clamp(1, devices_max),
            links_max: options.max_links.max(1),
            link_idle: options.link_idle,
        };
        // Two processes with one seed should not have one name.
        let seed = mix(options.seed ^ mix(clock().cast_unsigned()));
        let settings = Settings {
            host: endpoint.host.clone(),
            name: format!("longhaul-{seed:016x}"),
            token_life: options.token_life.max(TOKEN_LIFE_MIN),
            open_timeout: options.open_timeout,
            answer_timeout: options.answer_timeout,
            silence_max: options.silence_max,
        };
        let fleet = Fleet::new(bounds, options.attaches_per_second, options.sends_per_second, seed);
        Self {
            endpoint,
            dial,
            options,
            settings: Arc::new(settings),
            clocks: Clocks { began: Instant::now(), unix: clock },
            inside: Mutex::new(Inside { fleet, inboxes: HashMap::new(), next_ticket: 0 }),
            ended: Notify::new(),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How long a send waits for its turn.
    pub(super) fn turn_max(&self) -> Duration {
        self.options.open_timeout
    }

    /// How long a message may be under way. Each part has a timeout of its own; this is their sum and a second, in case a
    /// driver is late.
    fn outcome_max(&self) -> Duration {
        let AmqpOptions { connect_timeout, open_timeout, answer_timeout, .. } = &self.options;
        *connect_timeout + *open_timeout * 2 + *answer_timeout + Duration::from_secs(1)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // A panic in here would leave counts wrong, not memory.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(&self, device: &str) -> Duration {
        self.inside().fleet.admit(device, self.clocks.began.elapsed())
    }

    /// Gives a message to its line.
    pub(super) fn post(self: &Arc<Self>, device: &str, key: &[u8], payload: &Bytes) -> Posted {
        let mut inside = self.inside();
        match inside.fleet.place(device, key, payload.len(), self.clocks.began.elapsed()) {
            Placement::Later(wait) => Posted::Later(wait),
            Placement::Refused(error) => Posted::Refused(error),
            Placement::At(placed) => Posted::Waiting(self.give(&mut inside, placed, payload.clone())),
        }
    }

    fn give(self: &Arc<Self>, inside: &mut Inside, placed: Placed, payload: Bytes) -> Waiting {
        if let Some((line, name)) = placed.evicted {
            inside.tell(line, Command::Forget(name));
        }
        if placed.is_new_line {
            self.start(inside, placed.line);
        }
        let ticket = inside.next_ticket;
        inside.next_ticket += 1;
        let (to, outcome) = oneshot::channel();
        let Placed { line, name, epoch, key, .. } = placed;
        let reply = Reply { to, name: name.clone(), epoch, bytes: payload.len() };
        inside.tell(line, Command::Post(Post { ticket, name: name.clone(), epoch, key, payload }, reply));
        Waiting { outcome: Some(outcome), ticket, name, shared: self.clone() }
    }

    fn start(self: &Arc<Self>, inside: &mut Inside, line: LineId) {
        let inbox = Arc::new(Inbox::new(line));
        inside.inboxes.insert(line, inbox.clone());
        tokio::spawn(driver::run(Arc::downgrade(self), inbox));
    }

    fn cancel(&self, device: &str, ticket: Ticket) {
        let inside = self.inside();
        if let Some(line) = inside.fleet.line_of(device) {
            inside.tell(line, Command::Cancel(ticket));
        }
    }

    pub(super) fn forget(&self, device: &str) {
        let mut inside = self.inside();
        if let Some(line) = inside.fleet.forget(device) {
            inside.tell(line, Command::Forget(device.into()));
        }
    }

    pub(super) fn standing(&self) -> Links {
        let standing = self.inside().fleet.standing(self.clocks.began.elapsed());
        Links {
            connections: standing.lines,
            attached: standing.figures.attached,
            opening: standing.seats.saturating_sub(standing.figures.attached),
            unsettled: standing.figures.unsettled,
            waiting: standing.booked,
            stolen: standing.resting,
            renewals: standing.figures.renewals,
        }
    }

    pub(super) async fn close(&self) {
        {
            let mut inside = self.inside();
            inside.fleet.close();
            inside.inboxes.values().for_each(|inbox| inbox.close());
        }
        let deadline = Instant::now() + CLOSE_GRACE + CLOSE_MAX;
        loop {
            let ended = self.ended.notified();
            if self.inside().inboxes.is_empty() || timeout_at(deadline, ended).await.is_err() {
                return;
            }
        }
    }

    /// Does what a line's effects ask for. `replies` are of messages that the line has.
    pub(super) fn carry_out(self: &Arc<Self>, inbox: &Inbox, line: &mut Line, replies: &mut HashMap<Ticket, Reply>) {
        let mut inside = self.inside();
        let now = self.clocks.now();
        while let Some(effect) = line.effect() {
            match effect {
                Effect::Done(ticket, outcome) => {
                    if let Some(reply) = replies.remove(&ticket) {
                        inside.settle(inbox.line, reply, outcome, now);
                    }
                }
                Effect::Stolen { name, epoch, tenure } => inside.fleet.stolen(&name, epoch, tenure, now.at),
                Effect::Gone { name, epoch } => inside.fleet.gone(&name, epoch),
                Effect::RenewalDue { name, epoch, life, expires } => {
                    match inside.fleet.renewal(&name, epoch, expires, now.at) {
                        Renewal::At(at) => line.renew(life, at, now),
                        Renewal::LetGo => line.forget(&name, now),
                    }
                }
                Effect::Displaced { name, epoch, key, messages } => {
                    let mut posts: Vec<(Post, Reply)> = Vec::new();
                    for (ticket, payload) in messages {
                        let post = Post { ticket, name: name.clone(), epoch, key: key.clone(), payload };
                        posts.extend(replies.remove(&ticket).map(|reply| (post, reply)));
                    }
                    posts.extend(inbox.take_posts_of(&name));
                    self.displace(&mut inside, inbox.line, &name, epoch, posts, now);
                }
                Effect::Suspected(is_suspected) => inside.fleet.suspected(inbox.line, is_suspected),
                Effect::Over { error, devices } => self.end(&mut inside, inbox, devices, &error, now),
            }
        }
        inside.fleet.report(inbox.line, line.figures());
    }

    /// Another line takes a device with its messages, in order; or they are told that there is none.
    fn displace(
        self: &Arc<Self>,
        inside: &mut Inside,
        from: LineId,
        name: &Arc<str>,
        epoch: u64,
        posts: Vec<(Post, Reply)>,
        now: Now,
    ) {
        let bytes = posts.iter().map(|(_, reply)| reply.bytes).sum();
        let found = inside.fleet.displaced(from, name, epoch, bytes, now.at);
        let Some((line, is_new)) = found else {
            let why = Why::Unavailable { retry_after: None };
            let error = SendError::unanswered(why, "the hub takes no more devices on the connections that there are");
            for (_, reply) in posts {
                inside.settle(from, Reply { bytes: 0, ..reply }, Err(error.clone()), now);
            }
            return;
        };
        if is_new {
            self.start(inside, line);
        }
        if posts.is_empty() {
            // Nobody waits for it any more.
            inside.fleet.gone(name, epoch);
        }
        for (post, reply) in posts {
            inside.tell(line, Command::Post(post, reply));
        }
    }

    /// A line is over. What was on its way to it hears the same as what was on it.
    fn end(&self, inside: &mut Inside, inbox: &Inbox, mut devices: Vec<(Arc<str>, u64)>, error: &SendError, now: Now) {
        for command in inbox.take() {
            if let Command::Post(post, reply) = command {
                devices.push((post.name, post.epoch));
                inside.settle(inbox.line, reply, Err(error.clone()), now);
            }
        }
        inside.fleet.over(inbox.line, &devices, error, now.at);
        inside.inboxes.remove(&inbox.line);
        self.ended.notify_waiters();
    }

    /// A line never came to be, or its task ended before its time.
    pub(super) fn failed(&self, inbox: &Inbox, error: &SendError) {
        let now = self.clocks.now();
        self.end(&mut self.inside(), inbox, Vec::new(), error, now);
    }

    /// A line that nobody needs: true, and nobody comes to it any more.
    pub(super) fn retire(&self, line: LineId) -> bool {
        let mut inside = self.inside();
        let is_needless = inside.fleet.retire(line);
        if is_needless {
            inside.inboxes.remove(&line);
            self.ended.notify_waiters();
        }
        is_needless
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let inside = self.inside.get_mut().unwrap_or_else(PoisonError::into_inner);
        inside.inboxes.values().for_each(|inbox| inbox.close());
    }
}

impl Inside {
    fn tell(&self, line: LineId, command: Command) {
        // A line that is over has left the fleet under the same lock.
        if let Some(inbox) = self.inboxes.get(&line) {
            inbox.push(command);
        }
    }

    /// A message has its outcome: the fleet first, then whoever waits.
    fn settle(&mut self, line: LineId, reply: Reply, outcome: Result<Delivered, SendError>, now: Now) {
        let Reply { to, name, epoch, bytes } = reply;
        self.fleet.settled(line, &name, epoch, bytes);
        let outcome = outcome.map_err(|mut error| {
            if let Why::Stolen { retry_after } = &mut error.why {
                *retry_after = self.fleet.rest_of(&name, now.at);
            }
            error
        });
        // A sender that has gone needs no outcome.
        let _ = to.send(outcome);
    }
}

/// A message under way. Dropping it takes the message back if it is not written yet.
pub(super) struct Waiting {
    outcome: Option<oneshot::Receiver<Result<Delivered, SendError>>>,
    ticket: Ticket,
    name: Arc<str>,
    shared: Arc<Shared>,
}

impl Waiting {
    pub(super) async fn outcome(mut self) -> Result<Delivered, SendError> {
        let Some(outcome) = &mut self.outcome else { unreachable!("it is taken only below") };
        match timeout(self.shared.outcome_max(), outcome).await {
            Ok(told) => {
                self.outcome = None;
                // Its driver was stopped with the runtime, or has a fault.
                told.unwrap_or_else(|_| Err(SendError::unanswered(Why::Lost, "its connection's task has ended")))
            }
            Err(_elapsed) => Err(SendError::unanswered(Why::TimedOut, "no outcome in time")),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            self.shared.cancel(&self.name, self.ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Dialing;

    #[derive(Debug)]
    struct Nowhere;

    impl Dial for Nowhere {
        fn dial(&self, _endpoint: &Endpoint) -> Dialing {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn tokens_live_as_long_as_is_asked_for_and_ten_seconds_at_the_least() {
        for (asked, life) in [(3600, 3600), (10, 10), (1, 10)] {
            let options = AmqpOptions { token_life: Duration::from_secs(asked), ..AmqpOptions::default() };
            let endpoint = Endpoint { host: "hub".to_owned(), port: 5671 };
            let shared = Shared::new(endpoint, Arc::new(Nowhere), options, Arc::new(|| 0));
            assert_eq!(shared.settings.token_life, Duration::from_secs(life));
        }
    }
}
