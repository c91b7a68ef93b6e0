//! What the network says: messages of The Things Stack (v3) and of TTN V2, as values.
//!
//! Promises: plain functions from bytes to values, without clock, socket or randomness; nothing here panics on any
//! input or follows its nesting with the stack. Relies on `serde_json` to decide what JSON is. Deliberately knows
//! nothing of Azure, of the queue, or of who sent the bytes.
//!
//! In the order in which a message meets them:
//!
//! - [`envelope`]: at the door. Which format, which [`event`], which application and device. `tts_v3` and `ttn_v2` know
//!   where each format keeps these, `stranger` has a word for what is neither.
//! - [`secrets`]: what is taken out before anything is stored.
//! - [`uplink`]: after the lease. All that telemetry needs, in the words of neither format.
//! - [`fingerprint`]: when two messages are the same message.
//!
//! Below them: [`ids`], who a message is about; [`heard`], how it came through the air; [`ordered`], the members of an object as they were written; `fields`,
//! single values with errors that name them; `text`, walking over JSON that is known to be valid.

pub mod envelope;
pub mod event;
mod fields;
pub mod fingerprint;
pub mod heard;
pub mod ids;
pub mod ordered;
pub mod secrets;
mod stranger;
mod text;
mod ttn_v2;
mod tts_v3;
pub mod uplink;
