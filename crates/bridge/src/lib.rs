//! The flow, in the order in which an uplink meets it.

pub mod config;
pub mod events;
pub mod uplink;
pub mod world;
