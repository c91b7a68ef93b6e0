//! What is owed now.

use crate::entry::{Entry, Policy, Push, Settle};
use crate::outcome::Outcome;

/// One thing to do, the most urgent. Whoever has done it says so with a fact and asks again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Say to whoever handed it over how it stands; then [`Fact::LockGone`](crate::Fact::LockGone), and
    /// [`Fact::Told`](crate::Fact::Told) where the answer tells the outcome.
    Answer(Verdict),
    /// Tell Azure and the operator.
    Tell(Outcome),
    /// Hand it to the network, when it is its turn: first [`Fact::PushBegun`](crate::Fact::PushBegun), stored.
    Push,
    /// Look whether it is in the network's queue.
    Look,
    /// Take it out of the network's queue.
    Withdraw,
    /// Nothing before this time (Unix ms), unless something is learnt.
    Wait {
        /// When time alone changes something.
        until: i64,
    },
    /// Nothing any more. It is kept for a while, for what the network may still say.
    Rest,
}

/// What whoever handed a command over is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// We have it, and its outcome follows.
    Taken,
    /// It is over.
    Ended(Outcome),
}

impl<L> Entry<L> {
    /// The most urgent duty at `now`.
    pub fn duty(&self, policy: &Policy, now: i64) -> Duty {
        let outcome = self.outcome(policy, now);
        if let Some(verdict) = self.verdict(outcome.as_ref(), policy, now) {
            return Duty::Answer(verdict);
        }
        match outcome {
            Some(outcome) if self.told() != Some(&outcome) => Duty::Tell(outcome),
            Some(_) => Duty::Rest,
            None => self.way(policy, now),
        }
    }

    fn verdict(&self, outcome: Option<&Outcome>, policy: &Policy, now: i64) -> Option<Verdict> {
        let (_, until) = self.lock.as_ref()?;
        match outcome {
            Some(outcome) => Some(Verdict::Ended(outcome.clone())),
            None if policy.settle == Settle::AtOnce || now >= until.saturating_sub(policy.margin) => {
                Some(Verdict::Taken)
            }
            None => None,
        }
    }

    /// What is to be done for an outcome.
    fn way(&self, policy: &Policy, now: i64) -> Duty {
        if self.is_cancelled() && !self.is_cancelled_in_vain() && !matches!(self.push, Push::Begun) {
            return Duty::Withdraw;
        }
        let next = match &self.push {
            Push::Ahead(at) if now >= *at => return Duty::Push,
            Push::Ahead(at) => (*at).min(self.expires_at),
            Push::Doubt { since, looked_at } => {
                if now >= since.saturating_add(policy.doubt) {
                    return Duty::Push;
                }
                match looked_at.map(|at| at.saturating_add(policy.look_every)) {
                    Some(at) if now < at => at.min(since.saturating_add(policy.doubt)),
                    _ => return Duty::Look,
                }
            }
            // Its answer comes, within what a request may take.
            Push::Begun => i64::MAX,
            _ if now >= self.expires_at => return Duty::Withdraw,
            _ => self.expires_at,
        };
        Duty::Wait {
            until: self.lock.as_ref().map_or(next, |(_, until)| next.min(until.saturating_sub(policy.margin))),
        }
    }
}
