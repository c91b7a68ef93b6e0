//! How each device is heard: its last uplinks, how often it sends, and which frames are missing.
//!
//! PURE: what a frame says is handed in, the time with it. In memory only: after a restart it is learnt anew.
//!
//! Bounds: [`DEVICES_MAX`] devices; the one that was heard least recently leaves. A device takes 248 bytes ([`Radio`]), 60 of the
//! table, and about 160 for its name, which the walks of its messages share: 47 MB for 100 000.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lorawan::heard::{Heard, Location};
use lorawan::uplink::Uplink;
use lru::LruCache;
use queue::UnixMillis;

use super::journeys::hash;
use crate::lane::DeviceKey;

/// Devices that are remembered.
pub const DEVICES_MAX: usize = SHARDS * SHARD_MAX;
/// Whoever reads many holds one of them for a fraction of a millisecond.
const SHARDS: usize = 16;
const SHARD_MAX: usize = 6_500;
/// Receptions that are remembered of a device.
pub const RECEPTIONS: usize = 16;
/// A larger gap is no loss: LoRaWAN 1.0 itself takes it for another session (`MAX_FCNT_GAP`).
const GAP_MAX: u32 = 16_384;
/// Uplinks closer together are one transmission that came twice, or a burst: no interval.
const INTERVAL_MIN_MS: UnixMillis = 1_000;
/// A silence counts as so many usual intervals at the most, so that an outage changes little of what is usual.
const SILENCE_MAX: f32 = 4.0;
/// How much one interval changes the usual one.
const WEIGHT: f32 = 0.125;

/// What the worker reads of an uplink besides its telemetry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// When the door took it.
    pub accepted_at: UnixMillis,
    /// The frame counter.
    pub f_cnt: Option<u32>,
    /// Tells one session of the device from another; 0 where the network names none.
    pub session: u32,
    /// Made in the Console, not by a device.
    pub simulated: bool,
    /// How it came through the air.
    pub heard: Heard,
}

impl Frame {
    /// Of an uplink that came at this time.
    pub fn of(uplink: &Uplink<'_>, accepted_at: UnixMillis) -> Self {
        let session = uplink.session_key_id.as_deref().map_or(0, hash);
        Self {
            accepted_at,
            f_cnt: uplink.f_cnt.and_then(|count| u32::try_from(count).ok()),
            session: u32::try_from(session & u64::from(u32::MAX)).unwrap_or(0),
            simulated: uplink.simulated,
            heard: uplink.heard,
        }
    }
}

/// One reception, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reception {
    /// When the door took it, to the second.
    pub at: UnixMillis,
    /// At the gateway that heard it best.
    pub rssi_dbm: Option<i16>,
    /// At the same, to a quarter.
    pub snr_db: Option<f32>,
    /// LoRa's.
    pub spreading_factor: Option<u8>,
    /// 255 stands for all beyond.
    pub gateways: u8,
    /// The frame counter; 0 where the message has none.
    pub f_cnt: u32,
}

/// 12 bytes. Seconds since 1970, minus dBm, quarters of a dB; 0, 255 and -128 stand for nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Packed {
    at_s: u32,
    f_cnt: u32,
    minus_dbm: u8,
    quarter_db: i8,
    spreading_factor: u8,
    gateways: u8,
}

const NO_DBM: u8 = u8::MAX;
const NO_DB: i8 = i8::MIN;

impl Packed {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    fn of(frame: &Frame) -> Self {
        let Heard { rssi_dbm, snr_db, spreading_factor, gateways, .. } = frame.heard;
        Self {
            at_s: u32::try_from(frame.accepted_at / 1000).unwrap_or(0),
            f_cnt: frame.f_cnt.unwrap_or(0),
            minus_dbm: rssi_dbm.map_or(NO_DBM, |dbm| (-dbm).round().clamp(0.0, 254.0) as u8),
            quarter_db: snr_db.map_or(NO_DB, |db| (db * 4.0).round().clamp(-127.0, 127.0) as i8),
            spreading_factor: spreading_factor.unwrap_or(0),
            gateways: u8::try_from(gateways).unwrap_or(u8::MAX),
        }
    }

