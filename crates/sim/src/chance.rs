//! Where does chance come from? From the seed: one stream for each purpose, so that a draw more in one part changes
//! nothing in another.

/// A stream of its own for `purpose`.
pub(crate) fn stream(seed: u64, purpose: &str) -> fastrand::Rng {
    // FNV-1a, for it is the same in every build; what it feeds is a generator that scrambles.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    for byte in purpose.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    fastrand::Rng::with_seed(hash)
}

/// Milliseconds that are exponentially distributed: how long until the next of events that know nothing of each other.
pub(crate) fn exponential(rng: &mut fastrand::Rng, mean_ms: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a wait of hours is far below the bounds of either")]
    let ms = (-(1.0 - rng.f64()).ln() * mean_ms) as i64;
    ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_for_the_same_purpose_only() {
        let draw = |seed, purpose| stream(seed, purpose).u64(..);
        assert_eq!(draw(7, "wires"), draw(7, "wires"));
        assert_ne!(draw(7, "wires"), draw(8, "wires"));
        assert_ne!(draw(7, "wires"), draw(7, "plan"));
    }
}
