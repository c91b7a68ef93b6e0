//! What Microsoft's own crates need from us: connections, and a credential.
//!
//! Promises: whatever they ask goes through [`azure::net::Dial`], within the bounds that the caller gives ([`Transport`]); a credential
//! is made of the variables that Azure's own libraries know ([`choose`], [`make`]), and why there is none is said without
//! repeating a secret ([`Failure`]). Does not know what is asked: a crate of its own, since `vault` and `storage` both stand on it
//! and neither should know the other.

mod credential; // PURE: who are we
mod failure; // PURE: what is wrong with the credential, and what to do about it
mod identity; // the credential as Microsoft's crates make it
mod plain; // connections without TLS, for identities that are told on this machine
mod transport; // requests of Microsoft's crates over our connections

pub use credential::{Choice, Kind, Variable, choose};
pub use failure::{Failure, chain, refused, trouble};
pub use identity::make;
pub use plain::Plain;
pub use transport::{Transport, WithoutTls};
