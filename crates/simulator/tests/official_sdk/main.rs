//! Microsoft's own SDKs, unpatched, against the simulator; judged by the record and by what they say that they saw.
//!
//! Those for devices know no ports but 443, 5671 and 8883, so each test has a network of its own (`namespace`). Where that
//! cannot be had, or an SDK is missing, the test fails and says that nothing is proved: a skipped proof looks the same as a
//! good one.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the cells are printed, each with its result")]

mod devices;
mod faults;
mod matrix;
mod namespace;
mod page;
mod readers;
mod sdk;
