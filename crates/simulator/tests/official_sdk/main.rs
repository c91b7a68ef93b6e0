//! Microsoft's own SDKs, unpatched, against the simulator; judged by the record and by what they say that they saw.
//!
//! Those for devices know no ports but 443 and 5671, so one test has them at a time (`.config/nextest.toml`). Where a port
//! cannot be had, or an SDK is missing, the test fails and says that nothing is proved: a skipped proof looks the same as a
//! good one.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod devices;
mod readers;
mod sdk;
