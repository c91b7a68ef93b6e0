//! What goes over the air, in EU868, and how long it may be.
//!
//! Sources: LoRaWAN regional parameters (EU863-870, DR0 to DR5); The Things Stack takes the largest MAC payload less 8
//! bytes for what an application may send (`pkg/networkserver/grpc_asns.go`, `pkg/band`).

use serde::{Deserialize, Serialize};

/// Bytes of an application that fit into the largest frame of the band: what a push is measured by.
pub const BAND_PAYLOAD_MAX: usize = DataRate::DR5.payload_max();
/// LoRa channels of EU868 are this wide, in Hz.
pub(crate) const BANDWIDTH_HZ: u32 = 125_000;
/// Bytes of a frame around a payload: MHDR 1, address 4, control 1, counter 2, port 1, integrity code 4.
const FRAME_BYTES: usize = 13;

/// A data rate of EU868.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the regional parameters' names")]
pub enum DataRate {
    DR0,
    DR1,
    DR2,
    DR3,
    DR4,
    #[default]
    DR5,
}

impl DataRate {
    /// Bytes of an application in one frame without MAC commands.
    pub const fn payload_max(self) -> usize {
        match self {
            Self::DR0 | Self::DR1 | Self::DR2 => 59 - 8,
            Self::DR3 => 123 - 8,
            Self::DR4 | Self::DR5 => 250 - 8,
        }
    }

    /// 12 at the slowest, 7 at the fastest.
    pub const fn spreading_factor(self) -> u32 {
        12 - self as u32
    }

    /// Microseconds on the air of a frame with a payload of `bytes`: Semtech's formula, 8 symbols of preamble, coding
    /// rate 4/5.
    pub fn airtime_us(self, bytes: usize) -> u64 {
        let sf = i64::from(self.spreading_factor());
        let low_rate = if sf >= 11 { 2 } else { 0 };
        let bits = 8 * i64::try_from(bytes + FRAME_BYTES).unwrap_or(i64::MAX / 16) - 4 * sf + 28 + 16;
        let per_block = 4 * (sf - low_rate);
        let symbols = 8 + 5 * ((bits + per_block - 1) / per_block).max(0);
        // A symbol lasts 2^SF / 125 kHz = 2^SF * 8 us; the preamble has 4.25 symbols more, so quarters are counted.
        let quarters = u64::try_from(4 * symbols + 49).unwrap_or_default();
        quarters * (1 << self.spreading_factor()) * 2
    }
}

/// When a device listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Shortly after each of its uplinks.
    #[default]
    A,
    /// Always.
    C,
}

/// One frame with an application's payload that a gateway transmitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transmission {
    /// From 1, without gaps.
    pub number: u64,
    /// Who listened.
    pub device: String,
    /// Of the session.
    pub f_cnt: u32,
    /// The application's port.
    pub f_port: u32,
    /// Before encryption, base64.
    pub frm_payload: String,
    /// An acknowledgement was asked for.
    pub confirmed: bool,
    /// The caller's ids, and the server's own.
    pub correlation_ids: Vec<String>,
    /// How fast.
    pub data_rate: DataRate,
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::DataRate;

    /// Seen on a live network: 11 bytes at spreading factor 9 took 0.205824 s.
    #[test]
    fn airtime_is_what_a_live_network_measured() {
        assert_eq!(DataRate::DR3.airtime_us(11), 205_824);
        assert_eq!(DataRate::DR5.airtime_us(11), 61_696);
    }

    #[test]
    fn the_largest_payload_of_the_band_is_that_of_its_fastest_rate() {
        let rates = [DataRate::DR0, DataRate::DR1, DataRate::DR2, DataRate::DR3, DataRate::DR4, DataRate::DR5];
        assert_eq!(rates.map(DataRate::payload_max), [51, 51, 51, 115, 242, 242]);
        assert_eq!(rates.map(DataRate::spreading_factor), [12, 11, 10, 9, 8, 7]);
        assert_eq!(super::BAND_PAYLOAD_MAX, 242);
    }
}