    fn shown(self) -> Reception {
        Reception {
            at: UnixMillis::from(self.at_s) * 1000,
            rssi_dbm: (self.minus_dbm != NO_DBM).then(|| -i16::from(self.minus_dbm)),
            snr_db: (self.quarter_db != NO_DB).then(|| f32::from(self.quarter_db) / 4.0),
            spreading_factor: Some(self.spreading_factor).filter(|factor| *factor > 0),
            gateways: self.gateways,
            f_cnt: self.f_cnt,
        }
    }
}

/// What is known of one device.
#[derive(Clone, Debug, Default)]
pub struct Radio {
    last_uplink_at: UnixMillis,
    /// When the last frame that was read came: what is tried again is read again.
    read_at: UnixMillis,
    usual_interval_ms: f32,
    session: u32,
    missed: u32,
    /// The newest is at `next - 1`.
    receptions: [Packed; RECEPTIONS],
    next: u8,
    len: u8,
    /// Latitude and longitude in ten-millionths of a degree, and metres.
    place: Option<[i32; 2]>,
    altitude: Option<i16>,
}

impl Radio {
    /// When the door took its last uplink.
    pub fn last_uplink_at(&self) -> UnixMillis {
        self.last_uplink_at
    }

    /// From one uplink to the next, usually. None before the second.
    pub fn usual_interval_ms(&self) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and years at the most")]
        (self.usual_interval_ms > 0.0).then_some(self.usual_interval_ms as u64)
    }

    /// Frames that never came, by the gaps between the counters. Neither a new session nor a counter that was reset makes one.
    pub fn missed(&self) -> u32 {
        self.missed
    }

    /// The last ones, oldest first.
    pub fn receptions(&self) -> impl Iterator<Item = Reception> {
        let (next, len) = (usize::from(self.next), usize::from(self.len));
        (0..len).map(move |at| self.receptions[(next + RECEPTIONS - len + at) % RECEPTIONS].shown())
    }

    /// The last one.
    pub fn last(&self) -> Option<Reception> {
        self.receptions().last()
    }

    /// Where it was said to be last.
    pub fn location(&self) -> Option<Location> {
        let [latitude, longitude] = self.place?.map(|ten_millionths| f64::from(ten_millionths) / 1e7);
        Some(Location { latitude, longitude, altitude: self.altitude.map(f64::from) })
    }

    /// The door took an uplink.
    fn came(&mut self, at: UnixMillis) {
        let interval = at - self.last_uplink_at;
        if self.last_uplink_at != 0 && interval >= INTERVAL_MIN_MS {
            let interval = interval as f32;
            let usual = self.usual_interval_ms;
            self.usual_interval_ms =
                if usual > 0.0 { usual + (interval.min(usual * SILENCE_MAX) - usual) * WEIGHT } else { interval };
        }
        self.last_uplink_at = self.last_uplink_at.max(at);
    }

    /// A worker read it.
    fn read(&mut self, frame: &Frame) {
        if frame.accepted_at > self.last_uplink_at {
            self.came(frame.accepted_at); // another process's door took it, or this one before it was started anew
        }
        if frame.simulated || frame.accepted_at <= self.read_at {
            return;
        }
        self.read_at = frame.accepted_at;
        if let (Some(last), Some(f_cnt)) = (self.last(), frame.f_cnt)
            && self.session == frame.session
        {
            let gap = f_cnt.saturating_sub(last.f_cnt).saturating_sub(1);
            self.missed = self.missed.saturating_add(if gap <= GAP_MAX { gap } else { 0 });
        }
        self.session = frame.session;
        self.receptions[usize::from(self.next)] = Packed::of(frame);
        self.next = (self.next + 1) % RECEPTIONS as u8;
        self.len = (self.len + 1).min(RECEPTIONS as u8);
        if let Some(location) = frame.heard.location {
            self.settle_at(location);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "degrees are within 180; metres are clamped")]
    fn settle_at(&mut self, location: Location) {
        let degrees = |degrees: f64| (degrees.clamp(-180.0, 180.0) * 1e7).round() as i32;
        self.place = Some([degrees(location.latitude), degrees(location.longitude)]);
        self.altitude = location.altitude.map(|metres| metres.clamp(-32_000.0, 32_000.0).round() as i16);
    }
}

