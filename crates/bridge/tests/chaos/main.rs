//! The AMQP client in trouble: a hub that dies, falls silent or says any of the things that IoT Hub is known to say, at
//! each moment of a link's life; and callers that change their mind.
//!
//! Judged by what the simulator's record holds, and by what the bridge would do with each outcome. Time is real; each test
//! prints its figures, those that draw lots their seed (`LONGHAUL_TEST_SEED` repeats a run).
#![allow(clippy::disallowed_methods, reason = "tests of real sockets live in real time and read their environment")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, seeds and the matrix are what a test leaves")]

// Borrowed from the other campaigns, more than is needed here:
#[path = "../promise/http.rs"]
#[allow(dead_code, reason = "shared")]
mod http;
#[path = "../pool/ledger.rs"]
#[allow(dead_code, reason = "shared")]
mod ledger;
#[path = "../promise/processes.rs"]
#[allow(dead_code, reason = "shared")]
mod processes;
#[path = "../pool/proxy.rs"]
#[allow(dead_code, reason = "shared")]
mod proxy;
#[path = "../pool/site.rs"]
#[allow(dead_code, reason = "shared")]
mod site;
#[path = "../pool/tap.rs"]
#[allow(dead_code, reason = "shared")]
mod tap;

// The world around the client:
mod azure_sim; // the simulator as a process
mod caller; // devices that send

// The promises, one file each:
mod cancel;
mod half_open;
mod matrix;
mod storm;
