//! The flow, in the order in which an uplink meets it.

pub mod cli;
pub mod config;
pub mod events;
pub mod world;
