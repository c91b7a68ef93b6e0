//! Blobs and queues of an Azure storage account, in the order in which a call is made.
//!
//! Promises what [`queue::blobs::Blobs`] asks for ([`Container`]): one try a call, ended within its bound; an answer that decides is
//! a value, all else a [`queue::blobs::Failure`] by its cause. Nothing that is printed, logged or told as an error holds a key, a
//! signature or a token. Talks through Microsoft's own crates, which know their XML and their headers, over connections that come through
//! [`azure::net::Dial`]; an account's key, which those crates do not know, signs behind them. Does not know what is in a blob,
//! and tries nothing twice.

mod account; // PURE: which account, and who are we to it
mod call; // one call: its time, and what was seen of its answer
mod client; // our connections and our signature under Microsoft's clients
mod container; // blobs
mod listing;
mod meaning; // PURE: what an answer means
mod place; // PURE: where is it
mod sign; // what a key signs // what answers about blobs hold

pub use account::{Account, AccountError, Key, Sas, Who};
pub use client::Means;
pub use container::Container;
