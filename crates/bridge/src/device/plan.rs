//! PURE: what a queued message is to become. The same answer for the device worker and for `longhaul explain`.

use std::sync::Arc;

use azure::hub::Unsendable;
use lorawan::envelope::Format;
use lorawan::event::EventKind;
use queue::{Message, Reason};

use crate::config::{Config, Route, Target, TargetKind};
use crate::feed::journeys::{self, Stamps};
use crate::feed::radio::Frame;
use crate::head::Head;
use crate::identity::{self, Name, Unnamed};
use crate::lane::DeviceKey;
use crate::reason::reason;
use crate::route;
use crate::uplink::{self, Style, Telemetry};

/// What a message is to become, and what was read of it on the way there.
#[derive(Debug)]
pub struct Planned {
    /// Who sent it, where it says so.
    pub owner: Option<Arc<DeviceKey>>,
    /// How it came through the air, of an uplink that can be read.
    pub frame: Option<Frame>,
    /// What is to be done.
    pub plan: Plan,
}

/// What is to be done with a message.
#[derive(Debug)]
pub enum Plan {
    /// Of no use to Azure: kept, and counted under this word.
    Keep(&'static str),
    /// It can never be sent as it is.
    Bury(Reason),
    /// This route drops it on purpose: settled, and counted.
    Drop(String),
    /// Telemetry for IoT Hub.
    Send(Box<Outbound>),
}

/// Telemetry with its way: route, target and identity as they are frozen at the first attempt.
#[derive(Debug)]
pub struct Outbound {
    /// Who sent it.
    pub owner: Arc<DeviceKey>,
    /// Where it goes and under which name.
    pub way: Arc<Way>,
    /// The way's target, as it stood when this was decided.
    pub target: Arc<Target>,
    /// What IoT Hub shall see.
    pub telemetry: Telemetry,
    /// [`journeys::correlations`]
    pub correlations: Box<[u64]>,
    /// When it was where; whoever carries it fills them in.
    pub stamps: Stamps,
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
pub fn plan(message: &Message, config: &Config) -> Planned {
    let (mut owner, mut frame) = (None, None);
    let plan = decide(message, config, &mut owner, &mut frame).unwrap_or_else(Plan::Bury);
    Planned { owner, frame, plan }
}

fn decide(
    message: &Message,
    config: &Config,
    known: &mut Option<Arc<DeviceKey>>,
    frame: &mut Option<Frame>,
) -> Result<Plan, Reason> {
    let head = Head::read(&message.head).map_err(|e| reason("not_understood", &e))?;
    let owner = DeviceKey::of(&head).ok_or_else(|| reason("no_identity", "the message names no device"))?;
    let owner = known.insert(Arc::new(owner)).clone();
    let Some(kind) = EventKind::from_word(&message.kind) else {
        return Err(reason("not_understood", &format!("`{}` is no kind of event", message.kind)));
    };
    if kind != EventKind::UplinkMessage {
        return Ok(Plan::Keep(kind.as_str()));
    }
    let format = Format::from_word(&head.format)
        .ok_or_else(|| reason("not_understood", &format!("`{}` is no format of an uplink", head.format)))?;
    let uplink = lorawan::uplink::read(format, &message.body).map_err(|e| reason("not_understood", &e))?;
    *frame = Some(Frame::of(&uplink, message.accepted_at));
    if !uplink::is_of_use(&uplink) {
        return Ok(Plan::Keep("mac_only"));
    }
    let way = match &message.frozen {
        Some(frozen) => serde_json::from_slice(frozen).map_err(|e| reason("damaged", &e))?,
        None => {
            let route = find_route(config, &owner, uplink.f_port)?;
            match route.target() {
                Some(target) => find_way(config, target, &owner, head.dev_eui.as_deref())?,
                None => return Ok(Plan::Drop(route.to_string())),
            }
        }
    };
    let target = target(config, &way)?;
    let style = Style { central: matches!(&target.kind, TargetKind::Dps(dps) if dps.central) };
    let telemetry = uplink::telemetry(&uplink, &owner.network, message.accepted_at, style);
    telemetry.message.check().map_err(|e| match e {
        Unsendable::TooLarge(_) => reason("too_large", &e),
        _ => reason("rejected", &e),
    })?;
    let stamps = Stamps { accepted_at: message.accepted_at, ..Stamps::default() };
    let correlations = journeys::correlations(&uplink);
    Ok(Plan::Send(Box::new(Outbound { owner, way: Arc::new(way), target, telemetry, correlations, stamps })))
}

/// The route of a device's messages.
///
/// # Errors
/// `no_route`.
pub fn find_route<'a>(config: &'a Config, owner: &DeviceKey, f_port: Option<u64>) -> Result<&'a Route, Reason> {
    route::choose(&config.routes, &owner.application, f_port).ok_or_else(|| {
        let detail = format!("no route takes application `{}`; add one, or a default route", owner.application);
        reason("no_route", &detail)
    })
}

