//! MQTT 3.1.1: hub and provisioning on one port, told apart by the client's user name.
//!
//! Promises: what a client may send and hear depends on who it is and on nothing else; a message stands in the record
//! before its PUBACK is written. Decisions are made without sockets (`session`), bytes are moved without decisions
//! (`crate::driver`).

mod answer; // packets that we write
mod bag; // properties at the end of a topic
mod c2d; // messages to devices
mod connect; // who is let in
mod dps; // registrations
mod driver; // a session on a socket
mod hub; // devices: telemetry, and what others did to them
mod methods; // direct methods
mod outbox; // answers on their way, in their order
mod packet; // packets that we read
mod session; // one connection: what happened, what follows
mod subscriptions; // what a client listens to
mod topic; // where clients publish to
mod twins; // twins
mod who; // who a client says it is

pub(crate) use driver::Mqtt;
pub(crate) use session::Session;
pub(crate) use subscriptions::Granted;
