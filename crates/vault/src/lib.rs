//! Secrets from Azure Key Vault, in the order in which one is fetched.
//!
//! Promises: every fetch ends within [`FETCH_WITHIN`], all of them together within [`FETCH_ALL_WITHIN`]; a failure says
//! what is wrong and how to mend it, and repeats neither a secret nor a token nor what a service said in its own words. Talks through Microsoft's
//! own crates for Key Vault and Entra, over connections that come through [`azure::net::Dial`]. Does not know the
//! configuration, and stores nothing.

mod failure; // PURE: what went wrong, and what to do about it
mod fetch; // all of them, within bounds
mod reference; // PURE: which secret is meant

pub use fetch::{FETCH_ALL_WITHIN, FETCH_WITHIN, Fetched, Value, Vaults};
pub use microsoft::{Failure, Kind, Plain};
pub use reference::{Reference, ReferenceError};
