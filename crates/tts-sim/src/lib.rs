//! An application of The Things Stack on this machine: devices, their queues, their radio, and what the webhook hears
//! of them.
//!
//! Promises: what a client of the downlink API sees (addresses, keys, answers, error bodies) and what a webhook is
//! posted is what the Stack is known to do, as far as there is evidence; each file names its sources. All that is
//! transmitted stands in a journal, so that a judge can say how often. Knows nothing of `lorawan`, our own reader and
//! writer of the same bodies: the two cannot be wrong together.
//!
//! [`Application::step`] decides, without clock and sockets; [`serve`] listens, posts and lets time pass:
//!
//! - `POST /api/v3/as/applications/{app}/webhooks/{webhook}/devices/{dev}/down/push` and `…/replace`, with a key;
//! - `/sim/…`, JSON, for who directs the play (`control.rs` lists it).
//!
//! What it does not have: more than one application or webhook, TLS, class B, multicast, MAC commands, regions beside
//! EU868, the paid retry queue, MQTT; a join is one step, so there is no session that is pending.

mod application; // what happens to devices, and what is told of it
mod config; // what a server is to be
mod control; // for who directs the play
mod device; // how it listens, its session, its queue
mod door; // who may hand in downlinks, and for what
mod downlink; // what is handed in
mod event; // what is posted
mod faults; // trouble on request
mod ids; // of events, errors, sessions
mod poster; // events to the webhook's receiver
mod radio; // data rates, the journal
mod refusal; // errors in the Stack's shape
mod server; // connections, and time that passes

pub use application::{Application, Input, Limits, Outcome, Told, Uplink};
pub use application::{DEVICES_MAX, EVENTS_MAX, HELD_BACK_MAX, JOURNAL_MAX, QUEUE_CAPACITY, QUEUED_MAX};
pub use config::{Clock, Config, ConfigError, Paths, Post};
pub use device::{DeviceSetup, DeviceView, Encoded};
pub use downlink::{Downlink, Retry, read};
pub use event::{Event, EventKind};
pub use faults::{DELAY_MS_MAX, FAULTS_MAX, Failure, Fate, Fault, Trouble, Unarmed};
pub use radio::{BAND_PAYLOAD_MAX, Class, DataRate, Transmission};
pub use refusal::Refusal;
pub use server::{ServeError, serve};
