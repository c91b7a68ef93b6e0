//! The services without ports, in virtual time: the same script gives the same bytes, and a runtime that goes leaves nothing.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(unreachable_pub, missing_docs, reason = "the tests' own client is documented where it is not plain")]

#[path = "../over_amqp/client.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod client;
#[path = "../over_https/client.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod https;
mod runtime_gone;
mod same_bytes;
mod script;
mod world;
