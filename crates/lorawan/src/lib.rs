//! What the network says: messages of The Things Stack (v3) and of TTN V2, as values.
//!
//! Promises: plain functions from bytes to values, without clock, socket or randomness; nothing here panics on any
//! input or follows its nesting with the stack. Relies on `serde_json` to decide what JSON is. Deliberately knows
//! nothing of Azure, of the queue, or of who sent the bytes.
//!
//! In the order in which a message meets them:

pub mod envelope; // at the door: which format, event, application, device
pub mod event; // the kinds of events
mod fields; // single values, with errors that name them
pub mod fingerprint; // when two messages are the same
pub mod ids; // who a message is about
pub mod ordered; // the members of an object, as written
pub mod secrets; // what is taken out before anything is stored
mod stranger; // what a body is that is neither
mod text;
mod ttn_v2; // where V2 keeps it
mod tts_v3; // where v3 keeps it
pub mod uplink; // after the lease: all that telemetry needs // walking over JSON that is known to be valid
