//! The AMQP client against the simulator, with as many devices, breaks and fights as a large installation sees in a year.
//!
//! Client and simulator have never met before (ARCHITECTURE.md, invariant 4) and are not believed here either: what
//! counts is what the record holds, what a [`tap`] hears on the wire, and what this process has allocated. A
//! [`proxy`] between them gives the network its length and its moods. Time is real; each test prints its seed and its
//! figures, `LONGHAUL_TEST_SEED` repeats a run, and `LONGHAUL_TEST_LONG=1` takes the figures of the full campaigns.
#![allow(clippy::disallowed_methods, reason = "tests of real sockets live in real time and read their environment")]
#![allow(clippy::print_stdout, reason = "figures and seeds are what a test leaves")]

// The world around the client:
mod held; // what this process has allocated
mod ledger; // what the simulator took, and the judge
mod proxy; // the network
mod sender; // a device as the bridge drives it
mod site; // simulator, devices, clients
mod tap; // an ear on the wire

// The promises, one file each:
mod breaks;
mod clock;
mod idle;
mod memory;
mod owners;
mod scale;
mod tokens;
mod websocket;
