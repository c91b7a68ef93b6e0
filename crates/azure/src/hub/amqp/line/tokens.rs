//! The `$cbs` node: tokens go there, answers come from there, and renewals in time.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use amqp::connection::{Connection, Delivery, Fate, LinkId, Outgoing, Sent, SessionId};
use amqp::performative::{DeliveryState, Error};

use super::device::Phase;
use super::endings::Cause;
use super::{Effect, Life, Line, Now, is_crowded};
use crate::hub::Why;
use crate::hub::amqp::cbs;
use crate::hub::amqp::condition::{Judgement, judge, judge_token};
use crate::hub::amqp::spread::renew_after;
use crate::sas::{device_audience, device_token};

/// As long as Microsoft's Java SDK waits after a renewal that failed.
const RETRY: Duration = Duration::from_secs(5);
/// Times in a row that the hub may take its node away before the connection is of no use: without an answer in between,
/// and less than [`NODE_STOOD`] apart.
const NODE_LOSSES_MAX: u32 = 3;
const NODE_STOOD: Duration = Duration::from_secs(60);

/// The links to `$cbs` and what was asked there. One pair for all devices: the hub allows no second one.
#[derive(Debug)]
pub(super) struct Tokens {
    session: Option<SessionId>,
    sender: Option<LinkId>,
    receiver: Option<LinkId>,
    next: u64,
    /// Tokens that are not answered, at most one a device.
    asks: HashMap<u64, Ask>,
    by_sent: HashMap<Sent, u64>,
    /// When they have to be answered, in order of time.
    due: VecDeque<(Duration, u64)>,
    /// The node is gone, and why.
    loss: Option<Option<Error>>,
    losses: u32,
    attached_at: Duration,
    /// Tokens renewed so far.
    pub(super) renewed: u64,
}

#[derive(Debug)]
struct Ask {
    life: Life,
    /// When this token runs out.
    expires: Duration,
    sent: Option<Sent>,
}

impl Tokens {
    pub(super) fn attach(connection: &mut Connection, name: &str, next: u64, now: Now) -> Self {
        let session = connection.begin().ok();
        let mut attach = |terms| session.and_then(|session| connection.attach(session, terms).ok());
        let sender = attach(cbs::sender(format!("{name}-cbs-sender-{next}")));
        let receiver = attach(cbs::receiver(format!("{name}-cbs-receiver-{next}")));
        if let Some(receiver) = receiver {
            connection.credit(receiver, cbs::CREDIT);
        }
        Self {
            session,
            sender,
            receiver,
            next,
            asks: HashMap::new(),
            by_sent: HashMap::new(),
            due: VecDeque::new(),
            loss: None,
            losses: 0,
            attached_at: now.at,
            renewed: 0,
        }
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.due.front().map(|(at, _)| *at)
    }

    pub(super) fn is_link(&self, link: LinkId) -> bool {
        [self.sender, self.receiver].contains(&Some(link))
    }

    pub(super) fn is_session(&self, session: SessionId) -> bool {
        self.session == Some(session)
    }

    /// Notes that the node is gone. A reason is worth more than none.
    pub(super) fn lose(&mut self, error: Option<Error>) {
        let before = self.loss.take().flatten();
        self.loss = Some(before.or(error));
    }

    pub(super) fn take_loss(&mut self) -> Option<Option<Error>> {
        self.loss.take()
    }

    pub(super) fn tidy(&mut self) {
        let Self { due, asks, .. } = self;
        while due.pop_front_if(|(_, number)| !asks.contains_key(number)).is_some() {}
        if is_crowded(due.len(), asks.len()) {
            due.retain(|(_, number)| asks.contains_key(number));
        }
    }

    /// Nobody waits for this answer any more. If the token is not written yet it never is.
    pub(super) fn drop_ask(&mut self, connection: &mut Connection, number: u64) {
        if let Some(sent) = self.asks.remove(&number).and_then(|ask| ask.sent) {
            self.by_sent.remove(&sent);
            connection.cancel(sent);
        }
    }
}

impl Line {
    /// Signs a token by the hub's time and puts it. It waits in the connection for the node and its credit.
    pub(super) fn put_token(&mut self, life: Life, now: Now) {
        let Some(device) = self.devices.get_mut(&life) else { return };
        let number = self.tokens.next;
        self.tokens.next += 1;
        let (host, seconds) = (&self.settings.host, self.settings.token_life.as_secs());
        let expiry = now.unix.saturating_add_unsigned(seconds);
        let token = device_token(host, &device.name, &device.key, expiry);
        let payload = cbs::put_token(number, device_audience(host, &device.name), &token);
        let sent = self.tokens.sender.and_then(|link| self.connection.send(link, Outgoing::message(payload)));
        device.asked = Some(number);
        self.tokens.by_sent.extend(sent.map(|sent| (sent, number)));
        self.tokens.asks.insert(number, Ask { life, expires: now.at + self.settings.token_life, sent });
        self.tokens.due.push_back((now.at + self.settings.answer_timeout, number));
    }

    /// Something came from the node.
    pub(super) fn token_answered(&mut self, link: LinkId, delivery: &Delivery, now: Now) {
        if !delivery.settled {
            self.connection.settle(link, delivery.id, DeliveryState::Accepted);
        }
        if self.connection.credit_left(link) < cbs::CREDIT / 2 {
            self.connection.credit(link, cbs::CREDIT);
        }
        let Some((number, verdict)) = cbs::answer(&delivery.payload) else { return };
        self.tokens.losses = 0;
        self.token_judged(number, verdict.map_err(Cause::Refused), now);
    }

