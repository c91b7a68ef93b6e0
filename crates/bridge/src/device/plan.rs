//! PURE: what a queued message is to become. The same answer for the device worker and for `longhaul explain`.

use lorawan::event::EventKind;
use queue::{Message, Reason, UnixMillis};

use crate::config::{Config, Target, TargetKind};
use crate::head::Head;
use crate::identity::{self, Name, Owner, Unnamed};
use crate::route;
use crate::uplink::{self, Style, Telemetry};

/// IoT Hub takes 256 KiB: body, system properties, names and values of application properties together
/// (azure-docs, iot-hub-devguide-messages-construct).
const MESSAGE_MAX: usize = 262_144;

/// What is to be done with a message.
#[derive(Debug)]
pub enum Plan {
    /// Of no use to Azure: kept, and counted under this word.
    Keep(&'static str),
    /// It can never be sent as it is.
    Bury(Reason),
    /// Telemetry for IoT Hub.
    Send(Box<Outbound>),
}

/// Telemetry with its way: route, target and identity as they are frozen at the first attempt.
#[derive(Debug)]
pub struct Outbound {
    /// Who sent it.
    pub owner: Owner,
    /// Where it goes and under which name.
    pub way: Way,
    /// What IoT Hub shall see.
    pub telemetry: Telemetry,
}

/// Route, target and identity of a message.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Way {
    /// Name of the target in the configuration.
    pub target: String,
    /// [`Name::scope`].
    pub scope: String,
    /// [`Name::id`].
    pub id: String,
}

impl Way {
    /// The name at the target.
    pub fn name(&self) -> Name {
        Name { scope: self.scope.clone(), id: self.id.clone() }
    }
}

/// Decides on a message.
pub fn plan(message: &Message, config: &Config) -> Plan {
    decide(message, config).unwrap_or_else(Plan::Bury)
}

fn decide(message: &Message, config: &Config) -> Result<Plan, Reason> {
    let head = Head::read(&message.head).map_err(|e| reason("not_understood", &e))?;
    let owner = Owner::of(&head).ok_or_else(|| reason("no_identity", "the message names no device"))?;
    let Some(kind) = EventKind::from_word(&message.kind) else {
        return Err(reason("not_understood", &format!("`{}` is no kind of event", message.kind)));
    };
    if kind != EventKind::UplinkMessage {
        return Ok(Plan::Keep(kind.word()));
    }
    let uplink = lorawan::uplink::read(head.format, &message.body).map_err(|e| reason("not_understood", &e))?;
    let way = match &message.frozen {
        Some(frozen) => serde_json::from_slice(frozen).map_err(|e| reason("damaged", &e))?,
        None => find_way(config, &owner, uplink.f_port, head.dev_eui.as_deref())?,
    };
    let target = target(config, &way)?;
    let style = Style { central: matches!(&target.kind, TargetKind::Dps(dps) if dps.central) };
    let Some(telemetry) = uplink::telemetry(&uplink, &owner.network, message.accepted_at, style) else {
        return Ok(Plan::Keep("mac_only"));
    };
    check_size(&telemetry)?;
    Ok(Plan::Send(Box::new(Outbound { owner, way, telemetry })))
}

fn find_way(config: &Config, owner: &Owner, f_port: Option<u8>, dev_eui: Option<&str>) -> Result<Way, Reason> {
    let route = route::choose(&config.routes, &owner.application, f_port).ok_or_else(|| {
        let detail = format!("no route takes application `{}`; add one, or a default route", owner.application);
        reason("no_route", &detail)
    })?;
    let target = config.targets.get(&route.target).expect("routes are checked to name targets that exist");
    let name = identity::name(&route.target, target, owner, dev_eui).map_err(|e| match e {
        Unnamed::NoDevEui { .. } => reason("no_dev_eui", &e),
        Unnamed::Refused { .. } => reason("bad_registration_id", &e),
    })?;
    Ok(Way { target: route.target.clone(), scope: name.scope, id: name.id })
}

fn target<'a>(config: &'a Config, way: &Way) -> Result<&'a Target, Reason> {
    config.targets.get(&way.target).ok_or_else(|| {
        let detail = format!("its target `{}` is no longer in the configuration; put it back and replay", way.target);
        reason("target_gone", &detail)
    })
}

fn check_size(telemetry: &Telemetry) -> Result<(), Reason> {
    let system = telemetry.message_id.len() + telemetry.content_type.len() + telemetry.content_encoding.len();
    let properties: usize = telemetry.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    let size = telemetry.body.len() + system + properties + telemetry.creation_time.len();
    if size > MESSAGE_MAX {
        return Err(reason("too_large", &format!("{size} bytes; IoT Hub takes {MESSAGE_MAX}")));
    }
    Ok(())
}

/// A reason with its fixed word.
pub fn reason(code: &str, detail: &(impl std::fmt::Display + ?Sized)) -> Reason {
    Reason { code: code.to_owned(), detail: detail.to_string() }
}
