//! How long answers took, in a fixed amount of memory.

use std::fmt;
use std::time::Duration;

/// Steps within each doubling: a value is known to one part in 16.
const STEPS: u64 = 16;
/// Microseconds up to 2^40, which are twelve days.
const CELLS: usize = 40 * STEPS as usize;

/// Counted waits.
#[derive(Clone)]
pub struct Latencies {
    cells: Box<[u64]>,
    count: u64,
    longest: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { cells: vec![0; CELLS].into(), count: 0, longest: Duration::ZERO }
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waits, the longest {:?}", self.count, self.longest)
    }
}

impl Latencies {
    /// One more.
    pub fn note(&mut self, wait: Duration) {
        self.cells[cell(wait)] += 1;
        self.count += 1;
        self.longest = self.longest.max(wait);
    }

    /// The wait that this share of all did not exceed, to one part in 16; zero when there are none.
    pub fn at(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank"
        )]
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let cell = self.cells.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        cell.map_or(Duration::ZERO, |cell| upper(cell).min(self.longest))
    }

    /// The longest of all.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

/// Below [`STEPS`] microseconds one cell each, then [`STEPS`] cells for each doubling.
fn cell(wait: Duration) -> usize {
    let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
    let cell = if micros < STEPS {
        micros
    } else {
        let shift = u64::from(micros.ilog2() - STEPS.ilog2());
        (shift + 1) * STEPS + (micros >> shift) - STEPS
    };
    usize::try_from(cell).unwrap_or(CELLS).min(CELLS - 1)
}

/// The first wait that is beyond a cell.
fn upper(cell: usize) -> Duration {
    let (row, step) = (cell as u64 / STEPS, cell as u64 % STEPS);
    let micros = if row == 0 { step + 1 } else { (STEPS + step + 1) << (row - 1) };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_one_part_in_sixteen() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.at(0.99), Duration::ZERO);
        for micros in 1..=100_000 {
            latencies.note(Duration::from_micros(micros));
        }
        for share in [0.0001, 0.5, 0.99, 1.0] {
            let exact = 100_000.0 * share;
            let found = latencies.at(share).as_secs_f64() * 1e6;
            assert!(found >= exact && found <= exact * (1.0 + 1.0 / 8.0) + 1.0, "{share}: {found} for {exact}");
        }
        assert_eq!(latencies.at(1.0), Duration::from_millis(100));
    }

    #[test]
    fn no_wait_is_too_long() {
        let mut latencies = Latencies::default();
        latencies.note(Duration::MAX);
        assert_eq!(latencies.longest(), Duration::MAX);
    }
}
