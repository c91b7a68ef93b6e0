//! What becomes of a command that somebody in Azure gives to a device behind a radio.
//!
//! Promises: a command has one outcome that can be told, whatever happens and in whichever order; it is handed to the network once,
//! unless the network said that it does not have it; nothing that is owed to Azure is forgotten over a restart.
//!
//! How: an [`Entry`] only ever *learns*. What it knows is a set of facts, and state, outcome and duties are worked out from the set
//! anew each time ([`Entry::state`], [`Entry::outcome`], [`Entry::duty`]). So order and repetition of what the network says cannot matter, and a process
//! that was killed does what is owed as soon as it has read the entry.
//!
//! Relies on: whoever carries out a duty stores the entry *before* each step that the outside can see, and again after it.
//!
//! Does not know: clock, socket, queue, Azure's and the network's words for all this. No `.await`.

mod duty; // what is owed now?
mod entry; // what is known of one command?
mod fact; // what can be learnt?
mod outcome; // how did it end?

pub use duty::{Duty, Verdict};
pub use entry::{Entry, Policy, Settle, Source, State};
pub use fact::{Answer, Fact, Word};
pub use outcome::{Outcome, Why};
