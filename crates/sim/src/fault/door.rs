//! The network server: what it posts besides what it should, and how it hangs up.

use super::Facts;
use crate::uplink::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DoorFault {
    /// The same message a second time, after the first was answered.
    PostedTwice,
    /// The same message twice at once.
    PostedTwiceAtOnce,
    /// The same message again when the first one was delivered long ago.
    PostedLater,
    /// It does not wait for the answer.
    HangsUp,
    /// It hangs up amid the body.
    HangsUpAmid,
    /// The body comes a piece at a time.
    SlowBody,
    /// The body stops coming.
    BodyStops,
    NotJson,
    WrongKey,
    TooLargeForTheDoor,
    WrongPath,
    NotUnderstood,
    NoIdentity,
    OtherEvent,
    MacOnly,
    TooLargeForTheHub,
    /// Ten messages of one device at once.
    Burst,
    /// The device joins anew: its counter begins at 0.
    Joins,
    /// Another application has a device of the same name.
    Namesake,
}

impl DoorFault {
    pub(crate) const ALL: &[Self] = &[
        Self::PostedTwice,
        Self::PostedTwiceAtOnce,
        Self::PostedLater,
        Self::HangsUp,
        Self::HangsUpAmid,
        Self::SlowBody,
        Self::BodyStops,
        Self::NotJson,
        Self::WrongKey,
        Self::TooLargeForTheDoor,
        Self::WrongPath,
        Self::NotUnderstood,
        Self::NoIdentity,
        Self::OtherEvent,
        Self::MacOnly,
        Self::TooLargeForTheHub,
        Self::Burst,
        Self::Joins,
        Self::Namesake,
    ];

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::PostedTwice => Facts::named("posted twice").of_one_device(),
            Self::PostedTwiceAtOnce => Facts::named("posted twice at once").of_one_device(),
            Self::PostedLater => Facts::named("posted again minutes later").of_one_device(),
            Self::HangsUp => Facts::named("network server hangs up").of_one_device(),
            Self::HangsUpAmid => Facts::named("network server hangs up amid the body").of_one_device(),
            Self::SlowBody => Facts::named("a slow body").of_one_device(),
            Self::BodyStops => Facts::named("a body that stops").of_one_device(),
            Self::NotJson => Facts::named("not JSON").of_one_device(),
            Self::WrongKey => Facts::named("wrong key").of_one_device(),
            Self::TooLargeForTheDoor => Facts::named("too large for the door").of_one_device(),
            Self::WrongPath => Facts::named("wrong path").of_one_device(),
            Self::NotUnderstood => Facts::named("JSON of another kind").of_one_device(),
            Self::NoIdentity => Facts::named("a message of no device").of_one_device(),
            Self::OtherEvent => Facts::named("another event").of_one_device(),
            Self::MacOnly => Facts::named("nothing but MAC commands").of_one_device(),
            Self::TooLargeForTheHub => Facts::named("too large for the hub").of_one_device(),
            Self::Burst => Facts::named("ten messages at once").of_one_device(),
            Self::Joins => Facts::named("device joins anew").of_one_device(),
            Self::Namesake => Facts::named("a namesake in another application").of_one_device(),
        }
    }

    /// The kind of message that is posted instead of telemetry, if the fault is in what it says.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::NotUnderstood => Kind::NotUnderstood,
            Self::NoIdentity => Kind::NoIdentity,
            Self::OtherEvent => Kind::Event("location_solved"),
            Self::MacOnly => Kind::MacOnly,
            Self::TooLargeForTheHub => Kind::TooLarge,
            _ => Kind::Ordinary,
        }
    }
}
