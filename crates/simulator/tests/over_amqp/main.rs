//! The simulator as an AMQP client meets it: real sockets, real TLS, judged by what comes back and by the record.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, missing_docs, reason = "the tests' own client is documented where it is not plain")]

mod c2d;
mod c2d_over_https;
mod client;
mod clock;
mod devices;
mod errors;
mod faults;
#[path = "../over_https/client.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod https;
mod hubs;
#[path = "../over_https/in_websocket.rs"]
mod in_websocket;
mod methods;
mod own_events;
mod provision_and_read;
mod twins;
mod websocket;
