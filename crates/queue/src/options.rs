//! What a queue is opened with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::UnixMillis;
use crate::memory::Disk;
use crate::shares::Shares;
use crate::store::{Bound, Bounds};

const DAY_MS: UnixMillis = 24 * 60 * 60 * 1_000;

/// Of [`Options::max_bytes`], what dead letters may take: a quarter is 2 GiB of the default 8 GiB, a million letters of
/// ~1.5 KiB and 512 bytes, so that there it is the count that binds. Of the least, 16 MiB, where 8 MiB are the reserve and
/// the pages ahead, it is 4 MiB.
const DEAD_LETTERS_SHARE: u64 = 4;

/// And what kept events may take, an eighth: with the dead letters three eighths at most, so that what waits has more
/// than half.
const KEPT_SHARE: u64 = 8;

/// Tells the time; handed in, so that tests and simulations own it.
pub type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// Where the messages are kept.
#[derive(Clone, Debug)]
pub enum Engine {
    /// In files in this directory, which is created (0700) when it is missing.
    Directory(PathBuf),
    /// In memory, for tests and simulations.
    Memory(Disk),
}

/// How a queue is to be opened. All bounds have defaults.
#[derive(Clone)]
pub struct Options {
    /// Where the messages are kept.
    pub engine: Engine,
    /// Tells the time.
    pub clock: Clock,
    /// Bytes that the store may take on the disk; puts are refused beyond. The log beside it comes on top (up to 64 MiB).
    pub max_bytes: u64,
    /// Dead letters beyond this push out the oldest, counted in [`Stats::dead_letters_gone`](crate::Stats).
    pub dead_letters_max: u64,
    /// Bytes of dead letters (heads, bodies, and 512 for each), beyond which the oldest go. The last one stays, however
    /// large it is. `None` is a quarter of [`Options::max_bytes`].
    pub dead_letters_bytes_max: Option<u64>,
    /// Dead letters that were buried longer ago go, oldest position first, with the next commit.
    pub dead_letters_age_ms_max: UnixMillis,
    /// Messages set aside by [`Lease::keep`](crate::Lease::keep) beyond this push out the oldest.
    pub kept_max: u64,
    /// As [`Options::dead_letters_bytes_max`]. `None` is an eighth of [`Options::max_bytes`].
    pub kept_bytes_max: Option<u64>,
    /// As [`Options::dead_letters_age_ms_max`], since they were set aside.
    pub kept_age_ms_max: UnixMillis,
    /// Messages that may wait in one lane; what comes beyond goes to the dead letters (`too_many_waiting`), so that one sender
    /// cannot take the room of all. May be passed by as many as one commit holds (512). `None` is no bound.
    pub waiting_per_lane_max: Option<u64>,
    /// As [`Options::waiting_per_lane_max`], for all lanes together whose names are the same up to their last `/`.
    pub waiting_per_group_max: Option<u64>,
    /// Puts that may wait for the disk; more are refused as `Busy`.
    pub waiting_puts_max: usize,
    /// Bytes of bodies and heads that may wait for the disk; more are refused as `Busy`. At most 4 GiB.
    pub waiting_bytes_max: u32,
}

impl Options {
    /// Files in `dir`.
    pub fn on_disk(dir: impl Into<PathBuf>, clock: Clock) -> Self {
        Self::with(Engine::Directory(dir.into()), clock)
    }

    /// A disk in memory.
    pub fn in_memory(disk: &Disk, clock: Clock) -> Self {
        Self::with(Engine::Memory(disk.clone()), clock)
    }

    fn with(engine: Engine, clock: Clock) -> Self {
        Self {
            engine,
            clock,
            // 8 GiB: a day of 100 uplinks a second of 900 bytes each.
            max_bytes: 8 << 30,
            // 100 000 x ~1.5 KiB = 150 MiB; enough to see a day's mistake whole.
            dead_letters_max: 100_000,
            dead_letters_bytes_max: None,
            // A month: long enough to come back from a holiday and replay.
            dead_letters_age_ms_max: 30 * DAY_MS,
            // Events nobody uses yet; 20 000 x ~1.5 KiB = 30 MiB.
            kept_max: 20_000,
            kept_bytes_max: None,
            // A week: enough to look into what a device said lately.
            kept_age_ms_max: 7 * DAY_MS,
            waiting_per_lane_max: None,
            waiting_per_group_max: None,
            // Eight batches: at 5 ms for a commit they wait 40 ms.
            waiting_puts_max: 4_096,
            // 4 096 uplinks take about 6 MiB; 64 bodies of the largest size (1 MiB) must not starve the small ones.
            waiting_bytes_max: 64 << 20,
        }
    }

    pub(crate) fn shares(&self) -> Shares {
        Shares::new(self.waiting_per_lane_max, self.waiting_per_group_max)
    }

    pub(crate) fn bounds(&self) -> Bounds {
        let dead_letters = Bound {
            count_max: self.dead_letters_max,
            bytes_max: self.dead_letters_bytes_max.unwrap_or(self.max_bytes / DEAD_LETTERS_SHARE),
            age_ms_max: self.dead_letters_age_ms_max,
        };
        let kept = Bound {
            count_max: self.kept_max,
            bytes_max: self.kept_bytes_max.unwrap_or(self.max_bytes / KEPT_SHARE),
            age_ms_max: self.kept_age_ms_max,
        };
        Bounds { dead_letters, kept }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Why a queue could not be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error("queue.dir {}: cannot be used: {cause}; give it to the user that runs this program", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// There is none, where one is to be looked at or copied.
    #[error("{}: there is no queue here; name the directory that holds queue.db", dir.display())]
    Missing {
        /// Which.
        dir: PathBuf,
    },
    /// It cannot be copied there.
    #[error("{}: cannot become a copy: {cause}; name a directory that is not there yet, on a disk with room", to.display())]
    Copy {
        /// Where to.
        to: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "queue.dir {}: another process has this queue open; stop it, or choose another queue.dir",
        dir.display()
    )]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// Written by a later version of this program.
    #[error(
        "queue.dir {}: written in format {found}, this program knows up to {known}; start the newer program again",
        dir.display()
    )]
    Newer {
        /// Which.
        dir: PathBuf,
        /// The format in the file.
        found: i64,
        /// The newest format that is known here.
        known: i64,
    },
    /// The store itself.
    #[error("queue.dir {}: the store cannot be opened: {cause}", dir.display())]
    Store {
        /// Which.
        dir: PathBuf,
        /// What the engine said.
        cause: String,
    },
}
