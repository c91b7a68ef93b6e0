//! Why a message was buried: the fixed words, and what a person can do about each. They stand in the API, on the page and in
//! exports, so a word that is here stays.

use queue::{Reason, TOO_MANY_WAITING};
use serde::{Deserialize, Serialize};

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The message itself: whoever makes it.
    Message,
    /// `longhaul.toml`, or what it leads to.
    Configuration,
    /// IoT Hub or DPS said no for good.
    Azure,
    /// The file that it was kept in.
    Disk,
    /// longhaul: a defect.
    Bridge,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Message, Self::Configuration, Self::Azure, Self::Disk, Self::Bridge];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Configuration => "configuration",
            Self::Azure => "azure",
            Self::Disk => "disk",
            Self::Bridge => "bridge",
        }
    }
}

/// A fixed word and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// [`Reason::code`]
    pub code: &'static str,
    /// Who has to do something.
    pub class: Class,
    /// What; a sentence without an end.
    pub mend: &'static str,
}

const fn known(code: &'static str, class: Class, mend: &'static str) -> Known {
    Known { code, class, mend }
}

/// All that is buried for.
const KNOWN: [Known; 16] = [
    known(
        "not_understood",
        Class::Message,
        "look at the body; a newer longhaul may understand it, and replaying reads it anew",
    ),
    known(
        "no_identity",
        Class::Message,
        "the webhook's field mask must leave `end_device_ids` in; drop it, it cannot be told whose it was",
    ),
    known("protobuf_format", Class::Message, "set the webhook's format to JSON in the console of The Things Stack"),
    known("too_large", Class::Message, "IoT Hub takes 256 KiB; cut fields off with the webhook's field mask"),
    known("no_route", Class::Configuration, "add a route for this application, or a default route, then replay"),
    known("dropped", Class::Configuration, "a route drops it on purpose; take `drop` out of it"),
    known(
        "target_gone",
        Class::Configuration,
        "replay sends it where its route leads now, also if it had arrived at the target that is gone",
    ),
    known(
        "no_dev_eui",
        Class::Configuration,
        "the registration id is made of the DevEUI and the message has none; change `registration_id`, then replay",
    ),
    known(
        "bad_registration_id",
        Class::Configuration,
        "change `registration_id` of the target so that it gives a name that Azure takes, then replay",
    ),
    known(
        "identity_conflict",
        Class::Configuration,
        "another device has this name in Azure; make `registration_id` tell them apart, then replay",
    ),
    known(
        TOO_MANY_WAITING,
        Class::Configuration,
        "its device or application had as many waiting as `queue.max_waiting_per_device` and `_per_application` let; see why they \
         do not go, then replay",
    ),
    known("rejected", Class::Azure, "IoT Hub refuses this message for what it is; see the detail"),
    known(
        "registration_refused",
        Class::Azure,
        "DPS refuses the device for good; mend its enrolment, `longhaul devices retry`, then replay",
    ),
    known(
        "damaged",
        Class::Disk,
        "the disk did not keep it as it was; look at the disk, and ask the network for the message",
    ),
    known("unknown", Class::Bridge, "a later longhaul wrote this; see the detail"),
    known(
        "worker_broke",
        Class::Bridge,
        "longhaul broke over this message; report it with an export, replay it with a version that is mended",
    ),
];

/// What is known of a word; a word that is not ours is `unknown`.
pub fn of(code: &str) -> Known {
    let word = |word: &str| KNOWN.iter().copied().find(|known| known.code == word);
    word(code).or_else(|| word("unknown")).expect("`unknown` is in the table")
}

/// A reason with its fixed word, which must be in the table.
pub fn reason(code: &'static str, detail: &(impl std::fmt::Display + ?Sized)) -> Reason {
    debug_assert!(KNOWN.iter().any(|known| known.code == code), "`{code}` is not in the table");
    Reason { code: code.to_owned(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once_and_says_what_to_do() {
        for known in KNOWN {
            assert_eq!(of(known.code), known, "{} is there once", known.code);
            assert!(known.mend.len() > 20 && !known.mend.ends_with('.'), "{}", known.code);
        }
        assert_eq!(of("from_the_future").class, Class::Bridge);
    }
}
