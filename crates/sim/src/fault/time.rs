//! The machine's clock, and the machine that sleeps.

use super::{AFTER, Facts, LONG_AFTER};
use crate::clock::Clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimeFault {
    Forward,
    Back,
    AnHourForward,
    AnHourBack,
    Sleeps,
}

impl TimeFault {
    pub(crate) const ALL: &[Self] = &[Self::Forward, Self::Back, Self::AnHourForward, Self::AnHourBack, Self::Sleeps];

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::Forward => Facts::named("clock minutes ahead").seconds(60, 900).delays(AFTER).ends_tokens(),
            // A token ends by the hub's clock, and with its link the answer to what was just sent.
            Self::Back => Facts::named("clock minutes behind").seconds(60, 900).delays(AFTER).ends_tokens().repeats(),
            Self::AnHourForward => Facts::named("clock hours ahead").seconds(60, 900).delays(LONG_AFTER).ends_tokens(),
            Self::AnHourBack => {
                Facts::named("clock hours behind").seconds(60, 900).delays(LONG_AFTER).ends_tokens().repeats()
            }
            // A disk that was full when it fell asleep is looked at for room five seconds after it woke.
            Self::Sleeps => {
                let sleeps = Facts::named("machine sleeps").delays(AFTER).ends_tokens().repeats();
                sleeps.silences_the_door().closes_the_disk()
            }
        }
    }

    /// Milliseconds.
    fn jump(self, amount: u32) -> i64 {
        let amount = i64::from(amount);
        match self {
            Self::Forward => 30_000 + amount % 570_000,
            Self::Back => -30_000 - amount % 570_000,
            Self::AnHourForward => 3_600_000 + amount % 36_000_000,
            Self::AnHourBack => -3_600_000 - amount % 36_000_000,
            Self::Sleeps => 5_000 + amount % 7_200_000,
        }
    }

    pub(crate) fn begin(self, clock: &Clock, amount: u32) {
        if self == Self::Sleeps {
            return clock.sleeps(self.jump(amount));
        }
        clock.jump(self.jump(amount));
    }

    pub(crate) fn end(self, clock: &Clock) {
        if self != Self::Sleeps {
            clock.set_right();
        }
    }
}