type Shard = LruCache<Arc<DeviceKey>, Radio>;

/// All devices.
#[derive(Debug)]
pub struct Radios {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Radios {
    fn default() -> Self {
        // Grows with the devices: a table for all of them would be there before the first.
        let shard = || Mutex::new(LruCache::unbounded());
        Self { shards: std::array::from_fn(|_| shard()) }
    }
}

/// What is told of a device on a map, and of its application.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which one.
    pub device: Arc<DeviceKey>,
    /// See [`Radio::last_uplink_at`].
    pub last_uplink_at: UnixMillis,
    /// See [`Radio::usual_interval_ms`].
    pub usual_interval_ms: Option<u64>,
    /// See [`Radio::missed`].
    pub missed: u32,
    /// See [`Radio::location`].
    pub location: Option<Location>,
    /// Of its last reception.
    pub rssi_dbm: Option<i16>,
}

impl Radios {
    /// The door took an uplink of this device. Returns its name as it is kept here, so that others need no second copy.
    pub fn came(&self, device: &Arc<DeviceKey>, at: UnixMillis) -> Arc<DeviceKey> {
        self.with(device, |device, radio| {
            radio.came(at);
            device.clone()
        })
    }

    /// A worker read one.
    pub fn read(&self, device: &Arc<DeviceKey>, frame: &Frame) {
        self.with(device, |_, radio| radio.read(frame));
    }

    /// What is known of a device.
    pub fn of(&self, device: &DeviceKey) -> Option<Radio> {
        self.shard(device).peek(device).cloned()
    }

    /// A look at each device, in no order that means anything; a piece at a time, so that nobody waits long.
    pub fn each(&self, mut look: impl FnMut(Seen)) {
        for shard in &self.shards {
            let piece: Vec<Seen> = lock(shard).iter().map(|(device, radio)| seen(device, radio)).collect();
            piece.into_iter().for_each(&mut look);
        }
    }

    /// How many there are, and how many frames they missed, by network and application.
    pub fn by_application(&self) -> BTreeMap<(String, String), (u64, u64)> {
        let mut sums = BTreeMap::new();
        self.each(|seen| {
            let DeviceKey { network, application, .. } = &*seen.device;
            let sum: &mut (u64, u64) = sums.entry((network.clone(), application.clone())).or_default();
            *sum = (sum.0 + 1, sum.1 + u64::from(seen.missed));
        });
        sums
    }

    fn with<T>(&self, device: &Arc<DeviceKey>, change: impl FnOnce(&Arc<DeviceKey>, &mut Radio) -> T) -> T {
        let mut shard = self.shard(device);
        if shard.get(device).is_none() {
            if shard.len() >= SHARD_MAX {
                shard.pop_lru();
            }
            shard.put(device.clone(), Radio::default());
        }
        let kept = shard.get_key_value(device).map_or_else(|| device.clone(), |(kept, _)| kept.clone());
        let radio = shard.get_mut(device).expect("it was put there if it was not");
        change(&kept, radio)
    }

    fn shard(&self, device: &DeviceKey) -> MutexGuard<'_, Shard> {
        let mut hasher = DefaultHasher::new();
        device.hash(&mut hasher);
        lock(&self.shards[hasher.finish() as usize % SHARDS])
    }
}

