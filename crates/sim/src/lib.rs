//! The whole bridge in virtual time: one seed, one hour of trouble, one judge.
//!
//! The code under test is the product's own, from the webhook's door to the sessions with Azure; the clock, chance, the
//! disk, the network and everybody at its other end are this crate's, or the simulator's. `docs/simulation.md` says how to
//! read a failure and how to add a fault.
//!
//! In the order in which a story comes about:

mod chance; // streams of chance from one seed
mod fault; // what can go wrong
mod plan; // PURE: what happens in this seed, and when
mod story; // the plan told: the world, and the lives of the process in it

mod clock; // true time, and the machine's
mod network; // connections to Azure
mod server; // the network server's posts
mod uplink; // what devices say
mod wire; // bytes under way

mod judge; // was every promise kept?
mod log; // what happened, line by line

pub mod campaign; // many seeds
pub mod minimise; // the shortest story that fails
pub mod mutants; // is the judge awake?
