//! What was acknowledged is there afterwards: after a `kill -9`, a failed flush, a power cut.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on has failed, and says why")]

mod load; // a queue at work
mod witness; // what was said against what is there

mod faults;
mod kill;
mod power;

use std::path::{Path, PathBuf};

/// How often, in `./test` and in `./test --long`.
fn times(short: u64, long: u64) -> u64 {
    if std::env::var_os("LONGHAUL_TEST_LONG").is_some() { long } else { short }
}

/// A number from a seed.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    dir
}
