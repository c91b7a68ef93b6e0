//! What the flow gets from outside: the clock and the random source. Made once in `app`, handed in everywhere,
//! so that the whole bridge can run in virtual time from one seed.
//!
//! Waits use tokio's timer, which a paused runtime moves by itself; sockets come through [`azure::net::Dial`].

use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Wall-clock time in milliseconds since 1970, UTC. May jump: whatever compares it must come through a jump either way.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Now.
    fn now(&self) -> queue::UnixMillis;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> queue::UnixMillis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A random source from one seed: jitter and spreading only, never keys.
#[derive(Clone, Debug)]
pub struct Random(Arc<Mutex<fastrand::Rng>>);

impl Random {
    /// The same seed gives the same numbers.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// A number in `0.0..1.0`.
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).f64()
    }

    /// A duration in `0..=most`.
    pub fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.fraction())
    }
}

/// Clock and random source together.
#[derive(Clone, Debug)]
pub struct World {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Jitter and spreading.
    pub random: Random,
}

impl World {
    /// Now, in milliseconds since 1970.
    pub fn now(&self) -> queue::UnixMillis {
        self.clock.now()
    }
}

/// A server's clock further off than this is believed rather than ours: Azure refuses tokens beyond five minutes.
const SKEW_MIN_MS: queue::UnixMillis = 30_000;

/// PURE: a server's clock minus ours in milliseconds, zero when it is near enough or unknown. `Date` headers count
/// whole seconds.
pub fn skew(server: Option<azure::UnixSeconds>, now: queue::UnixMillis) -> queue::UnixMillis {
    let skew = server.map_or(0, |server| server.saturating_mul(1000).saturating_sub(now));
    if skew.abs() > SKEW_MIN_MS { skew } else { 0 }
}
