//! PURE: which of an enrolment group's two keys signs. The second is there for the time when the first is replaced.
//!
//! It is a matter of the whole group: DPS refuses a device whose tokens are signed now with one key and now with the other
//! (threads: azure-iot-sdk-c 1748, azure-iot-sdk-node 721). So one device tries the other key, at most every five minutes,
//! and when that works all use it.

use queue::UnixMillis;

use crate::config::GroupKey;

/// Between two tries of the key that is not in use.
const TRY_EVERY: UnixMillis = 5 * 60 * 1000;

/// A try that never ends is forgotten after this. A registration takes at most 60 s.
const TRY_MAX: UnixMillis = 2 * 60 * 1000;

/// One per DPS scope.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys {
    in_use: GroupKey,
    trial: Trial,
}

#[derive(Clone, Copy, Debug, Default)]
enum Trial {
    #[default]
    None,
    UnderWay {
        since: UnixMillis,
    },
    Over {
        since: UnixMillis,
    },
}

/// What follows from a registration that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Once more, with this key. Its outcome is to be told: [`Keys::accepted`] or [`Keys::tried`].
    Try(GroupKey),
    /// Another device is trying just now.
    Wait,
    /// It is refused.
    Refused,
}

impl Keys {
    /// Registrations are signed with this one.
    pub fn in_use(&self) -> GroupKey {
        self.in_use
    }

    /// A registration that `used` had signed was refused.
    pub fn refused(&mut self, used: GroupKey, now: UnixMillis) -> Next {
        if used != self.in_use {
            return Next::Try(self.in_use); // others have found the right one meanwhile
        }
        match self.trial {
            Trial::UnderWay { since } if (0..TRY_MAX).contains(&(now - since)) => Next::Wait,
            Trial::Over { since } if (0..TRY_EVERY).contains(&(now - since)) => Next::Refused,
            _ => {
                self.trial = Trial::UnderWay { since: now };
                Next::Try(self.in_use.other())
            }
        }
    }

    /// A try ended, whatever came of it.
    pub fn tried(&mut self) {
        if let Trial::UnderWay { since } = self.trial {
            self.trial = Trial::Over { since };
        }
    }

    /// Somebody may have mended a key: the other one is worth a try at once.
    pub fn try_anew(&mut self) {
        self.trial = Trial::None;
    }

    /// This one was accepted. True when it is another than before.
    pub fn accepted(&mut self, key: GroupKey) -> bool {
        std::mem::replace(&mut self.in_use, key) != key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: GroupKey = GroupKey::Primary;
    const SECONDARY: GroupKey = GroupKey::Secondary;

    #[test]
    fn one_device_tries_the_other_key_for_all() {
        let mut keys = Keys::default();
        assert_eq!(keys.refused(PRIMARY, 0), Next::Try(SECONDARY));
        assert_eq!(keys.refused(PRIMARY, 1), Next::Wait, "another device does not");
        assert!(keys.accepted(SECONDARY));
        keys.tried();
        assert_eq!(keys.refused(PRIMARY, 2), Next::Try(SECONDARY), "and comes along");
        assert!(!keys.accepted(SECONDARY));
    }

    #[test]
    fn a_group_that_refuses_both_is_not_tried_with_them_in_turn() {
        let mut keys = Keys::default();
        let mut tries = 0;
        for second in 0..3600 {
            if keys.refused(PRIMARY, second * 1000) == Next::Try(SECONDARY) {
                tries += 1;
                keys.tried();
            }
        }
        assert_eq!((tries, keys.in_use()), (12, PRIMARY), "in an hour");
        assert_eq!(keys.refused(PRIMARY, -1), Next::Try(SECONDARY), "a clock that was put back does not stop it");
    }

    #[test]
    fn after_a_mend_the_other_key_is_tried_at_once() {
        let mut keys = Keys::default();
        assert_eq!(keys.refused(PRIMARY, 0), Next::Try(SECONDARY));
        keys.tried();
        assert_eq!(keys.refused(PRIMARY, 1), Next::Refused);
        keys.try_anew();
        assert_eq!(keys.refused(PRIMARY, 2), Next::Try(SECONDARY));
    }

    #[test]
    fn a_try_that_never_ends_does_not_stop_the_others_for_ever() {
        let mut keys = Keys::default();
        assert_eq!(keys.refused(PRIMARY, 0), Next::Try(SECONDARY));
        assert_eq!(keys.refused(PRIMARY, TRY_MAX - 1), Next::Wait);
        assert_eq!(keys.refused(PRIMARY, TRY_MAX), Next::Try(SECONDARY));
    }
}
