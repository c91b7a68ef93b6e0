//! The process: killed, stopped, told anew what to do.

use bridge::world::Point;

use super::{AFTER, Facts};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ProcessFault {
    /// Killed, and what was being written is not there.
    Killed,
    /// Killed, and what was being written is there.
    KilledWritten,
    /// Killed, and what was being written is there in part.
    KilledTorn,
    /// Killed again as soon as it is up, three times.
    CrashLoop,
    Restarted,
    Reloaded,
    KilledAt(Point),
    HeldUpAt(Point),
}

impl ProcessFault {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let moments =
            [Self::Killed, Self::KilledWritten, Self::KilledTorn, Self::CrashLoop, Self::Restarted, Self::Reloaded];
        let points = Point::ALL.iter().flat_map(|point| [Self::KilledAt(*point), Self::HeldUpAt(*point)]);
        moments.into_iter().chain(points)
    }

    /// Where it waits for the process to come by.
    pub(crate) fn point(self) -> Option<Point> {
        match self {
            Self::KilledAt(point) | Self::HeldUpAt(point) => Some(point),
            _ => None,
        }
    }

    pub(crate) fn facts(self) -> Facts {
        let killed = |name| Facts::named(name).seconds(1, 30).delays(AFTER).repeats().silences_the_door().restarts();
        match self {
            Self::Killed => killed("killed"),
            Self::KilledWritten => killed("killed, the last commit whole"),
            Self::KilledTorn => killed("killed, the last commit torn"),
            Self::CrashLoop => killed("killed three times").seconds(10, 60),
            Self::Restarted => {
                Facts::named("restarted").seconds(1, 5).delays(AFTER).repeats().silences_the_door().restarts()
            }
            Self::Reloaded => Facts::named("reloaded"),
            Self::KilledAt(_) => killed("killed at").seconds(600, 600),
            // Amid a drain the door is open and the disk works; what waits is what the drain does next.
            Self::HeldUpAt(Point::DrainBegun | Point::DrainBeforeHubs | Point::DrainBeforeDoor) => {
                Facts::named("held up at").seconds(600, 600).delays(AFTER).repeats()
            }
            Self::HeldUpAt(_) => {
                let held_up = Facts::named("held up at").seconds(600, 600).delays(AFTER).silences_the_door();
                held_up.closes_the_disk().repeats()
            }
        }
    }
}
