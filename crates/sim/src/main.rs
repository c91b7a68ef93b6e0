//! `sim`: see `docs/simulation.md`.
fn main() {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let length = std::time::Duration::from_secs(3600);
    match std::env::args().nth(2).and_then(|s| s.parse().ok()) {
        Some(to) => sim::campaign::many(seed, to, length),
        None => sim::campaign::one(seed, length),
    }
}
