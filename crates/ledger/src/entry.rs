//! What is known of one command. Stored as it stands; what is in it only grows.

use serde::{Deserialize, Serialize};

use crate::fact::{Answer, Fact, Word};
use crate::outcome::{Outcome, Why};

/// Who gave the command, which decides how its outcome is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A cloud-to-device message: settled, then told as a reported property.
    C2d,
    /// A direct method: answered while its caller waits, else told as a reported property.
    Method,
    /// A change of a desired property: told as its acknowledgement.
    Desired,
    /// A person, through us.
    Operator,
}

/// When whoever handed a command over is told that we have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// As soon as it is stored: the ledger answers for it from then on.
    AtOnce,
    /// With its outcome, if that is known in time; else at the last moment.
    WhenKnown,
}

/// What may be chosen. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When to tell whoever waits.
    pub settle: Settle,
    /// So long before a lock or a caller's patience ends the word is said.
    pub margin: i64,
    /// So long a push in doubt is looked for.
    pub doubt: i64,
    /// And so often: a network answers such a question at once.
    pub look_every: i64,
    /// What is not known by then is pushed again, so that it may be radioed twice. Else it ends as unknown.
    pub pushes_on_doubt: bool,
    /// Whether it is taken out of the network's queue when its time has run out; and so long that may take.
    pub withdraws: Option<i64>,
}

/// Where the hand-over to the network stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Push {
    /// Not before this time (Unix ms).
    Ahead(i64),
    /// On its way, by this process.
    Begun,
    /// It may have arrived.
    Doubt {
        /// Since when.
        since: i64,
        /// The last look into the network's queue.
        looked_at: Option<i64>,
    },
    /// The network has it.
    Taken,
    /// It did not take it.
    Refused(Why),
}

/// One command. `L` answers whoever handed it over; it is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Entry<L> {
    /// Who gave it.
    pub source: Source,
    /// Whether the device is to acknowledge it.
    pub confirmed: bool,
    /// When we got to know of it (Unix ms).
    pub accepted_at: i64,
    /// Its time (Unix ms).
    pub expires_at: i64,
    pub(crate) push: Push,
    /// How often a push was begun.
    pub(crate) pushes: u32,
    queued: bool,
    sent: bool,
    acknowledged: bool,
    /// The last word on the air was a missing acknowledgement.
    unanswered: bool,
    failed: Option<Why>,
    unfit: Option<Why>,
    superseded: bool,
    cancelled: bool,
    /// It was taken out of the network's queue, or not.
    withdrawn: Option<bool>,
    told: Option<Outcome>,
    #[serde(skip)]
    pub(crate) lock: Option<(L, i64)>,
}

/// How far it is, in the words of logs, metrics and page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Stored, not handed over.
    Accepted,
    /// On its way to the network.
    Pushing,
    /// The network may have it.
    InDoubt,
    /// The network said that it has it.
    Pushed,
    /// It is in the device's queue.
    Queued,
    /// A gateway transmitted it; the device has still to say so.
    Sent,
    /// The device did not acknowledge it yet; the network tries again.
    NotAcknowledged,
    /// It is over.
    Ended(Outcome),
}

impl State {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pushing => "pushing",
            Self::InDoubt => "in_doubt",
            Self::Pushed => "pushed",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::NotAcknowledged => "not_acknowledged",
            Self::Ended(outcome) => outcome.word(),
        }
    }
}

impl<L> Entry<L> {
    /// A command that nothing was done about.
    pub fn new(source: Source, confirmed: bool, accepted_at: i64, expires_at: i64) -> Self {
        Self {
            source,
            confirmed,
            accepted_at,
            expires_at,
            push: Push::Ahead(accepted_at),
            pushes: 0,
            queued: false,
            sent: false,
            acknowledged: false,
            unanswered: false,
            failed: None,
            unfit: None,
            superseded: false,
            cancelled: false,
            withdrawn: None,
            told: None,
            lock: None,
        }
    }

    /// Takes a fact in. Facts are never undone, so their order does not matter where they come from outside.
    pub fn learn(&mut self, fact: Fact<L>, now: i64) {
        match fact {
            Fact::Handed { by, until } => self.lock = Some((by, until)),
            Fact::LockGone => self.lock = None,
            Fact::PushBegun => {
                self.push = Push::Begun;
                self.pushes += 1;
            }
            Fact::Pushed(answer) => self.learn_answer(answer, now),
            Fact::Restarted => {
                self.lock = None;
                if self.push == Push::Begun {
                    self.push = Push::Doubt { since: now, looked_at: None };
                }
            }
            Fact::Heard(word) => self.learn_word(word),
            Fact::Looked { is_there: true } => self.learn_word(Word::Queued),
            Fact::Looked { is_there: false } => {
                if let Push::Doubt { looked_at, .. } = &mut self.push {
                    *looked_at = Some(now);
                }
            }
            Fact::Superseded => self.superseded = true,
            Fact::Cancelled => self.cancelled = true,
            Fact::Withdrawn { is_out } => self.withdrawn = Some(is_out || self.withdrawn == Some(true)),
            Fact::Unfit(why) => {
                self.unfit.get_or_insert(why);
            }
            Fact::Told(outcome) => self.told = better(self.told.take(), Some(outcome)),
        }
    }

