//! AMQP 1.0 (OASIS, 2012) without sockets and without a clock: bytes and the time come in, bytes and events go out.
//!
//! Promises: nothing is allocated before its size was held against a bound; no input, however made, panics, recurses
//! deeper than a bound or ends anything but its own connection; dropping or cancelling one delivery, link or session is
//! not noticed by any other. Both the client and the simulator stand on it, so strangers judge it (`tests/strangers`).
//! Knows no Azure word: put-token, device addresses and error codes are its users' business, and so are TLS,
//! WebSockets and sockets.
//!
//! From the wire up:

mod codec; // bytes to values and back, with bounds
pub mod connection; // what both peers owe each other: sessions, links, windows, credit, settlement
pub mod frame; // protocol headers and frames
pub mod message; // the sections of a message
pub mod performative; // open, begin, attach, flow, transfer, disposition, detach, end, close
pub mod sasl; // who is there, before open
pub mod value; // the type system

pub use codec::{Bound, DecodeError};
