//! The catalogue: everything that can go wrong, what each may excuse, and for how long it lasts.
//!
//! A fault is a value; `weather` (network), `hub`, `provisioning`, `disk`, `process`, `time` and `door` say what each does.
//! `story` carries it out.

use crate::judge::Effect;

mod disk;
mod door;
mod hub;
mod process;
mod provisioning;
mod time;
mod weather;

pub(crate) use disk::DiskFault;
pub(crate) use door::DoorFault;
pub(crate) use hub::HubFault;
pub(crate) use process::ProcessFault;
pub(crate) use provisioning::ProvisioningFault;
pub(crate) use time::TimeFault;
pub(crate) use weather::WeatherFault;

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Fault {
    Weather(WeatherFault),
    Hub(HubFault),
    Provisioning(ProvisioningFault),
    Disk(DiskFault),
    Process(ProcessFault),
    Time(TimeFault),
    Door(DoorFault),
}

/// What is known of a fault before it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// What it is called; [`Fault::name`] says where as well.
    pub(crate) name: &'static str,
    /// It concerns one device.
    pub(crate) one_device: bool,
    /// How long it lasts, milliseconds, from and to; both zero: a moment.
    pub(crate) lasts: (i64, i64),
    pub(crate) effect: Effect,
}

/// Back-offs of at most a minute and a device that is held for four: what a trouble leaves behind.
pub(crate) const AFTER: i64 = 6 * 60_000;
/// What is asked again once an hour at the latest.
pub(crate) const LONG_AFTER: i64 = 65 * 60_000;

impl Facts {
    /// A moment that harms nothing.
    pub(crate) const fn named(name: &'static str) -> Self {
        let effect = Effect {
            delays: None,
            repeats: false,
            forgets: false,
            restarts: false,
            closes_the_disk: false,
            silences_the_door: false,
            buries: &[],
            ends_tokens: false,
        };
        Self { name, one_device: false, lasts: (0, 0), effect }
    }

    /// It lasts so many seconds.
    pub(crate) const fn seconds(mut self, from: i64, to: i64) -> Self {
        self.lasts = (from * 1000, to * 1000);
        self
    }

    pub(crate) const fn of_one_device(mut self) -> Self {
        self.one_device = true;
        self
    }

    /// Messages wait, and up to so much longer than the trouble lasts.
    pub(crate) const fn delays(mut self, after: i64) -> Self {
        self.effect.delays = Some(after);
        self
    }

    /// An answer may get lost, so that a message comes again.
    pub(crate) const fn repeats(mut self) -> Self {
        self.effect.repeats = true;
        self
    }

    /// A commit may be lost.
    pub(crate) const fn forgets(mut self) -> Self {
        self.effect.forgets = true;
        self
    }

    /// The process ends and begins anew.
    pub(crate) const fn restarts(mut self) -> Self {
        self.effect.restarts = true;
        self
    }

    pub(crate) const fn closes_the_disk(mut self) -> Self {
        self.effect.closes_the_disk = true;
        self
    }

    pub(crate) const fn silences_the_door(mut self) -> Self {
        self.effect.silences_the_door = true;
        self
    }

    pub(crate) const fn buries(mut self, reasons: &'static [&'static str]) -> Self {
        self.effect.buries = reasons;
        self
    }

    pub(crate) const fn ends_tokens(mut self) -> Self {
        self.effect.ends_tokens = true;
        self
    }
}

impl Fault {
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        all.extend(WeatherFault::ALL.iter().copied().map(Self::Weather));
        all.extend(HubFault::ALL.iter().copied().map(Self::Hub));
        all.extend(ProvisioningFault::ALL.iter().copied().map(Self::Provisioning));
        all.extend(DiskFault::ALL.iter().copied().map(Self::Disk));
        all.extend(ProcessFault::all().map(Self::Process));
        all.extend(TimeFault::ALL.iter().copied().map(Self::Time));
        all.extend(DoorFault::ALL.iter().copied().map(Self::Door));
        all
    }

    /// As it stands in the log and in the table.
    pub(crate) fn name(self) -> String {
        let name = self.facts().name;
        match self {
            Self::Process(fault) => fault.point().map_or_else(|| name.to_owned(), |point| format!("{name} {point}")),
            _ => name.to_owned(),
        }
    }

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::Weather(fault) => fault.facts(),
            Self::Hub(fault) => fault.facts(),
            Self::Provisioning(fault) => fault.facts(),
            Self::Disk(fault) => fault.facts(),
            Self::Process(fault) => fault.facts(),
            Self::Time(fault) => fault.facts(),
            Self::Door(fault) => fault.facts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_and_an_end() {
        let all = Fault::all();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 40, "{} kinds", all.len());
        for fault in all {
            let (from, to) = fault.facts().lasts;
            assert!(from <= to && to < 3_600_000, "{fault:?}");
        }
    }
}