    /// A refusal is final. Any other answer counts only for a push that is still under way: the network may have spoken of it meanwhile.
    fn learn_answer(&mut self, answer: Answer, now: i64) {
        let is_open = matches!(self.push, Push::Begun | Push::Doubt { .. });
        match answer {
            Answer::Refused(why) => self.push = Push::Refused(why),
            Answer::Taken if is_open => self.push = Push::Taken,
            Answer::Later { at } if is_open => self.push = Push::Ahead(at),
            Answer::Doubt if is_open => self.push = Push::Doubt { since: now, looked_at: None },
            Answer::Taken | Answer::Later { .. } | Answer::Doubt => {}
        }
    }

    /// Whoever speaks of it has it. So a command of which the network speaks is never pushed (again).
    fn learn_word(&mut self, word: Word) {
        match word {
            Word::Queued => self.queued = true,
            Word::Sent => (self.sent, self.unanswered) = (true, false),
            Word::Acknowledged => (self.sent, self.acknowledged) = (true, true),
            Word::NotAcknowledged => (self.sent, self.unanswered) = (true, true),
            Word::Failed(why) => {
                // A push that the network refuses itself is told twice, and the answer to it says more.
                self.failed.get_or_insert(why);
                return;
            }
        }
        if !matches!(self.push, Push::Refused(_)) {
            self.push = Push::Taken;
        }
    }

    /// Where it stands at `now`.
    pub fn state(&self, policy: &Policy, now: i64) -> State {
        if let Some(outcome) = self.outcome(policy, now) {
            return State::Ended(outcome);
        }
        match (&self.push, self.unanswered, self.sent, self.queued) {
            (Push::Ahead(_), ..) => State::Accepted,
            (Push::Begun, ..) => State::Pushing,
            (Push::Doubt { .. }, ..) => State::InDoubt,
            (_, true, ..) => State::NotAcknowledged,
            (_, _, true, _) => State::Sent,
            (_, _, _, true) => State::Queued,
            _ => State::Pushed,
        }
    }

    /// How it ended, by what is known at `now`. Once told it is only followed by one that knows more.
    pub fn outcome(&self, policy: &Policy, now: i64) -> Option<Outcome> {
        better(self.told.clone(), self.concluded(policy, now))
    }

    /// What Azure was told.
    pub fn told(&self) -> Option<&Outcome> {
        self.told.as_ref()
    }

    /// How often it was handed to the network.
    pub fn pushes(&self) -> u32 {
        self.pushes
    }

    fn concluded(&self, policy: &Policy, now: i64) -> Option<Outcome> {
        if self.acknowledged {
            return Some(Outcome::Acknowledged);
        }
        if self.sent && !self.confirmed {
            return Some(Outcome::Sent);
        }
        match &self.push {
            Push::Refused(why) => return Some(Outcome::Refused(why.clone())),
            // Its answer comes, or the process ends and it is in doubt.
            Push::Begun => return None,
            _ => {}
        }
        if let Some(why) = &self.failed {
            return Some(Outcome::Failed(why.clone()));
        }
        if self.withdrawn == Some(true) && self.cancelled {
            return Some(Outcome::Cancelled);
        }
        if self.superseded {
            return Some(Outcome::Superseded);
        }
        match &self.push {
            Push::Ahead(_) => self.concluded_ahead(now),
            Push::Doubt { since, .. } => self.concluded_in_doubt(*since, policy, now),
            _ => self.concluded_of_time(policy, now),
        }
    }

    /// Nobody but us has it.
    fn concluded_ahead(&self, now: i64) -> Option<Outcome> {
        if let Some(why) = &self.unfit {
            return Some(Outcome::Refused(why.clone()));
        }
        if self.cancelled {
            return Some(Outcome::Cancelled);
        }
        let why =
            if self.pushes == 0 { "it was never handed to the network" } else { "the network did not take it in time" };
        (now >= self.expires_at).then(|| Outcome::Expired(why.to_owned()))
    }

    fn concluded_in_doubt(&self, since: i64, policy: &Policy, now: i64) -> Option<Outcome> {
        let is_over = now >= since.saturating_add(policy.doubt);
        let is_late = now >= self.expires_at;
        (is_over && (is_late || !policy.pushes_on_doubt)).then_some(Outcome::Unknown)
    }

    /// The network has it.
    fn concluded_of_time(&self, policy: &Policy, now: i64) -> Option<Outcome> {
        if now < self.expires_at || self.waits_for_withdrawal(policy, now) {
            return None;
        }
        let seen = match (self.sent, self.queued) {
            (true, _) => "it was sent, and the device did not acknowledge it",
            (_, true) => "it was in the network's queue, and nobody saw it sent",
            _ => "the network took it, and said no more",
        };
        let left = match self.withdrawn {
            Some(true) => "; it was taken out of the network's queue",
            _ => "; it may still be sent",
        };
        Some(Outcome::Expired(format!("{seen}{left}")))
    }

    pub(crate) fn waits_for_withdrawal(&self, policy: &Policy, now: i64) -> bool {
        let patience = policy.withdraws.map(|patience| self.expires_at.saturating_add(patience));
        self.withdrawn.is_none() && patience.is_some_and(|end| now < end)
    }

    pub(crate) fn is_cancelled_in_vain(&self) -> bool {
        self.cancelled && self.withdrawn == Some(false)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

/// The one that knows more; of two that know as much the first, which somebody may have been told.
fn better(first: Option<Outcome>, second: Option<Outcome>) -> Option<Outcome> {
    match (first, second) {
        (Some(first), Some(second)) if second.knows() > first.knows() => Some(second),
        (first, second) => first.or(second),
    }
}
