//! What comes from each application of each network. PURE: the time is handed in.

use std::collections::BTreeMap;

use queue::UnixMillis;

/// Applications that are told apart; what comes from more is not counted here. About 150 bytes each.
const APPLICATIONS_MAX: usize = 1_000;
const MINUTE_MS: UnixMillis = 60_000;

/// One application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Messages since the start.
    pub accepted: u64,
    /// When the last one came.
    pub last_at: UnixMillis,
    minute: i64,
    in_minute: u64,
    before: u64,
}

impl Arrivals {
    fn note(&mut self, at: UnixMillis) {
        self.turn(at);
        self.accepted += 1;
        self.in_minute += 1;
        self.last_at = at;
    }

    /// Messages of the last whole minute.
    pub fn per_minute(mut self, now: UnixMillis) -> u64 {
        self.turn(now);
        self.before
    }

    fn turn(&mut self, now: UnixMillis) {
        let minute = now.div_euclid(MINUTE_MS);
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.in_minute } else { 0 };
            (self.minute, self.in_minute) = (minute, 0);
        }
    }
}

/// All of them, by network and application.
#[derive(Debug, Default)]
pub struct Networks {
    known: BTreeMap<String, BTreeMap<String, Arrivals>>,
    count: usize,
}

impl Networks {
    /// The door took a message.
    pub fn note(&mut self, network: &str, application: &str, at: UnixMillis) {
        if let Some(arrivals) = self.known.get_mut(network).and_then(|known| known.get_mut(application)) {
            return arrivals.note(at);
        }
        if self.count < APPLICATIONS_MAX {
            self.count += 1;
            let network = self.known.entry(network.to_owned()).or_default();
            network.entry(application.to_owned()).or_default().note(at);
        }
    }

    /// All, in the order of their names.
    pub fn all(&self) -> Vec<(String, String, Arrivals)> {
        let each = |(network, known): (&String, &BTreeMap<String, Arrivals>)| {
            let network = network.clone();
            let known =
                known.iter().map(|(application, arrivals)| (application.clone(), *arrivals)).collect::<Vec<_>>();
            known.into_iter().map(move |(application, arrivals)| (network.clone(), application, arrivals))
        };
        self.known.iter().flat_map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_minute_is_the_pace() {
        let mut networks = Networks::default();
        for second in 0..90 {
            networks.note("ttn", "building", second * 1000);
        }
        networks.note("ttn", "vehicles", 0);
        let all = networks.all();
        assert_eq!(
            all.iter().map(|(_, application, _)| application.as_str()).collect::<Vec<_>>(),
            ["building", "vehicles"]
        );
        let building = all[0].2;
        assert_eq!((building.accepted, building.last_at), (90, 89_000));
        assert_eq!(building.per_minute(89_000), 60);
        assert_eq!(building.per_minute(125_000), 30);
        assert_eq!(building.per_minute(600_000), 0);
    }

    #[test]
    fn strangers_cannot_make_it_grow_without_end() {
        let mut networks = Networks::default();
        for number in 0..2 * APPLICATIONS_MAX {
            networks.note("ttn", &number.to_string(), 1);
        }
        assert_eq!(networks.all().len(), APPLICATIONS_MAX);
    }
}
