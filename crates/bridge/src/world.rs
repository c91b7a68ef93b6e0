//! What the flow gets from outside: the clock, the random source and, in a simulation, who listens at its points of
//! failure. Made once in `app`, handed in everywhere, so that the whole bridge can run in virtual time from one seed.
//!
//! Waits use tokio's timer, which a paused runtime moves by itself; sockets come through [`azure::net::Dial`]. The wall clock
//! says when something was, and is never waited for by whoever lives no longer than this process: that is what
//! [`World::steady`] is for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

mod point;

pub use point::{Point, Points};

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

/// A random source from one seed: jitter and spreading only, never keys. It has no memory: a number belongs to what it is
/// for, so that one device more, or one try, changes nobody else's.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A number in `0.0..1.0`, always the same for the same.
    pub fn fraction(&self, of: impl Hash) -> f64 {
        (self.seed(of) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any number, to seed something else with.
    pub fn seed(&self, of: impl Hash) -> u64 {
        // Its keys are the same in every process.
        let mut hasher = DefaultHasher::new();
        (self.0, of).hash(&mut hasher);
        hasher.finish()
    }
}

/// A moment, twice: on the wall for a person, and in microseconds since the [`World`] was made, to measure by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Milliseconds since 1970; somebody may have set the clock between two of them.
    pub at: queue::UnixMillis,
    /// Nobody can set this one.
    pub us: u64,
}

/// All of it together.
#[derive(Clone, Debug)]
pub struct World {
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Jitter and spreading.
    pub random: Random,
    begin: Instant,
    steady: Arc<Mutex<Steady>>,
    points: Option<Arc<dyn Points>>,
}

impl World {
    /// Nobody listens at the points.
    pub fn new(clock: Arc<dyn Clock>, random: Random) -> Self {
        let begin = Instant::now();
        let steady = Steady::new(begin, clock.now());
        Self { clock, random, begin, steady: Arc::new(Mutex::new(steady)), points: None }
    }

    /// With somebody who listens at the points.
    #[must_use]
    pub fn listening(self, points: Arc<dyn Points>) -> Self {
        Self { points: Some(points), ..self }
    }

    /// The flow has come to this point, and goes on when whoever listens lets it.
    pub async fn point(&self, point: Point) {
        if let Some(points) = &self.points {
            points.reached(point).await;
        }
    }

    /// A message is about to be read.
    pub fn reads(&self, message: &queue::Message) {
        if let Some(points) = &self.points {
            points.reads(message);
        }
    }

    /// Now, in milliseconds since 1970.
    pub fn now(&self) -> queue::UnixMillis {
        self.clock.now()
    }

    /// This moment.
    pub fn stamp(&self) -> Stamp {
        let us = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        Stamp { at: self.now(), us }
    }

    /// A clock for waits that live no longer than the process: it goes as time passes, also while the machine sleeps, and is
    /// never set back. Neither kept nor shown: see [`World::on_the_wall`].
    pub fn steady(&self) -> queue::UnixMillis {
        self.steady.lock().unwrap_or_else(PoisonError::into_inner).read(Instant::now(), self.now())
    }

    /// What the wall clock will say at this time of [`World::steady`] unless somebody sets it: for a person. Not before: the two
    /// begin their milliseconds at different instants.
    pub fn on_the_wall(&self, steady: queue::UnixMillis) -> queue::UnixMillis {
        self.now().saturating_add(steady - self.steady()).saturating_add(1)
    }

    /// How long until this time of [`World::steady`]; nothing when it is over. For the queue, which counts by its own clock.
    pub fn until(&self, steady: queue::UnixMillis) -> Duration {
        // Not before: see on_the_wall.
        let left = steady.saturating_sub(self.steady()).saturating_add(1);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }
}

/// A wall clock that gets this much ahead of the time that has passed was set, or the machine has slept; less is the two being
/// read one after the other.
const SKIP_MIN_MS: queue::UnixMillis = 1_000;

/// See [`World::steady`]. The machine's own timer stands still while the machine sleeps, and the wall clock may be set either way, so
/// both are read: what the wall clock skips is taken for a sleep, what it is set back for nothing. Whoever sets it forward
/// ends waits early, which costs a try; nobody can make them longer.
#[derive(Debug)]
struct Steady {
    begin: Instant,
    at: queue::UnixMillis,
    skipped: queue::UnixMillis,
    last: (Instant, queue::UnixMillis),
}

impl Steady {
    fn new(begin: Instant, at: queue::UnixMillis) -> Self {
        Self { begin, at, skipped: 0, last: (begin, at) }
    }

    fn read(&mut self, now: Instant, wall: queue::UnixMillis) -> queue::UnixMillis {
        let (before, wall_before) = std::mem::replace(&mut self.last, (now, wall));
        let skipped = wall.saturating_sub(wall_before).saturating_sub(millis(now - before));
        if skipped > SKIP_MIN_MS {
            self.skipped = self.skipped.saturating_add(skipped);
        }
        self.at.saturating_add(millis(now - self.begin)).saturating_add(self.skipped)
    }
}

fn millis(passed: Duration) -> queue::UnixMillis {
    queue::UnixMillis::try_from(passed.as_millis()).unwrap_or(queue::UnixMillis::MAX)
}

