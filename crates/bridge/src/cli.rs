//! What the commands do; the binary only reads their arguments.

pub mod send;
