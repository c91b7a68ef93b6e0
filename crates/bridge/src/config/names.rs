//! Which names a kind of target takes for devices.

use azure::{device_id, registration_id};

use super::TargetKind;

/// The rules of a service for the names of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Registration ids of DPS.
    Dps,
    /// IoT Central's, narrower.
    Central,
    /// Device ids of IoT Hub, wider: case matters.
    Hub,
}

impl Names {
    /// Whose rules count at a target.
    pub fn of(kind: &TargetKind) -> Self {
        match kind {
            TargetKind::Dps(dps) if dps.central => Self::Central,
            TargetKind::Dps(_) => Self::Dps,
            TargetKind::Device(_) | TargetKind::Policy(_) => Self::Hub,
        }
    }

    /// Would the service take this name?
    ///
    /// # Errors
    /// The rule that it breaks, for a person.
    pub fn check(self, id: &str) -> Result<(), String> {
        match self {
            Self::Dps => registration_id::check(id).map_err(|why| why.to_string()),
            Self::Central => registration_id::check_central(id).map_err(|why| why.to_string()),
            Self::Hub => device_id::check(id).map_err(|why| why.to_string()),
        }
    }

    /// What may stand in a name, as a mend.
    pub(super) fn taken(self) -> &'static str {
        match self {
            Self::Dps => "lower case letters, digits, '-', '.', '_' and ':'",
            Self::Central => "letters, digits and '-'",
            Self::Hub => "letters, digits and - . + % _ # * ? ! ( ) , : = @ $ '",
        }
    }
}