fn seen(device: &Arc<DeviceKey>, radio: &Radio) -> Seen {
    Seen {
        device: device.clone(),
        last_uplink_at: radio.last_uplink_at,
        usual_interval_ms: radio.usual_interval_ms(),
        missed: radio.missed,
        location: radio.location(),
        rssi_dbm: radio.last().and_then(|last| last.rssi_dbm),
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = 1_763_899_200_000;

    fn frame(minute: i64, f_cnt: u32, session: u32) -> Frame {
        let heard =
            Heard { rssi_dbm: Some(-97.4), snr_db: Some(-7.25), spreading_factor: Some(12), ..Heard::default() };
        let heard = Heard { gateways: 300, ..heard };
        let accepted_at = NOON + minute * 60_000;
        Frame { accepted_at, f_cnt: Some(f_cnt), session, simulated: false, heard }
    }

    #[test]
    fn gaps_are_missed_frames_and_new_counters_are_none() {
        let mut radio = Radio::default();
        let mut missed = |minute, f_cnt, session| {
            radio.read(&frame(minute, f_cnt, session));
            radio.missed()
        };
        assert_eq!(missed(0, 10, 1), 0, "nothing is known of what was before");
        assert_eq!(missed(1, 11, 1), 0);
        assert_eq!(missed(2, 14, 1), 2);
        assert_eq!(missed(2, 14, 1), 2, "read a second time");
        assert_eq!(missed(3, 0, 1), 2, "reset");
        assert_eq!(missed(4, 500, 2), 2, "joined anew");
        assert_eq!(missed(5, 502, 2), 3);
        assert_eq!(missed(6, 502 + GAP_MAX + 2, 2), 3, "no radio loses so many");
    }

    #[test]
    fn the_last_sixteen_receptions_are_shown_as_they_were() {
        let mut radio = Radio::default();
        for minute in 0..20 {
            radio.read(&frame(minute, u32::try_from(minute).expect("small"), 1));
        }
        let shown: Vec<_> = radio.receptions().collect();
        assert_eq!(shown.iter().map(|one| one.f_cnt).collect::<Vec<_>>(), (4..20).collect::<Vec<_>>());
        let last = radio.last().expect("there are some");
        assert_eq!((last.at, last.rssi_dbm, last.snr_db), (NOON + 19 * 60_000, Some(-97), Some(-7.25)));
        assert_eq!((last.spreading_factor, last.gateways), (Some(12), 255));
        assert_eq!(radio.usual_interval_ms(), Some(60_000));
    }

    #[test]
    fn what_is_usual_outlives_an_outage_and_what_nobody_sent_on_the_air() {
        let mut radio = Radio::default();
        for minute in 0..10 {
            radio.came(NOON + minute * 60_000);
        }
        radio.came(NOON + 9 * 60_000 + 10);
        radio.came(NOON + 24 * 3_600_000);
        let usual = radio.usual_interval_ms().expect("there were ten");
        assert!((60_000..90_000).contains(&usual), "{usual}");
        assert_eq!(radio.last_uplink_at(), NOON + 24 * 3_600_000);
        radio.read(&Frame { simulated: true, ..frame(0, 7, 1) });
        assert!(radio.last().is_none(), "made in the Console");
    }

    #[test]
    fn a_place_is_kept_to_a_centimetre() {
        let mut radio = Radio::default();
        let place = Location { latitude: 52.457_278, longitude: -6.441_810_1, altitude: Some(12.4) };
        let heard = Heard { location: Some(place), ..Heard::default() };
        radio.read(&Frame { heard, ..frame(0, 1, 1) });
        radio.read(&frame(1, 2, 1));
        let kept = radio.location().expect("one without does not make it unknown");
        assert!((kept.latitude - place.latitude).abs() < 1e-7 && (kept.longitude - place.longitude).abs() < 1e-7);
        assert_eq!(kept.altitude, Some(12.0));
    }

    #[test]
    fn a_device_takes_no_more_than_it_is_said_to_take() {
        assert_eq!(size_of::<Packed>(), 12);
        assert!(size_of::<Radio>() <= 248, "{}", size_of::<Radio>());
    }

    #[test]
    fn whoever_was_heard_least_recently_leaves() {
        let radios = Radios::default();
        let device = |number: usize| {
            Arc::new(DeviceKey { network: "ttn".into(), application: "a".into(), device: format!("d{number}") })
        };
        for number in 0..DEVICES_MAX + 5_000 {
            radios.came(&device(number), NOON + number as i64);
            radios.came(&device(0), NOON + number as i64);
        }
        assert!(radios.of(&device(0)).is_some(), "it sends all the time");
        assert!(radios.of(&device(1)).is_none());
        assert!(radios.of(&device(DEVICES_MAX + 4_999)).is_some());
        let mut count = 0;
        radios.each(|_| count += 1);
        assert!((DEVICES_MAX - 5_000..=DEVICES_MAX).contains(&count), "{count}");
    }
}