/// The way of a device to a target: its scope and its name there.
///
/// # Errors
/// `no_dev_eui`, `bad_registration_id`.
pub fn find_way(config: &Config, target_name: &str, owner: &DeviceKey, dev_eui: Option<&str>) -> Result<Way, Reason> {
    let target = config.targets.get(target_name).expect("routes are checked to name targets that exist");
    let name = identity::name(target_name, target, owner, dev_eui).map_err(|e| match e {
        Unnamed::NoDevEui { .. } => reason("no_dev_eui", &e),
        Unnamed::Refused { .. } => reason("bad_registration_id", &e),
    })?;
    Ok(Way { target: target_name.to_owned(), scope: name.scope, id: name.id })
}

/// The target of a way. A frozen way holds on to the scope and the name that it was tried under: where the target leads
/// elsewhere by now, the message must not go out under whatever name is there.
fn target(config: &Config, way: &Way) -> Result<Arc<Target>, Reason> {
    let target = config.targets.get(&way.target).filter(|target| identity::is_of(&way.name(), target));
    target.cloned().ok_or_else(|| {
        let detail = format!(
            "it was tried as `{}` ({}) at target `{}`, which is not in the configuration any more; \
             put it back, or replay it to where its route leads now",
            way.id, way.scope, way.target
        );
        reason("target_gone", &detail)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use queue::{Place, Put, Seq};

    use super::*;
    use crate::config::Destination;

    fn config(id_scope: &str) -> Config {
        let key = "A".repeat(86) + "==";
        let text = format!(
            "[targets.main]\nkind = \"dps\"\nid_scope = \"{id_scope}\"\ngroup_key = \"{key}\"\n[[routes]]\ntarget = \"main\"\n"
        );
        let no_files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        crate::config::read(&text, &[], Path::new(""), &no_files).expect("usable").config
    }

    fn message() -> Message {
        let owner = ("building".to_owned(), "dev-1".to_owned());
        let head = Head {
            network: "ttn".to_owned(),
            application: Some(owner.0),
            device: Some(owner.1),
            format: Format::TtsV3.as_str().to_owned(),
            ..Head::default()
        };
        let body = br#"{"end_device_ids":{"device_id":"dev-1","application_ids":{"application_id":"building"}},
            "uplink_message":{"f_port":1,"f_cnt":2,"frm_payload":"AQI="}}"#;
        let put = Put {
            lane: "t/ttn/building/dev-1".to_owned(),
            kind: EventKind::UplinkMessage.as_str().to_owned(),
            head: head.to_bytes(),
            body: body.to_vec(),
            accepted_at: 0,
            place: Place::Lane,
        };
        put.into_message(Seq(1))
    }

    fn way(planned: Planned) -> Way {
        match planned.plan {
            Plan::Send(outbound) => (*outbound.way).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_route_that_drops_takes_what_is_not_tried_yet() {
        let mut config = config("0ne00AAAAAA");
        let tried = way(plan(&message(), &config));
        let drop = Route { application: Some("building".to_owned()), port: None, destination: Destination::Drop };
        config.routes.push(drop);
        assert!(matches!(plan(&message(), &config).plan, Plan::Drop(route) if route == "building"));
        let frozen = Message { frozen: serde_json::to_vec(&tried).ok(), ..message() };
        assert_eq!(way(plan(&frozen, &config)), tried);
    }

    #[test]
    fn a_frozen_message_never_goes_where_its_target_was_moved_to() {
        let tried = way(plan(&message(), &config("0ne00AAAAAA")));
        let frozen = Message { frozen: serde_json::to_vec(&tried).ok(), ..message() };
        assert_eq!(way(plan(&frozen, &config("0ne00AAAAAA"))), tried, "as long as the target stays");
        match plan(&frozen, &config("0ne00BBBBBB")).plan {
            Plan::Bury(reason) => assert_eq!(reason.code, "target_gone"),
            other => panic!("{other:?}"),
        }
        assert_ne!(way(plan(&message(), &config("0ne00BBBBBB"))).scope, tried.scope, "one not tried yet goes there");
    }
}
