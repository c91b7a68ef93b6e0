//! DPS and IoT Hub, the client's side. May not depend on `simulator`.
//!
//! Read in the order things happen: a [`connection_string`] or a group [`key`] is configured, names are checked
//! ([`registration_id`], [`device_id`]), a token is signed ([`sas`]), the device registers ([`dps`]) or is made
//! ([`registry`]), its telemetry
//! goes to its hub ([`hub`]). Both services are reached through [`exchange`], which keeps connections alive over
//! whatever [`net::Dial`] opens.
//!
//! Nothing in here reads the clock, the environment or a random source, and nothing is retried behind the caller's
//! back except a request that was certainly never written.

pub mod connection_string;
pub mod device_id;
pub mod dps;
pub mod exchange;
pub mod hub;
pub mod key;
pub mod net;
pub mod registration_id;
pub mod registry;
pub mod sas;
pub mod service_error;

#[cfg(test)]
mod loopback;

/// Seconds since 1970-01-01T00:00:00Z, as tokens and `Date` headers count them.
pub type UnixSeconds = i64;

/// How requests name their sender.
pub(crate) const USER_AGENT: &str = concat!("longhaul/", env!("CARGO_PKG_VERSION"));
