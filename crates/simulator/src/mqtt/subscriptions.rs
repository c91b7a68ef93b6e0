//! What a client listens to.
//!
//! Promises: a client listens to nothing but what is its own, with at most five filters; a message reaches it once, however
//! many of them fit.

use super::packet::Qos;

/// As documented; what a sixth gets from the hub is not known.
const FILTERS_MAX: usize = 5;

/// What there is to listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    C2d,
    Methods,
    TwinAnswers,
    Desired,
    Registrations,
}

/// A filter and what is granted for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(super) filter: String,
    pub(super) family: Family,
    pub(super) qos: Qos,
}

/// There are five.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The filters of one client.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Granted>);

/// What a device's filter is for; none when it is not its own. Modules get no messages from the cloud.
pub(super) fn of_hub(filter: &str, device: &str, is_module: bool) -> Option<Family> {
    let family = if filter.starts_with("$iothub/methods/POST/") {
        Family::Methods
    } else if filter.starts_with("$iothub/twin/res/") {
        Family::TwinAnswers
    } else if filter.starts_with("$iothub/twin/PATCH/properties/desired/") {
        Family::Desired
    } else {
        let rest = filter.strip_prefix("devices/")?.strip_prefix(device)?;
        (rest == "/messages/devicebound/#" && !is_module).then_some(Family::C2d)?
    };
    is_sound(filter).then_some(family)
}

/// What a registration's filter is for.
pub(super) fn of_dps(filter: &str) -> Option<Family> {
    (filter.starts_with("$dps/registrations/res/") && is_sound(filter)).then_some(Family::Registrations)
}

/// Wildcards stand alone between slashes, and `#` at the end.
fn is_sound(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_wild = level.contains(['#', '+']);
        if is_wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return false;
        }
    }
    true
}

fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

impl Subscriptions {
    /// Listens; one that is there already is granted anew. Nothing is sent more than once at the utmost.
    pub(super) fn add(&mut self, filter: String, family: Family, wanted: Qos) -> Result<Qos, Full> {
        let qos = wanted.min(Qos::One);
        if let Some(granted) = self.0.iter_mut().find(|granted| granted.filter == filter) {
            granted.qos = qos;
        } else if self.0.len() >= FILTERS_MAX {
            return Err(Full);
        } else {
            self.0.push(Granted { filter, family, qos });
        }
        Ok(qos)
    }

    pub(super) fn remove(&mut self, filter: &str) {
        self.0.retain(|granted| granted.filter != filter);
    }

    /// How a message of this topic is to be sent; none when nobody listens.
    pub(super) fn qos(&self, family: Family, topic: &str) -> Option<Qos> {
        self.of(family).filter(|granted| matches(&granted.filter, topic)).map(|granted| granted.qos).max()
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.of(family).next().is_some()
    }

    pub(super) fn of(&self, family: Family) -> impl Iterator<Item = &Granted> {
        self.0.iter().filter(move |granted| granted.family == family)
    }

    /// What an earlier connection listened to.
    pub(super) fn resume(&mut self, kept: Vec<Granted>) {
        self.0 = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_listens_to_its_own_and_a_module_to_no_messages() {
        assert_eq!(of_hub("devices/d/messages/devicebound/#", "d", false), Some(Family::C2d));
        assert_eq!(of_hub("devices/d/messages/devicebound/#", "d", true), None);
        assert_eq!(of_hub("$iothub/methods/POST/#", "d", true), Some(Family::Methods));
        assert_eq!(of_hub("$iothub/twin/res/#", "d", false), Some(Family::TwinAnswers));
        assert_eq!(of_hub("$iothub/twin/PATCH/properties/desired/#", "d", false), Some(Family::Desired));
        for filter in [
            "#",
            "$iothub/#",
            "devices/#",
            "devices/+/messages/devicebound/#",
            "devices/d2/messages/devicebound/#",
            "devices/d/messages/events/#",
            "$iothub/methods/POST/#/x",
            "$iothub/methods/POST/a#",
            "$dps/registrations/res/#",
        ] {
            assert_eq!(of_hub(filter, "d", false), None, "{filter}");
        }
        assert_eq!(of_dps("$dps/registrations/res/#"), Some(Family::Registrations));
        assert_eq!((of_dps("#"), of_dps("$iothub/twin/res/#")), (None, None));
    }

    #[test]
    fn the_sixth_filter_is_not_granted_and_one_asked_for_again_takes_no_second_place() {
        let mut all = Subscriptions::default();
        for name in ["a", "b", "c", "d", "e"] {
            let filter = format!("$iothub/methods/POST/{name}/#");
            assert_eq!(all.add(filter, Family::Methods, Qos::Two), Ok(Qos::One));
        }
        let again = "$iothub/methods/POST/a/#".to_owned();
        assert_eq!(all.add(again.clone(), Family::Methods, Qos::Zero), Ok(Qos::Zero));
        assert_eq!(all.add("$iothub/twin/res/#".to_owned(), Family::TwinAnswers, Qos::Zero), Err(Full));
        all.remove(&again);
        assert!(all.add("$iothub/twin/res/#".to_owned(), Family::TwinAnswers, Qos::Zero).is_ok());
        assert!(all.has(Family::TwinAnswers) && !all.has(Family::C2d));
    }

    #[test]
    fn a_message_is_sent_as_the_best_filter_that_fits_allows() {
        let mut all = Subscriptions::default();
        all.add("$iothub/methods/POST/#".to_owned(), Family::Methods, Qos::Zero).unwrap();
        all.add("$iothub/methods/POST/reboot/+".to_owned(), Family::Methods, Qos::One).unwrap();
        let qos = |topic| all.qos(Family::Methods, topic);
        assert_eq!(qos("$iothub/methods/POST/reboot/?$rid=1"), Some(Qos::One));
        assert_eq!(qos("$iothub/methods/POST/other/?$rid=1"), Some(Qos::Zero));
        assert_eq!(all.qos(Family::Desired, "$iothub/methods/POST/other/?$rid=1"), None);
        assert!(!matches("a/+", "a") && matches("a/#", "a") && !matches("a", "a/b") && !matches("a/b", "a"));
    }
}
