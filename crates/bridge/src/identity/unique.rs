//! PURE: whether a template can give two devices of a network one name.
//!
//! Ids of The Things Stack and of TTN V2 are letters and digits with single `-` or `_` between them, unique within their
//! application only (The Things Stack, "ID and EUI constraints"). Two dashes in a row are in none, so they part two ids
//! without doubt. Whatever a template promises, claims hold: the first device to send under a name owns it
//! ([`crate::claims`]).

use crate::config::{Part, Template};

/// What no id has.
const SEPARATOR: &str = "--";

/// What can be said of all names that a template gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unique {
    /// No two devices of a network share one.
    ByRule,
    /// Two may; the first to send owns it, the other's messages become dead letters.
    ByClaim {
        /// Which two, for a person.
        why: &'static str,
    },
}

impl Unique {
    /// A fixed word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ByRule => "by_rule",
            Self::ByClaim { .. } => "by_claim",
        }
    }
}

/// What the template promises.
pub fn unique(template: &Template) -> Unique {
    let has = |wanted: &Part| template.0.contains(wanted);
    if !has(&Part::DeviceId) {
        return Unique::ByClaim { why: "a DevEUI may be registered in two applications, one after the other" };
    }
    if !has(&Part::ApplicationId) {
        return Unique::ByClaim { why: "two applications may each have a device of this id" };
    }
    if has_doubtful_border(template) {
        return Unique::ByClaim { why: "without -- between them the ids of two devices may run into one name" };
    }
    Unique::ByRule
}

/// Two ids without a separator somewhere between them.
fn has_doubtful_border(template: &Template) -> bool {
    let mut is_open = false;
    for part in &template.0 {
        match part {
            Part::Text(text) => is_open &= !text.contains(SEPARATOR),
            // The same for all devices of a network, whatever it is.
            Part::Network => {}
            Part::DeviceId | Part::ApplicationId | Part::DevEui => {
                if is_open {
                    return true;
                }
                is_open = true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