    /// What became of the message that carries a token. False: it was none.
    pub(super) fn token_fated(&mut self, sent: Sent, fate: &Fate, now: Now) -> bool {
        let Some(number) = self.tokens.by_sent.remove(&sent) else { return false };
        let judged = match fate {
            Fate::Settled(Some(DeliveryState::Rejected(Some(error)))) => judge(error),
            Fate::Settled(Some(DeliveryState::Accepted)) => return true,
            Fate::Settled(_) => judge_token(0, "the token was not taken"),
            // The node is gone and comes again, or nobody waits.
            Fate::Lost { .. } | Fate::Cancelled | Fate::Unanswered => return true,
        };
        self.token_judged(number, Err(Cause::Refused(judged)), now);
        true
    }

    fn token_judged(&mut self, number: u64, verdict: Result<(), Cause>, now: Now) {
        let Some(ask) = self.tokens.asks.remove(&number) else { return };
        ask.sent.map(|sent| self.tokens.by_sent.remove(&sent));
        let Some(device) = self.devices.get_mut(&ask.life) else { return };
        device.asked = None;
        let is_opening = device.phase == Phase::Tokening;
        match verdict {
            Ok(()) => {
                device.expires = ask.expires;
                let after = renew_after(&device.name, device.renewals, self.settings.token_life);
                let put_at = ask.expires.saturating_sub(self.settings.token_life);
                device.renewals += 1;
                self.renew_later(ask.life, put_at + after);
                if is_opening { self.attach(ask.life) } else { self.tokens.renewed += 1 }
            }
            Err(cause) if is_opening => self.leave(ask.life, cause),
            Err(cause) => self.renewal_failed(ask.life, cause, now),
        }
    }

    /// A word against the device ends it; anything else is tried again while the old token lasts.
    fn renewal_failed(&mut self, life: Life, cause: Cause, now: Now) {
        let Some(device) = self.devices.get(&life) else { return };
        let is_final = matches!(&cause, Cause::Refused(Judgement { why, .. }) if matches!(
            why,
            Why::Unauthorized | Why::NotFound | Why::Disabled | Why::Blocked | Why::Suspended
        ));
        if is_final || now.at + RETRY >= device.expires {
            self.leave(life, cause);
        } else {
            self.renew_later(life, now.at + RETRY);
        }
    }

    fn renew_later(&mut self, life: Life, at: Duration) {
        let Some(device) = self.devices.get_mut(&life) else { return };
        (device.renew_at, device.has_turn) = (Some(at), false);
        self.renewals.push(Reverse((at, life)));
    }

    /// A device's renewal has its turn: at this time it goes.
    pub(in crate::hub::amqp) fn renew(&mut self, life: Life, at: Duration, now: Now) {
        let Some(device) = self.devices.get_mut(&life).filter(|device| device.asked.is_none()) else { return };
        if at <= now.at {
            device.renew_at = None;
            return self.put_token(life, now);
        }
        (device.renew_at, device.has_turn) = (Some(at), true);
        self.renewals.push(Reverse((at, life)));
    }

    /// Answers that are late, and renewals that are due.
    pub(super) fn tick_tokens(&mut self, now: Now) {
        while let Some((_, number)) = self.tokens.due.pop_front_if(|(at, _)| *at <= now.at) {
            if self.tokens.asks.contains_key(&number) {
                self.token_judged(number, Err(Cause::TimedOut), now);
            }
        }
        while let Some(Reverse((at, life))) = self.renewals.peek().copied().filter(|Reverse((at, _))| *at <= now.at) {
            self.renewals.pop();
            let Some(device) = self.devices.get_mut(&life).filter(|device| device.renew_at == Some(at)) else {
                continue;
            };
            device.renew_at = None;
            if device.asked.is_some() {
                // Another key came in between; the answer to its token sets the next time.
            } else if device.has_turn {
                self.put_token(life, now);
            } else {
                let (name, epoch, expires) = (device.name.clone(), device.epoch, device.expires);
                self.effects.push_back(Effect::RenewalDue { name, epoch, life, expires });
            }
        }
    }

    /// The hub took its node away: the devices have their links as before, and the node is attached again. What was
    /// asked is asked again.
    pub(super) fn node_lost(&mut self, error: Option<&Error>, now: Now) {
        if self.over.is_some() || self.is_closing {
            return;
        }
        let has_stood = now.at >= self.tokens.attached_at + NODE_STOOD;
        let losses = if has_stood { 1 } else { self.tokens.losses + 1 };
        if losses > NODE_LOSSES_MAX {
            let words = "the hub does not let tokens be put";
            let judged = error.map_or_else(|| judge_token(0, words), judge);
            self.over = Some(judged.send_error());
            return self.connection.cut();
        }
        if let Some(session) = self.tokens.session {
            self.connection.end(session, None);
        }
        let again = Tokens::attach(&mut self.connection, &self.name, self.tokens.next, now);
        let before = std::mem::replace(&mut self.tokens, again);
        (self.tokens.losses, self.tokens.renewed) = (losses, before.renewed);
        let mut lives: Vec<Life> = before.asks.values().map(|ask| ask.life).collect();
        lives.sort_unstable();
        for life in lives {
            self.put_token(life, now);
        }
    }
}