/// A server's clock further off than this is believed rather than ours: Azure refuses tokens beyond five minutes.
const SKEW_MIN_MS: queue::UnixMillis = 30_000;

/// A server's clock, where it is not ours. Tokens run out by it.
#[derive(Debug, Default)]
pub struct ServerClock(Mutex<Option<queue::UnixMillis>>);

impl ServerClock {
    /// Its time, Unix seconds.
    pub fn now(&self, world: &World) -> azure::UnixSeconds {
        world.steady().saturating_add(self.ahead(world)) / 1000
    }

    /// Learns from what an answer said; no answer teaches nothing.
    pub fn learn(&self, said: Option<azure::UnixSeconds>, world: &World) {
        if let Some(said) = said {
            *self.belief() = belief(said, world.now(), world.steady());
        }
    }

    /// How far it is ahead of [`World::steady`], milliseconds: what a token was made by.
    pub fn ahead(&self, world: &World) -> queue::UnixMillis {
        let ours = || world.now().saturating_sub(world.steady());
        self.belief().unwrap_or_else(ours)
    }

    /// A token made when it was `ahead` may have been refused for that alone.
    pub fn has_changed_since(&self, ahead: queue::UnixMillis, world: &World) -> bool {
        self.ahead(world).saturating_sub(ahead).abs() > SKEW_MIN_MS
    }

    fn belief(&self) -> MutexGuard<'_, Option<queue::UnixMillis>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// PURE: how far a server's clock is ahead of the steady one in milliseconds, when it is not ours, near enough: who sets ours
/// right afterwards changes nothing about the server's. `Date` headers count whole seconds.
fn belief(server: azure::UnixSeconds, wall: queue::UnixMillis, steady: queue::UnixMillis) -> Option<queue::UnixMillis> {
    let server = server.saturating_mul(1000);
    (server.saturating_sub(wall).abs() > SKEW_MIN_MS).then(|| server.saturating_sub(steady))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const NOON: queue::UnixMillis = 1_763_899_200_000;

    #[derive(Debug, Default)]
    struct Settable(AtomicI64);

    impl Clock for Settable {
        fn now(&self) -> queue::UnixMillis {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_server_said_of_its_clock_holds_when_ours_is_set_right() {
        let clock = Arc::<Settable>::default();
        clock.0.store(NOON, Ordering::Relaxed);
        let world = World::new(clock.clone(), Random::from_seed(1));
        let server = ServerClock::default();
        assert_eq!(server.now(&world), NOON / 1000, "ours, until it has said something else");
        clock.0.store(NOON + 3 * 3_600_000, Ordering::Relaxed);
        let believed = server.ahead(&world);
        server.learn(Some(NOON / 1000), &world);
        assert!(server.has_changed_since(believed, &world));
        assert_eq!(server.now(&world), NOON / 1000);
        clock.0.store(NOON, Ordering::Relaxed);
        assert_eq!(server.now(&world), NOON / 1000, "a token by three hours ago would be refused");
        server.learn(Some(NOON / 1000 + 7_200), &world);
        server.learn(None, &world);
        assert_eq!(server.now(&world), NOON / 1000 + 7_200, "no answer teaches nothing");
        server.learn(Some(NOON / 1000 + 29), &world);
        assert_eq!(server.ahead(&world), world.now() - world.steady(), "near enough: ours again");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sets_the_clock_makes_no_wait_of_the_process_longer() {
        let clock = Arc::<Settable>::default();
        clock.0.store(NOON, Ordering::Relaxed);
        let world = World::new(clock.clone(), Random::from_seed(1));
        let until = world.steady() + 60_000;
        for hours in [-1, -2, -5] {
            clock.0.store(NOON + hours * 3_600_000, Ordering::Relaxed);
            assert_eq!(until - world.steady(), 60_000);
            assert_eq!(world.on_the_wall(until), world.now() + 60_001, "a minute from now, whatever is now");
        }
        tokio::time::advance(Duration::from_millis(60_000)).await;
        assert_eq!(world.steady(), until);
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_sleeps_waits_no_longer() {
        let clock = Arc::<Settable>::default();
        let world = World::new(clock.clone(), Random::from_seed(1));
        let until = world.steady() + 60_000;
        for _ in 0..10 {
            clock.0.fetch_add(SKIP_MIN_MS, Ordering::Relaxed);
            assert_eq!(until - world.steady(), 60_000, "two clocks that are read one after the other");
        }
        clock.0.fetch_add(59_000, Ordering::Relaxed);
        assert_eq!(until - world.steady(), 1_000);
    }

    #[test]
    fn a_number_belongs_to_what_it_is_for_and_is_spread_evenly() {
        let random = Random::from_seed(1);
        assert_eq!(random.fraction(("retry", "d", 1)), random.clone().fraction(("retry", "d", 1)));
        assert_ne!(random.seed("a"), Random::from_seed(2).seed("a"));
        let numbers: Vec<_> = (0..10_000).map(|at| random.fraction(("retry", at))).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10_u8 {
            let from = f64::from(tenth) / 10.0;
            let its = numbers.iter().filter(|number| (from..from + 0.1).contains(*number)).count();
            assert!((900..1_100).contains(&its), "{its} of 10 000 from {from}");
        }
    }
}
