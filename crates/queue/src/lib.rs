//! Durable hand-over: put, lease, settle.
//!
//! Promises: a [`Receipt`] means the message is on stable storage; a message leaves only by being
//! settled, kept or buried, each committed; at most one message of a lane is leased at a time, oldest
//! first. Knows bytes and keys, not LoRaWAN, not Azure.
//!
//! In the order of the flow: `handle` asks by a `command`, `driver` takes it in, `core` decides (with `lanes`), a
//! `store` keeps (`sqlite`, or `memory`), `board` shows. `opening` puts them together from `options`.

mod backup;
pub mod blobs;
mod board;
mod checksum;
mod command;
mod core;
mod driver;
mod fleet;
mod handle;
mod lanes;
pub mod memory;
mod message;
mod opening;
mod options;
mod shares;
mod sqlite;
mod store;
mod verify;

pub use backup::{Backup, BackupError};
pub use fleet::{JoinError, Shared, Tenancy};
pub use handle::{Lease, Leases, Queue};
pub use message::{
    Burial, DeadLetter, LaneState, LeaseError, Message, Moved, Note, Place, Put, PutError, Reason, Receipt, Retry,
    Seen, Seq, Settle, Stats, UnixMillis,
};
pub use options::{Clock, Engine, OpenError, Options};
pub use shares::TOO_MANY_WAITING;
pub use verify::{Cursor, Part, Report, Verified};
