//! The simulator as a client meets it: real sockets, real TLS, judged by status, body and record.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, missing_docs, reason = "the tests' own client is documented where it is not plain")]

mod client;
mod control;
mod errors;
mod faults;
mod hubs;
mod owner;
mod provision_and_send;
