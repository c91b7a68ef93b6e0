//! Blobs and queues of an Azure storage account.
//!
//! Promises what [`queue::blobs::Blobs`] asks for ([`Container`]), and the same of queues ([`Messages`]): one try a call, ended
//! within its bound; an answer that decides is a value, all else a [`queue::blobs::Failure`] by its cause, with the service's code, the
//! request's id and what to do about it. Nothing that is printed, logged or told as an error holds a key, a signature or a token.
//!
//! Relies on Microsoft's own crates, which know the service's XML and headers, over connections that come through [`azure::net::Dial`].
//! What they do not have is here: connection strings, an account's key that signs, the cause of each answer, the bounds of each call.
//! Does not know what is in a blob, and tries nothing twice: who asks knows what a second try means.
//!
//! In the order of a call: an `account` is where (`place`) and who; `client` sets Microsoft's clients up, `sign` signs what they
//! send; `container` or `messages` makes a `call`, and `meaning` says what came of it.

mod account;
mod call;
mod client;
mod container;
mod listing;
mod meaning;
mod messages;
mod place;
mod sign;

pub use account::{Account, AccountError, Key, Sas, Who};
pub use client::Means;
pub use container::Container;
pub use messages::{Messages, Receipt, TAKE_MAX, Taken};
pub use place::is_container_name;
