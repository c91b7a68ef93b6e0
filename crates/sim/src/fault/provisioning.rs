//! The provisioning service: what it says to registrations and polls, and what its owner does.

use simulator::{DevicePolls, DpsRefusal, DpsRefuse, Faults, Outage, Throttle, When};

use super::{AFTER, Facts, LONG_AFTER};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ProvisioningFault {
    Throttles,
    ThrottlesPolls,
    ThrottlesPollsOfADevice,
    Unavailable,
    Closes,
    Silent,
    Slow,
    Fails,
    RefusesEverybody,
    NotEnrolled,
    UnknownDevice,
    DisabledDevice,
    FailedDevice,
    /// By its owner.
    GroupSwitchedOff,
    /// By its owner.
    RegistrationForgotten,
}

impl ProvisioningFault {
    pub(crate) const ALL: &[Self] = &[
        Self::Throttles,
        Self::ThrottlesPolls,
        Self::ThrottlesPollsOfADevice,
        Self::Unavailable,
        Self::Closes,
        Self::Silent,
        Self::Slow,
        Self::Fails,
        Self::RefusesEverybody,
        Self::NotEnrolled,
        Self::UnknownDevice,
        Self::DisabledDevice,
        Self::FailedDevice,
        Self::GroupSwitchedOff,
        Self::RegistrationForgotten,
    ];

    pub(crate) fn facts(self) -> Facts {
        let some_minutes = |name| Facts::named(name).seconds(5, 900).delays(AFTER);
        // A refused device is asked for again after an hour at the latest.
        let one = |name| Facts::named(name).seconds(5, 900).of_one_device().delays(LONG_AFTER);
        match self {
            Self::Throttles => some_minutes("provisioning throttles"),
            Self::ThrottlesPolls => some_minutes("provisioning throttles polls"),
            Self::ThrottlesPollsOfADevice => some_minutes("provisioning throttles a device's polls"),
            Self::Unavailable => some_minutes("provisioning unavailable"),
            Self::Closes => some_minutes("provisioning closes connections"),
            Self::Silent => some_minutes("provisioning silent"),
            Self::Slow => some_minutes("provisioning slow"),
            Self::Fails => some_minutes("provisioning's internal error"),
            Self::RefusesEverybody => Facts::named("provisioning refuses everybody").seconds(5, 900).delays(LONG_AFTER),
            Self::NotEnrolled => one("device not enrolled"),
            Self::UnknownDevice => one("provisioning knows no such device"),
            Self::DisabledDevice => one("enrolment disabled"),
            Self::FailedDevice => one("registration fails"),
            Self::GroupSwitchedOff => Facts::named("group switched off").seconds(5, 900).delays(LONG_AFTER),
            Self::RegistrationForgotten => Facts::named("registration forgotten").of_one_device().delays(AFTER),
        }
    }

    /// What the simulator is to do, besides what it does already.
    pub(crate) fn add(self, faults: &mut Faults, device: Option<&str>, amount: u32) {
        let ids: Vec<String> = device.map(str::to_owned).into_iter().collect();
        let retry_after_s = amount.is_multiple_of(2).then_some(u64::from(amount % 60));
        let when = When::Every(1 + u64::from(amount % 3));
        let refuse = |answer| DpsRefuse { ids: ids.clone(), answer };
        let dps = &mut faults.dps;
        match self {
            Self::Throttles => dps.throttle = Some(Throttle { when, retry_after_s }),
            Self::ThrottlesPolls => dps.throttle_polls = Some(Throttle { when, retry_after_s }),
            Self::ThrottlesPollsOfADevice => {
                dps.device_polls = Some(DevicePolls { above_per_10_s: 1, retry_after_s });
            }
            Self::Unavailable => dps.outage = Some(Outage::Unavailable),
            Self::Closes => dps.outage = Some(Outage::Close),
            Self::Silent => dps.outage = Some(Outage::Hang),
            Self::Slow => dps.delay_ms = 500 + u64::from(amount % 30_000),
            Self::Fails => dps.refuse.push(refuse(DpsRefusal::Status { status: 500, error_code: 500_000 })),
            Self::RefusesEverybody => dps.refuse.push(refuse(DpsRefusal::Unauthorized)),
            Self::NotEnrolled => dps.refuse.push(refuse(DpsRefusal::NotEnrolled)),
            Self::UnknownDevice => dps.refuse.push(refuse(DpsRefusal::NotFound)),
            Self::DisabledDevice => dps.refuse.push(refuse(DpsRefusal::Disabled)),
            Self::FailedDevice => {
                let message = "Allocation failed".to_owned();
                dps.refuse.push(refuse(DpsRefusal::Failed { error_code: 400_209, message }));
            }
            Self::GroupSwitchedOff | Self::RegistrationForgotten => {}
        }
    }
}
