//! When a device's token is renewed, so that a fleet's renewals come evenly.
//!
//! Microsoft's SDKs renew at 75 to 85 % of a token's life. A fleet that was attached within a minute would renew within
//! minutes, an hour later, and so on for ever. So the *first* renewal of a device falls anywhere between 30 and 85 % of the
//! life, and those that follow between 75 and 85 %, each by a number that is drawn from the device's name: the mean
//! distance is 80 % of a life, the densest 55 %, so the rate is expected never to exceed 1.5 times the mean.
//!
//! A token that lasts an hour leaves nine minutes to its end at the latest: enough for the five minutes by which the hub's
//! clock may differ from ours, and for some retries.
//!
//! PURE.

use std::hash::{Hash, Hasher};
use std::time::Duration;

/// In per cent of a token's life.
const FIRST: (f64, f64) = (30.0, 85.0);
const LATER: (f64, f64) = (75.0, 85.0);

/// How long after it was put a token is to be renewed. `renewals`: how many there were since the device was attached.
pub(super) fn renew_after(device: &str, renewals: u32, life: Duration) -> Duration {
    let share = share((device, renewals));
    let (from, to) = if renewals == 0 { FIRST } else { LATER };
    life.mul_f64((from + (to - from) * share) / 100.0)
}

/// From 0 to 1, always the same for the same, and evenly over different ones.
pub(super) fn share(of: impl Hash) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    of.hash(&mut hasher);
    (mix(hasher.finish()) >> 11) as f64 / (1u64 << 53) as f64
}

/// Spreads what hashes leave close together (splitmix64's last step).
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn renewals_of_a_fleet_that_came_at_once_never_exceed_twice_their_mean_rate() {
        const DEVICES: u32 = 10_000;
        const MINUTES: usize = 24 * 60;
        let mut per_minute = vec![0u32; MINUTES];
        for device in 0..DEVICES {
            let name = format!("eui-{device:016x}");
            let mut at = Duration::ZERO;
            for renewals in 0.. {
                at += renew_after(&name, renewals, HOUR);
                let Some(minute) = per_minute.get_mut((at.as_secs() / 60) as usize) else { break };
                *minute += 1;
            }
        }
        let mean = f64::from(DEVICES) / (HOUR.as_secs_f64() * 0.8 / 60.0);
        let most = per_minute.iter().max().copied().unwrap_or_default();
        assert!(f64::from(most) <= 2.0 * mean, "{most} in a minute, {mean:.0} on average");
    }

    #[test]
    fn each_renewal_leaves_room_before_the_end() {
        for renewals in 0..50 {
            let after = renew_after("eui-1", renewals, HOUR);
            let least = if renewals == 0 { 0.30 } else { 0.75 };
            assert!(after >= HOUR.mul_f64(least) && after <= HOUR.mul_f64(0.85), "{after:?}");
        }
        assert_eq!(renew_after("eui-1", 3, HOUR), renew_after("eui-1", 3, HOUR), "no chance in it");
    }
}
