//! PURE: for which devices something was sent under which right, so that their links go when it does: whoever has the right then
//! attaches them anew, and a hub takes a device's second link for theft.

use std::collections::{BTreeMap, BTreeSet};

use queue::Tenancy;

/// Devices by the right under which something was sent for them. A name each, about 100 bytes: 10 MB for 100 000. Empty where the
/// queue is nobody else's.
#[derive(Debug, Default)]
pub(super) struct Lodgers(BTreeMap<Tenancy, House>);

#[derive(Debug)]
struct House {
    /// Any lane of it.
    lane: String,
    /// By the hub's host name.
    devices: BTreeMap<String, BTreeSet<String>>,
}

impl Lodgers {
    /// Something is sent for a device.
    pub(super) fn came(&mut self, tenancy: Tenancy, lane: &str, host: &str, device: &str) {
        let house = || House { lane: lane.to_owned(), devices: BTreeMap::new() };
        let devices = &mut self.0.entry(tenancy).or_insert_with(house).devices;
        match devices.get_mut(host) {
            Some(devices) if devices.contains(device) => {}
            Some(devices) => drop(devices.insert(device.to_owned())),
            None => drop(devices.insert(host.to_owned(), [device.to_owned()].into())),
        }
    }

    /// Takes out those whose right is over: hubs and devices. `is_ours` is asked once for each right, with any of its lanes.
    pub(super) fn go(&mut self, is_ours: impl Fn(Tenancy, &str) -> bool) -> Vec<(String, BTreeSet<String>)> {
        let gone = self.0.extract_if(.., |tenancy, house| !is_ours(*tenancy, &house.lane));
        gone.flat_map(|(_, house)| house.devices).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_go_with_the_right_under_which_they_came() {
        let mut lodgers = Lodgers::default();
        let (old, new) = (Tenancy { partition: 1, epoch: 2 }, Tenancy { partition: 1, epoch: 4 });
        lodgers.came(old, "t/n/a/d1", "hub", "d1");
        lodgers.came(old, "t/n/a/d1", "hub", "d1");
        lodgers.came(old, "t/n/a/d2", "hub", "d2");
        lodgers.came(new, "t/n/a/d3", "hub", "d3");
        assert_eq!(lodgers.go(|_, _| true), []);
        let gone = lodgers.go(|tenancy, lane| tenancy == new && lane == "t/n/a/d3");
        assert_eq!(gone, [("hub".to_owned(), ["d1".to_owned(), "d2".to_owned()].into())]);
        assert_eq!(lodgers.go(|tenancy, _| tenancy == new), [], "once");
    }
}
