//! Who is let in, and as what.
//!
//! ```text
//! 1  not MQTT 3.1.1               2  the client id is not that of the user name
//! 3  throttled, or away           4  no user name, or a device without a password
//! 5  whoever cannot be believed: unknown hub, unknown or disabled device, bad or expired token
//! ```
//!
//! Promises: a device is let in with a token that is good for it; a registration is let in with any, and looked at when it
//! asks (MicrosoftDocs/azure-docs#43157). Only a device that is let in takes the place of an earlier connection.

use std::time::Duration;

use super::answer::{self, Code};
use super::c2d::InFlight;
use super::packet::{Connect, Publish, Qos};
use super::session::Session;
use super::subscriptions::{self, Family, Subscriptions};
use super::topic::{self, ToHub};
use super::who::{self, Who};
use crate::cloud::{Cloud, Sender};
use crate::driver::{Fate, Scene};
use crate::endpoint::Endpoint;
use crate::faults::Outage;

/// However long a client says that it may be silent, this is as long as the hub waits, also where it does not say.
const PATIENCE_MAX: Duration = Duration::from_secs(1767);

/// Who is at the other end.
pub(super) struct Client {
    pub(super) party: Party,
    pub(super) subscriptions: Subscriptions,
    /// For so long it may be silent.
    pub(super) patience: Duration,
    pub(super) will: Option<Publish>,
}

pub(super) enum Party {
    Device(Device),
    Registration(Registration),
}

/// A device or module that was let in.
pub(super) struct Device {
    pub(super) endpoint: Endpoint,
    pub(super) sender: Sender,
    pub(super) expires_ms: i64,
    pub(super) in_flight: InFlight,
    /// There may be messages to it.
    pub(super) has_c2d: bool,
}

/// Somebody who wants to be registered.
pub(super) struct Registration {
    pub(super) scope: String,
    pub(super) id: String,
    pub(super) api_version: Option<String>,
    pub(super) token: Option<String>,
}

impl Client {
    /// What a filter is for, if it is this client's to ask for.
    pub(super) fn family(&self, filter: &str) -> Option<Family> {
        match &self.party {
            Party::Device(Device { endpoint, .. }) => {
                subscriptions::of_hub(filter, &endpoint.device, endpoint.module.is_some())
            }
            Party::Registration(_) => subscriptions::of_dps(filter),
        }
    }

    pub(super) fn expires_ms(&self) -> Option<i64> {
        self.device().map(|device| device.expires_ms)
    }

    pub(super) fn device(&self) -> Option<&Device> {
        match &self.party {
            Party::Device(device) => Some(device),
            Party::Registration(_) => None,
        }
    }
}

impl Device {
    /// The bag of a topic of its telemetry.
    pub(super) fn telemetry_bag<'t>(&self, topic: &'t str) -> Option<&'t str> {
        match topic::to_hub(topic, &self.endpoint.device, self.endpoint.module.as_deref()) {
            Some(ToHub::Telemetry { bag }) => Some(bag),
            _ => None,
        }
    }
}

impl Session {
    pub(super) fn connect(&mut self, connect: Connect, scene: Scene<'_>) {
        if let Some(code) = scene.cloud.mqtt_connack(&connect.client_id) {
            return self.refuse(Code(code), Duration::ZERO, scene);
        }
        let party = party(&connect, scene.cloud);
        let is_of_dps = matches!(party, Ok(Party::Registration(_)));
        let weather = if is_of_dps { scene.cloud.dps_weather() } else { scene.cloud.hub_weather() };
        match weather.outage {
            Some(Outage::Unavailable) => return self.refuse(Code::UNAVAILABLE, weather.delay, scene),
            Some(Outage::Close) => return self.meet(Fate::Cut, "outage", scene),
            Some(Outage::Hang) => return self.meet(Fate::Silent, "outage", scene),
            None => {}
        }
        match party {
            Ok(party) => self.let_in(party, connect, weather.delay, scene),
            Err(code) => self.refuse(code, weather.delay, scene),
        }
    }

    fn let_in(&mut self, party: Party, connect: Connect, delay: Duration, scene: Scene<'_>) {
        let mut client = Client {
            party,
            subscriptions: Subscriptions::default(),
            patience: patience(connect.keep_alive_s),
            will: connect.will,
        };
        if let Some(will) = &client.will {
            let is_telemetry = client.device().is_some_and(|device| device.telemetry_bag(&will.topic).is_some());
            if !is_telemetry || will.qos == Qos::Two {
                return self.end("will", scene);
            }
        }
        let kept = client.device().and_then(|device| {
            scene.cloud.own(&device.endpoint, self.id);
            scene.cloud.mqtt_resume(&device.endpoint, connect.is_clean)
        });
        let has_session = kept.is_some();
        client.subscriptions.resume(kept.unwrap_or_default());
        self.client = Some(Box::new(client));
        scene.cloud.count_connect(Code::ACCEPTED.0);
        self.put(delay, scene, |out| answer::connack(out, has_session, Code::ACCEPTED));
        self.listens(scene);
    }

    pub(super) fn is_device(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.device().is_some())
    }
}

/// One and a half times what the client says.
fn patience(keep_alive_s: u16) -> Duration {
    let said = Duration::from_millis(u64::from(keep_alive_s) * 1500);
    if said.is_zero() { PATIENCE_MAX } else { said.min(PATIENCE_MAX) }
}

fn party(connect: &Connect, cloud: &Cloud) -> Result<Party, Code> {
    let user_name = connect.user_name.as_deref().ok_or(Code::BAD_CREDENTIALS)?;
    let token = connect.password.as_deref().map(|password| String::from_utf8_lossy(password).into_owned());
    match who::read(user_name, |host| cloud.hub_named(host).is_some()).ok_or(Code::NOT_AUTHORIZED)? {
        Who::Registration { scope, id, api_version } => {
            if connect.client_id != id {
                return Err(Code::IDENTIFIER_REJECTED);
            }
            Ok(Party::Registration(Registration { scope: scope.to_owned(), id: id.to_owned(), api_version, token }))
        }
        Who::Device { host, device, module, model_id } => {
            let hub = cloud.hub_named(host).ok_or(Code::NOT_AUTHORIZED)?;
            let endpoint = Endpoint { hub, device: device.to_owned(), module: module.map(str::to_owned) };
            if connect.client_id != endpoint.to_string() {
                return Err(Code::IDENTIFIER_REJECTED);
            }
            let token = token.filter(|token| !token.is_empty()).ok_or(Code::BAD_CREDENTIALS)?;
            admit(endpoint, &token, model_id, cloud).map(Party::Device)
        }
    }
}

fn admit(endpoint: Endpoint, token: &str, model_id: Option<String>, cloud: &Cloud) -> Result<Device, Code> {
    if let Some(refusal) = cloud.refusal(&endpoint) {
        match refusal.status {
            429 | 500.. => return Err(Code::UNAVAILABLE),
            // The day's messages are used up: that is said of messages.
            403 if refusal.code == super::hub::QUOTA => {}
            401 | 403 | 404 => return Err(Code::NOT_AUTHORIZED),
            _ => {}
        }
    }
    let grant = cloud.put_token(endpoint.hub, token).map_err(|_| Code::NOT_AUTHORIZED)?;
    let key = grant.opens(&endpoint).ok_or(Code::NOT_AUTHORIZED)?;
    cloud.standing(&endpoint).map_err(|_| Code::NOT_AUTHORIZED)?;
    Ok(Device {
        endpoint,
        sender: Sender { key, model_id },
        expires_ms: grant.expires_ms,
        in_flight: InFlight::default(),
        has_c2d: false,
    })
}
