//! What can be learnt of a command.

use crate::outcome::{Outcome, Why};

/// One fact, as it arrives. `L` is what settles a message at its hub: a lock, in memory only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<L> {
    /// Somebody hands the command to us, for the first time or again, and waits for a word.
    Handed {
        /// What answers: the lock of a message, the request of a method.
        by: L,
        /// When the lock, or the caller's patience, ends (Unix ms).
        until: i64,
    },
    /// Nobody waits any more: the word was said, the lock ran out, the link broke, or somebody else has the device.
    LockGone,
    /// A push is about to leave.
    PushBegun,
    /// What came of it.
    Pushed(Answer),
    /// A process found an entry that another, which is gone, had left.
    Restarted,
    /// What the network says of it.
    Heard(Word),
    /// Somebody looked into the network's queue for it.
    Looked {
        /// It was there.
        is_there: bool,
    },
    /// A newer command took its place: before its push, or by a replace that the network took.
    Superseded,
    /// Somebody wants it to be gone. Has an effect only where it was not handed over, or was taken out of the network's queue.
    Cancelled,
    /// It was taken out of the network's queue, or it was not there, or that was tried in vain.
    Withdrawn {
        /// It was there and is not now.
        is_out: bool,
    },
    /// It cannot be sent as it is: too long, no port, no session, above the budget.
    Unfit(Why),
    /// Azure knows of this outcome.
    Told(Outcome),
}

/// What the network answered to a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has it.
    Taken,
    /// It has it not, and will not take it.
    Refused(Why),
    /// It has it not, but may take it later (Unix ms).
    Later {
        /// Not before.
        at: i64,
    },
    /// It may have it: the line broke, or a server in between gave up.
    Doubt,
}

/// What the network says of a downlink that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is in the device's queue.
    Queued,
    /// A gateway transmitted it.
    Sent,
    /// The device acknowledged it.
    Acknowledged,
    /// The device did not acknowledge it; the network tries again by itself.
    NotAcknowledged,
    /// The network gave it up.
    Failed(Why),
}
