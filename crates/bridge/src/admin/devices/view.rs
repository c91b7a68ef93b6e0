//! What is told of a device. `longhaul devices` reads the same.

use queue::UnixMillis;
use serde::{Deserialize, Serialize};

use super::radio::Heard;
use crate::config::GroupKey;
use crate::lane::{DeviceKey, Lane};

/// A page of devices.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DevicePage)]
pub struct Page {
    /// In the order of network, application, device.
    pub devices: Vec<Device>,
    /// The next page begins after this one; none: there is no more. A page may be short, or empty, and have a next one:
    /// a filter looks at so many devices a request.
    pub next: Option<String>,
}

/// A device as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Device {
    /// Which network.
    pub network: String,
    /// Which application there.
    pub application: String,
    /// Which device there.
    pub device: String,
    /// In one word.
    pub state: State,
    /// When IoT Hub took its last uplink.
    pub last_uplink_at: Option<UnixMillis>,
    /// Since when its oldest uplink waits.
    pub waiting_since: Option<UnixMillis>,
    /// A try to send failed; the next one comes then.
    pub retry_at: Option<UnixMillis>,
    /// How it is called in Azure, once for each scope that it was sent to.
    pub names: Vec<Named>,
    /// How it is heard; none where it was not since the start.
    #[serde(default)]
    pub radio: Option<Heard>,
    /// What its oldest waiting uplink has been through; told of one device only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

/// A device in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeviceState)]
pub enum State {
    /// It was refused, or a try to send failed: nothing is tried before a time that is named.
    Held,
    /// It stands in line for its registration.
    Registering,
    /// It has a link at a hub.
    Attached,
    /// It is on its way to one.
    Attaching,
    /// It lives at a hub and has no link there.
    Assigned,
    /// Nobody knows yet where it lives.
    Unassigned,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Held, Self::Registering, Self::Attached, Self::Attaching, Self::Assigned, Self::Unassigned];

    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Registering => "registering",
            Self::Attached => "attached",
            Self::Attaching => "attaching",
            Self::Assigned => "assigned",
            Self::Unassigned => "unassigned",
        }
    }
}

/// A device at one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Named {
    /// A DPS endpoint with its id scope, or a hub.
    pub scope: String,
    /// Its name there.
    pub registration_id: String,
    /// Targets of the configuration that lead there.
    pub targets: Vec<String>,
    /// The hub's host name.
    pub hub: Option<String>,
    /// Its name at the hub.
    pub device_id: Option<String>,
    /// Which of the group's keys it signs with.
    pub group_key: Option<GroupKey>,
    /// Since when that is known.
    pub assigned_at: Option<UnixMillis>,
    /// Its link at the hub; none where the transport keeps none.
    pub link: Option<Link>,
    /// It stands in line to be registered, or is being registered.
    pub registering: bool,
    /// Its registration was refused.
    pub refused: Option<Refused>,
}

/// [`azure::hub::amqp::Link`] in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeviceLink)]
pub enum Link {
    /// None.
    None,
    /// On its way.
    Attaching,
    /// There.
    Attached,
}

impl From<azure::hub::amqp::Link> for Link {
    fn from(link: azure::hub::amqp::Link) -> Self {
        match link {
            azure::hub::amqp::Link::None => Self::None,
            azure::hub::amqp::Link::Attaching => Self::Attaching,
            azure::hub::amqp::Link::Attached => Self::Attached,
        }
    }
}

/// A refusal that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Refused {
    /// It is not asked again before.
    pub until: UnixMillis,
    /// A fixed word, such as `denied`.
    pub class: String,
    /// What was said.
    pub cause: String,
    /// How often in a row.
    pub times: u32,
}

/// What a message has been through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tried {
    /// Counted attempts.
    pub attempts: u32,
    /// When the first of them ended.
    pub first_attempt_at: Option<UnixMillis>,
    /// Why the last one failed.
    pub last_cause: Option<String>,
}

/// How many were woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Woken {
    /// Devices that were held and are not any more.
    pub woken: usize,
}

impl Device {
    /// Network, application and device.
    pub fn key(&self) -> DeviceKey {
        DeviceKey { network: self.network.clone(), application: self.application.clone(), device: self.device.clone() }
    }
}

/// A device as one word without a space, a control character or a slash too many; reads back by [`read_key`].
pub fn written_key(key: &DeviceKey) -> String {
    Lane::Telemetry(key.clone()).to_string().split_off("t/".len())
}

/// The other way round.
pub fn read_key(text: &str) -> Option<DeviceKey> {
    match Lane::parse(&format!("t/{text}"))? {
        Lane::Telemetry(key) => Some(key),
        Lane::News(_) | Lane::Unsorted { .. } => None,
    }
}

/// PURE: the word for all that is known.
pub fn state(names: &[Named], retry_at: Option<UnixMillis>) -> State {
    let any = |is: fn(&Named) -> bool| names.iter().any(is);
    if retry_at.is_some() || any(|name| name.refused.is_some()) {
        State::Held
    } else if any(|name| name.registering) {
        State::Registering
    } else if any(|name| name.link == Some(Link::Attached)) {
        State::Attached
    } else if any(|name| name.link == Some(Link::Attaching)) {
        State::Attaching
    } else if any(|name| name.hub.is_some()) {
        State::Assigned
    } else {
        State::Unassigned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_a_device_comes_before_where_it_is() {
        let mut name = Named {
            scope: "dps".to_owned(),
            registration_id: "a".to_owned(),
            targets: Vec::new(),
            hub: None,
            device_id: None,
            group_key: None,
            assigned_at: None,
            link: None,
            registering: false,
            refused: None,
        };
        assert_eq!(state(&[], None), State::Unassigned);
        name.hub = Some("hub".to_owned());
        assert_eq!(state(&[name.clone()], None), State::Assigned);
        name.link = Some(Link::Attached);
        assert_eq!(state(&[name.clone()], None), State::Attached);
        name.registering = true;
        assert_eq!(state(&[name.clone()], None), State::Registering);
        assert_eq!(state(&[name.clone()], Some(1)), State::Held);
        let refused = Refused { until: 1, class: "denied".to_owned(), cause: String::new(), times: 1 };
        name.refused = Some(refused);
        assert_eq!(state(&[name], None), State::Held);
    }

    #[test]
    fn a_key_is_one_harmless_word_and_reads_back() {
        let key = DeviceKey {
            network: "ttn".to_owned(),
            application: "a/b c".to_owned(),
            device: "\u{1b}[2J\u{202e}".to_owned(),
        };
        let word = written_key(&key);
        assert_eq!(word, "ttn/a%2Fb%20c/%1B%5B2J%E2%80%AE");
        assert_eq!(read_key(&word), Some(key));
        assert_eq!(read_key("only/two"), None);
    }

    #[test]
    fn states_are_written_as_they_are_said() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }
}
