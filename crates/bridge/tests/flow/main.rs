//! The flow's promises in virtual time: the product's own dispatch, workers, claims, provisioning and pool on one
//! paused runtime, with a queue in memory and an Azure of the tests' own. An hour takes milliseconds, and nothing that
//! the machine does in between changes what is seen.
//!
//! A test tells its story in one or several lives of the process ([`site::Site::live`]); between two lives everything is
//! gone that is not on the disk. The doubles share no code with the product or with its simulator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "the seed of a failed test must be seen")]

mod cloud;
mod dps;
mod duplicates;
mod hub;
mod identity;
mod impostors;
mod keys;
mod order;
mod outage;
mod refused;
mod registration;
mod registry;
mod routes;
mod shared;
mod site;
mod twice;
mod whole;
mod workers;
