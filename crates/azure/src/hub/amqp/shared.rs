//! What the senders and the drivers of one hub have in common: the fleet, behind a lock that is never held over a wait.
//!
//! Orders go into a driver's inbox while the fleet is locked, so that they come in the order in which the fleet decided.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

mod effects; // what lines tell, done
mod waiting; // a message under way

pub(super) use waiting::Waiting;

use super::driver::{self, CLOSE_GRACE, CLOSE_MAX};
use super::fleet::{Bounds, Fleet, LineId, Placed, Placement};
use super::inbox::{Command, Inbox, Reply};
use super::line::{Now, Post, Settings, Ticket};
use super::spread::mix;
use super::{AmqpOptions, Link, Links};
use crate::UnixSeconds;
use crate::hub::{Delivered, SendError, Why};
use crate::key::Signer;
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
    inboxes: BTreeMap<LineId, Arc<Inbox>>,
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
            inside: Mutex::new(Inside { fleet, inboxes: BTreeMap::new(), next_ticket: 0 }),
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
    pub(super) fn post(self: &Arc<Self>, device: &str, signer: &Signer, payload: &Bytes) -> Posted {
        let mut inside = self.inside();
        match inside.fleet.place(device, signer, payload.len(), self.clocks.began.elapsed()) {
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

    pub(super) fn link(&self, device: &str) -> Link {
        self.inside().fleet.link(device)
    }

    pub(super) fn pardon(&self, device: &str) {
        self.inside().fleet.pardon(device);
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
            pace_per_second: standing.sends_per_second,
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
        self.fleet.learn(outcome.as_ref().map(|_| ()).map_err(|error| error.why), now.at);
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
