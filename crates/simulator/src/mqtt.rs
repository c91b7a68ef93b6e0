//! MQTT 3.1.1: hub and provisioning on one port, told apart by the client's user name.
//!
//! Promises: what a client may send and hear depends on who it is and on nothing else; a message stands in the record
//! before its PUBACK is written. Decisions are made without sockets (`session`), bytes are moved without decisions
//! (`driver`).

mod answer; // packets that we write
mod bag; // properties at the end of a topic
mod packet; // packets that we read
mod subscriptions; // what a client listens to
mod topic; // where clients publish to
mod who; // who a client says it is
