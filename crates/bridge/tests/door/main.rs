//! The door's promises, over real sockets, with a disk whose faults can be ordered.

mod answers;
mod connections;
mod descriptors;
mod disk;
mod keys;
mod sending;
mod site;
mod slow;
mod tls;
