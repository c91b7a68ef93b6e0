//! The disk: what a commit meets.

use queue::memory::{Disk, Fault as Failure};

use super::Facts;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DiskFault {
    Full,
    FullOnce,
    Fails,
    FailsButThere,
    Unreachable,
    Stalls,
}

/// The disk looks for room every so often, and a failed store is opened again after a pause.
const AFTER: i64 = 60_000;

impl DiskFault {
    pub(crate) const ALL: &[Self] =
        &[Self::Full, Self::FullOnce, Self::Fails, Self::FailsButThere, Self::Unreachable, Self::Stalls];

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::Full => Facts::named("disk full").seconds(10, 600).delays(AFTER).closes_the_disk().forgets(),
            Self::FullOnce => {
                Facts::named("disk full for one commit").seconds(60, 60).delays(AFTER).closes_the_disk().forgets()
            }
            Self::Fails => {
                Facts::named("a commit fails").seconds(60, 60).delays(AFTER).closes_the_disk().forgets().repeats()
            }
            Self::FailsButThere => Facts::named("a commit fails and is there")
                .seconds(60, 60)
                .delays(AFTER)
                .closes_the_disk()
                .forgets()
                .repeats(),
            Self::Unreachable => {
                Facts::named("disk unreachable").seconds(5, 300).delays(AFTER).closes_the_disk().forgets().repeats()
            }
            Self::Stalls => {
                Facts::named("disk stalls").seconds(1, 120).delays(AFTER).closes_the_disk().forgets().repeats()
            }
        }
    }

    pub(crate) fn begin(self, disk: &Disk) {
        match self {
            Self::Full => disk.set_full(true),
            Self::FullOnce => disk.fail_next_commit(Failure::Full),
            Self::Fails => disk.fail_next_commit(Failure::Failed),
            Self::FailsButThere => disk.fail_next_commit(Failure::FailedButThere),
            Self::Unreachable => disk.set_unreachable(true),
            Self::Stalls => disk.stall(),
        }
    }

    pub(crate) fn end(self, disk: &Disk) {
        match self {
            Self::Full => disk.set_full(false),
            Self::FullOnce | Self::Fails | Self::FailsButThere => disk.clear_faults(),
            Self::Unreachable => disk.set_unreachable(false),
            Self::Stalls => disk.resume(),
        }
    }
}
