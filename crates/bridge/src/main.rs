//! `longhaul`.
fn main() {}
