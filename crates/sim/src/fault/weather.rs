//! The network: what happens to connections, and to who wants one.

use std::time::Duration;

use super::{AFTER, Facts};
use crate::network::{Network, Weather};
use crate::wire::{Latency, Way};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WeatherFault {
    HubRefuses,
    HubUnreachable,
    HubSlowToConnect,
    Reset,
    CutOutward,
    CutInward,
    Stalled,
    DeafOutward,
    DeafInward,
    Distant,
    Narrow,
    ProvisioningRefuses,
    ProvisioningUnreachable,
    EverythingUnreachable,
}

impl WeatherFault {
    pub(crate) const ALL: &[Self] = &[
        Self::HubRefuses,
        Self::HubUnreachable,
        Self::HubSlowToConnect,
        Self::Reset,
        Self::CutOutward,
        Self::CutInward,
        Self::Stalled,
        Self::DeafOutward,
        Self::DeafInward,
        Self::Distant,
        Self::Narrow,
        Self::ProvisioningRefuses,
        Self::ProvisioningUnreachable,
        Self::EverythingUnreachable,
    ];

    pub(crate) fn facts(self) -> Facts {
        match self {
            Self::HubRefuses => Facts::named("hub refuses connections").seconds(5, 900).delays(AFTER).repeats(),
            Self::HubUnreachable => Facts::named("hub unreachable").seconds(5, 900).delays(AFTER).repeats(),
            Self::HubSlowToConnect => Facts::named("hub slow to connect").seconds(30, 600).delays(AFTER).repeats(),
            Self::Reset => Facts::named("connections reset").delays(AFTER).repeats(),
            Self::CutOutward => {
                Facts::named("connections cut amid what is sent").seconds(60, 60).delays(AFTER).repeats()
            }
            Self::CutInward => Facts::named("connections cut amid an answer").seconds(60, 60).delays(AFTER).repeats(),
            Self::Stalled => Facts::named("connections stalled").seconds(2, 300).delays(AFTER).repeats(),
            Self::DeafOutward => {
                Facts::named("connections half open outward").seconds(240, 300).delays(AFTER).repeats()
            }
            Self::DeafInward => Facts::named("connections half open inward").seconds(240, 300).delays(AFTER).repeats(),
            Self::Distant => Facts::named("latency of seconds").seconds(30, 600).delays(AFTER).repeats(),
            Self::Narrow => Facts::named("a narrow line").seconds(30, 600).delays(AFTER).repeats(),
            Self::ProvisioningRefuses => Facts::named("provisioning refuses connections").seconds(5, 900).delays(AFTER),
            Self::ProvisioningUnreachable => Facts::named("provisioning unreachable").seconds(5, 900).delays(AFTER),
            Self::EverythingUnreachable => {
                Facts::named("everything unreachable").seconds(5, 900).delays(AFTER).repeats()
            }
        }
    }

    /// `usual`: the latency of this world; `provisioning` and `hub`: hosts; `amount`: any number, to choose by.
    pub(crate) fn begin(self, network: &Network, usual: Latency, (provisioning, hub): (&str, &str), amount: u32) {
        let bytes = 1 + amount as usize % 400;
        match self {
            Self::HubRefuses => {
                network.set_weather(hub, Weather::Refusing);
                network.each_line(Some(hub), crate::wire::Line::reset);
            }
            Self::HubUnreachable => Self::silence(network, hub),
            Self::HubSlowToConnect => {
                network.set_weather(hub, Weather::Slow(1_000 + u64::from(amount % 20_000)));
                network.each_line(Some(hub), crate::wire::Line::reset);
            }
            Self::Reset => network.each_line(None, crate::wire::Line::reset),
            Self::CutOutward => network.each_line(None, |line| line.cut_after(Way::Out, bytes)),
            Self::CutInward => network.each_line(None, |line| line.cut_after(Way::Back, bytes)),
            Self::Stalled => network.each_line(None, |line| line.stall(true)),
            Self::DeafOutward => network.each_line(None, |line| line.deafen(Way::Out)),
            Self::DeafInward => network.each_line(None, |line| line.deafen(Way::Back)),
            Self::Distant => {
                let least = Duration::from_millis(1_000 + u64::from(amount % 6_000));
                network.set_latency(Latency { least, jitter: least, ..usual });
            }
            // 50 to 400 µs a byte: the 20 to 160 kbit/s of a bad mobile link.
            Self::Narrow => {
                network.set_latency(Latency { per_byte: Duration::from_micros(50 + u64::from(amount % 350)), ..usual });
            }
            Self::ProvisioningRefuses => network.set_weather(provisioning, Weather::Refusing),
            Self::ProvisioningUnreachable => Self::silence(network, provisioning),
            Self::EverythingUnreachable => {
                Self::silence(network, hub);
                Self::silence(network, provisioning);
            }
        }
    }

    fn silence(network: &Network, host: &str) {
        network.set_weather(host, Weather::Unreachable);
        for way in [Way::Out, Way::Back] {
            network.each_line(Some(host), |line| line.deafen(way));
        }
    }

    pub(crate) fn end(self, network: &Network, usual: Latency, (provisioning, hub): (&str, &str)) {
        match self {
            Self::HubRefuses | Self::HubUnreachable | Self::HubSlowToConnect => {
                network.set_weather(hub, Weather::Fair);
            }
            Self::Stalled => network.each_line(None, |line| line.stall(false)),
            Self::Distant | Self::Narrow => network.set_latency(usual),
            Self::ProvisioningRefuses | Self::ProvisioningUnreachable => {
                network.set_weather(provisioning, Weather::Fair);
            }
            Self::EverythingUnreachable => {
                network.set_weather(hub, Weather::Fair);
                network.set_weather(provisioning, Weather::Fair);
            }
            Self::Reset => {}
            Self::CutOutward | Self::CutInward | Self::DeafOutward | Self::DeafInward => {
                network.each_line(None, crate::wire::Line::mend);
            }
        }
    }
}
