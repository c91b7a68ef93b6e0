//! AMQP 1.0: hub, provisioning and built-in endpoint on one port, told apart by the addresses of links.
//!
//! Promises: what a link is granted depends on the tokens of its connection and on nothing else; a message stands in the
//! record before it is accepted; one device's trouble ends its links and leaves those of others. Decisions are made
//! without sockets (`peer`), bytes are moved without decisions (`driver`).
//!
mod address; // what a link's address names
mod admission; // who is there, and for how long
mod attach; // which links are granted
pub(crate) mod cbs; // tokens, as requests and answers
mod commands; // the service side sends to devices
mod deliveries; // messages taken and answered

pub(crate) mod driver; // a peer on a socket
mod errors; // the hub's errors as AMQP carries them
mod handed; // locked, handed out, answered
mod later; // answers that are to wait
mod links; // what a connection's links are for
pub(crate) mod management; // `$management`: what hub and partitions look like
mod methods; // direct methods
mod news; // what others did
mod pairs; // two links on which a device is asked and answers
mod peer; // one connection: what happened, what follows
mod provisioning; // registrations
pub(crate) mod readers; // links that read from the built-in endpoint
mod requests; // put-token, provisioning and management: asked on one link, answered on another
mod sasl; // who a client says it is
mod telemetry; // deliveries to telemetry
pub(crate) mod tokens; // what a connection's tokens open
mod trouble; // faults that act on links
mod twins; // twins

pub(crate) use driver::Amqp;
pub(crate) use peer::Peer;
