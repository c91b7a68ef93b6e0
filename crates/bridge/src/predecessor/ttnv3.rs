//! PURE: the settings of TTNV3AzureIoTConnector, and what it did with them.
//!
//! Each application has its own hub or provisioning service; with both, the hub's connection was made and then replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::export::Setting;
use super::rules::{Rule, Target, Topic, Understood};
use super::secrets::{self, SecretRef};
use super::settings::Settings;

const APPLICATIONS: &str = "programsettings:applications";
const NETWORK: &str = "programsettings:thethingsindustries";
/// Where an application's name stands among the parts of a setting's.
const APPLICATION_PART: usize = 2;

/// The settings that counted, by their names without case.
struct Read<'s>(BTreeMap<String, &'s Setting>);

impl<'s> Read<'s> {
    fn of(&self, application: &str, what: &str) -> Option<&'s Setting> {
        let name = format!("{APPLICATIONS}:{}:{what}", application.to_ascii_lowercase());
        self.0.get(&name).copied().filter(|setting| !setting.is_blank())
    }

    fn applications(&self) -> BTreeSet<String> {
        let of = self.0.iter().filter(|(name, _)| name.starts_with(&format!("{APPLICATIONS}:")));
        of.filter_map(|(_, setting)| setting.parts().get(APPLICATION_PART).cloned()).collect()
    }
}

/// What they come to.
pub(super) fn understand(settings: &Settings) -> Understood {
    let mut understood = Understood::default();
    let read = Read(understood.counted(settings.by_key()));
    for written in read.applications() {
        application(&read, &written, &mut understood);
    }
    map(&read, &mut understood);
    always(&read, &mut understood);
    understood
}

fn application(read: &Read<'_>, written: &str, understood: &mut Understood) {
    let id = written.to_ascii_lowercase();
    if id != written {
        let says = format!("application `{written}`: ids of applications are lower case; the route says `{id}`");
        understood.say(Topic::Did, &[], says);
    }
    let hub = read.of(written, "azuresettings:iothubconnectionstring");
    let dps = dps(read, written, &id, understood);
    let hub_rule = hub.map(|hub| {
        secrets::check_hub(understood, hub);
        let connection_string = SecretRef::new(hub, "HUB_CONNECTION_STRING", &id);
        let target = Target::Hub { connection_string, host: secrets::host(hub) };
        Rule { application: Some(id.clone()), port: None, target }
    });
    match (dps, hub_rule, hub) {
        (Some(dps), Some(spare), Some(hub)) => {
            let says = format!(
                "`{}` had no effect: the provisioning service of `{written}` replaced the connection to the hub. The written file keeps \
                 it so; the hub stands in it as a comment",
                hub.name
            );
            understood.say(Topic::Shadowed, &[hub], says);
            understood.rules.push(dps);
            understood.spare.push(spare);
        }
        (Some(rule), ..) | (None, Some(rule), _) => understood.rules.push(rule),
        (None, None, _) => {
            let says = format!(
                "application `{written}` has neither a hub's connection string nor both an IdScope and a GroupEnrollmentKey: its devices \
                 were not connected, and their uplinks lost. longhaul has no route for it and keeps them as dead letters, `no_route`"
            );
            understood.say_with_mend(Topic::Did, &[], says, "add a target and a route for it, or leave it so");
        }
    }
}

/// Complete, or none.
fn dps(read: &Read<'_>, written: &str, id: &str, understood: &mut Understood) -> Option<Rule> {
    let of = |what: &str| read.of(written, &format!("azuresettings:deviceprovisioningservicesettings:{what}"));
    let (id_scope, group_key) = (of("idscope")?, of("groupenrollmentkey")?);
    secrets::check_group_key(understood, group_key);
    let model = read.of(written, "dtdlmodelid");
    let is_central = read.0.keys().any(|name| name.starts_with(&format!("{APPLICATIONS}:{id}:methodsettings:")));
    let target = Target::Dps {
        is_central,
        endpoint: None,
        id_scope: secrets::id_scope(understood, id_scope),
        group_key: SecretRef::new(group_key, "GROUP_KEY", id),
        model_id: model.and_then(|model| secrets::model_id(understood, model)),
    };
    Some(Rule { application: Some(id.to_owned()), port: None, target })
}

fn map(read: &Read<'_>, understood: &mut Understood) {
    for (name, setting) in &read.0 {
        let last = name.rsplit(':').next().unwrap_or_default();
        let is_now = match last {
            _ if name.contains(":methodsettings:") => "nothing yet: it is for commands",
            "iothubconnectionstring" => "connection_string of a target",
            "idscope" => "id_scope of a target",
            "groupenrollmentkey" => "group_key of a target",
            "dtdlmodelid" => "model_id of a target",
            "deviceintegrationdefault" => "nothing: all devices of a route are carried",
            "mqttaccesskey" => "nothing: the network posts to a webhook",
            _ if name.starts_with(&format!("{NETWORK}:")) => "nothing: the network posts to a webhook",
            _ if super::functions::is_platform(name) => "nothing: the platform's own",
            _ => {
                understood.say(Topic::Unread, &[setting], format!("`{}` was never read", setting.name));
                continue;
            }
        };
        understood.map(setting, is_now);
    }
}

/// True of every installation.
fn always(read: &Read<'_>, understood: &mut Understood) {
    let is_off = |setting: &&&Setting| {
        setting.text.as_ref().is_some_and(|text| text.expose().trim().eq_ignore_ascii_case("false"))
    };
    let of = read.0.iter().filter(|(name, _)| name.ends_with(":deviceintegrationdefault")).map(|(_, setting)| setting);
    let opted: Vec<&Setting> = of.filter(is_off).copied().collect();
    if !opted.is_empty() {
        let says =
            "only devices with the attribute `azureintegration` were carried; longhaul carries all devices of a route";
        understood.say(Topic::NoEquivalent, &opted, says);
    }
    if read.0.keys().any(|name| name.contains(":methodsettings:")) {
        let says = "MethodSettings (port, confirmed, priority, queue of commands): downlinks are not carried yet. Commands stay \
                    unanswered, so keep the predecessor until they are, if you send any";
        understood.say(Topic::NoEquivalent, &[], says);
    }
    let says =
        "a device's attribute `dtdlmodelid` went before its application's DtdlModelId; a target has one model_id";
    understood.say(Topic::NoEquivalent, &[], says);
    let says =
        "a device that was added after the start was ignored until the next one, and an uplink that failed was lost";
    understood.say(Topic::Did, &[], says);
    let says = "a device was remembered by its id alone: of two devices with one id in two applications the first to register gave \
                its identity to both. longhaul keeps them apart: at one target the first to send owns the name, the other becomes a dead \
                letter, `identity_conflict`";
    understood.say(Topic::Identity, &[], says);
    let says = "each device keeps its registration id (its id at the network) and its key, so that IoT Hub and IoT Central keep the \
                device and its history";
    understood.say(Topic::Identity, &[], says);
    let says = "the predecessor subscribed over MQTT; longhaul is posted to: in the console add a webhook to each application, format \
                JSON, base URL https://YOUR-HOST/tts, header Authorization: Bearer KEY, event uplink message";
    understood.say_with_mend(Topic::Network, &[], says, "make up a key and put it into LONGHAUL_WEBHOOK_KEY");
}
