//! The flow, in the order in which an uplink meets it.

pub mod cli;
pub mod config;
pub mod events;
pub mod head;
pub mod lane;
pub mod uplink;
pub mod webhook;
pub mod world;
