//! Durable hand-over: put, lease, settle.
//!
//! Promises: a [`Receipt`] means the message is on stable storage; a message leaves only by being
//! settled, kept or buried, each committed; at most one message of a lane is leased at a time, oldest
//! first. Knows bytes and keys, not LoRaWAN, not Azure.

mod handle;
mod message;

pub use handle::{Lease, Leases, Queue};
pub use message::{
    DeadLetter, LeaseError, Message, Note, Place, Put, PutError, Reason, Receipt, Retry, Seen, Seq, Settle, Stats,
    UnixMillis,
};
