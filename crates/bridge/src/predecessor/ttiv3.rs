//! PURE: the settings of TTIV3AzureIoTConnector, and what it did with them.
//!
//! It has one hub, or one provisioning service with a group key for each application; both or neither, and it answered 422 to every
//! message, which the network does not send again. An application has to stand in both sections, in the spelling of the network.

use std::collections::{BTreeMap, BTreeSet};

use super::export::Setting;
use super::rules::{Rule, Target, Topic, Understood};
use super::secrets::{self, SecretRef};
use super::settings::Settings;

const HUB: &str = "azureiot:iothub";
const DPS: &str = "azureiot:deviceprovisioningservice";
const CENTRAL: &str = "azureiot:iotcentral";
const NETWORK: &str = "thethingsindustries";

/// The settings that counted, by their names without case.
struct Read<'s>(BTreeMap<String, &'s Setting>);

impl<'s> Read<'s> {
    /// One that says something.
    fn said(&self, name: &str) -> Option<&'s Setting> {
        self.0.get(name).copied().filter(|setting| !setting.is_blank())
    }

    /// There is such a section, be it with nothing in it: that counted.
    fn has(&self, section: &str) -> bool {
        self.0.keys().any(|name| name.starts_with(&format!("{section}:")))
    }

    /// The applications of a section, as they are written.
    fn applications(&self, section: &str) -> BTreeSet<String> {
        let begin = format!("{section}:applications:");
        let of = self.0.iter().filter(|(name, _)| name.starts_with(&begin));
        of.filter_map(|(_, setting)| setting.parts().get(begin.matches(':').count()).cloned()).collect()
    }

    fn of(&self, section: &str, application: &str, what: &str) -> Option<&'s Setting> {
        self.said(&format!("{section}:applications:{}:{what}", application.to_ascii_lowercase()))
    }
}

/// What they come to.
pub(super) fn understand(settings: &Settings) -> Understood {
    let mut understood = Understood::default();
    let read = Read(understood.counted(settings.by_key()));
    let dps = dps(&read, &mut understood);
    let hub = hub(&read, &mut understood);
    both_or_neither(&read, &mut understood);
    let (rules, spare) = if dps.is_empty() { (hub, dps) } else { (dps, hub) };
    unknown_applications(&read, &rules, &mut understood);
    (understood.rules, understood.spare) = (rules, spare);
    map(&read, &mut understood);
    always(&read, &mut understood);
    understood
}

fn both_or_neither(read: &Read<'_>, understood: &mut Understood) {
    match (read.has(DPS), read.has(HUB)) {
        (true, true) => {
            let hubs: Vec<_> = read.0.iter().filter(|(name, _)| name.starts_with(HUB)).map(|(_, s)| *s).collect();
            let says = "with both an IoTHub and a DeviceProvisioningService, be one of them empty, every message was answered with 422 \
                        and lost: the predecessor sent nothing with these settings. The written file takes the provisioning service \
                        where it is complete; the hub stands in it as a comment";
            understood.say_with_mend(
                Topic::Did,
                &hubs,
                says,
                "if the hub is meant, take that comment's # away and the other targets out",
            );
        }
        (false, false) => {
            let says =
                "with neither an IoTHub nor a DeviceProvisioningService every message was answered with 422 and lost";
            understood.say(Topic::Did, &[], says);
        }
        _ => {}
    }
}

/// A target for each application.
fn dps(read: &Read<'_>, understood: &mut Understood) -> Vec<Rule> {
    if !read.has(DPS) {
        return Vec::new();
    }
    let Some(scope) = read.said(&format!("{DPS}:idscope")) else {
        understood.say(
            Topic::Did,
            &[],
            "without AzureIoT:DeviceProvisioningService:IdScope every message was answered with 422 and lost",
        );
        return Vec::new();
    };
    let id_scope = secrets::id_scope(understood, scope);
    let mut rules = Vec::new();
    for written in read.applications(DPS) {
        let application = application(&written, understood);
        let Some(group_key) = read.of(DPS, &written, "groupenrollmentkey") else {
            let says = format!(
                "application `{written}` has no GroupEnrollmentKey: its messages were answered with 422 and lost"
            );
            understood.say_with_mend(Topic::Did, &[], says, "add a target with a group_key for it, and a route");
            continue;
        };
        secrets::check_group_key(understood, group_key);
        let model = read.of(DPS, &written, "dtdlmodelid");
        rules.push(Rule {
            port: None,
            target: Target::Dps {
                is_central: read.has(CENTRAL),
                endpoint: None,
                id_scope: id_scope.clone(),
                group_key: SecretRef::new(group_key, "GROUP_KEY", &application),
                model_id: model.and_then(|model| secrets::model_id(understood, model)),
            },
            application: Some(application),
        });
    }
    rules
}

/// One target for all.
fn hub(read: &Read<'_>, understood: &mut Understood) -> Vec<Rule> {
    if !read.has(HUB) {
        return Vec::new();
    }
    let Some(setting) = read.said(&format!("{HUB}:iothubconnectionstring")) else {
        if !read.has(DPS) {
            understood.say(
                Topic::Did,
                &[],
                "without AzureIoT:IoTHub:IoTHubConnectionString every message was answered with 422 and lost",
            );
        }
        return Vec::new();
    };
    secrets::check_hub(understood, setting);
    let connection_string = SecretRef::new(setting, "HUB_CONNECTION_STRING", "");
    let target = Target::Hub { connection_string, host: secrets::host(setting) };
    let mut rules = Vec::new();
    for written in read.applications(HUB) {
        if let Some(model) = read.of(HUB, &written, "dtdlmodelid") {
            let says = format!("`{}`: a hub without a provisioning service is told no model id", model.name);
            understood.say(Topic::NoEquivalent, &[model], says);
        }
        rules.push(Rule { application: Some(application(&written, understood)), port: None, target: target.clone() });
    }
    rules
}

/// The predecessor compared it letter for letter.
fn application(written: &str, understood: &mut Understood) -> String {
    let id = written.to_ascii_lowercase();
    if id != written {
        let says = format!(
            "application `{written}` never matched: ids of applications are lower case, and here case counts, so its messages were \
             answered with 422 and lost. The route says `{id}`"
        );
        understood.say(Topic::Did, &[], says);
    }
    id
}

/// An application needs an API key and a webhook's id, or its uplinks were refused.
fn unknown_applications(read: &Read<'_>, rules: &[Rule], understood: &mut Understood) {
    let of_network = read.applications(NETWORK);
    let is_whole = |application: &str| {
        let said = |what| read.of(NETWORK, application, what).is_some();
        said("apikey") && said("webhookid")
    };
    let routed: BTreeSet<_> = rules.iter().filter_map(|rule| rule.application.clone()).collect();
    for application in routed.iter().filter(|application| !is_whole(application)) {
        let says = format!(
            "application `{application}` has no ApiKey or no WebhookId below TheThingsIndustries: its uplinks were answered with 422 \
             and lost. longhaul needs neither for uplinks, and has a route for it"
        );
        understood.say(Topic::Did, &[], says);
    }
    for application in of_network.iter().filter(|written| !routed.contains(&written.to_ascii_lowercase())) {
        let says = format!(
            "application `{application}` has no settings of a target: its uplinks were answered with 422 and lost. longhaul has no \
             route for it and keeps them as dead letters, `no_route`"
        );
        understood.say_with_mend(Topic::Did, &[], says, "add a target and a route for it, or leave it so");
    }
}

fn map(read: &Read<'_>, understood: &mut Understood) {
    for (name, setting) in &read.0 {
        let last = name.rsplit(':').next().unwrap_or_default();
        let is_ours = [HUB, DPS].iter().any(|section| name.starts_with(&format!("{section}:")));
        let is_now = match last {
            "iothubconnectionstring" if is_ours => "connection_string of a target",
            "idscope" if is_ours => "id_scope of the targets",
            "groupenrollmentkey" if is_ours => "group_key of a target",
            "dtdlmodelid" if is_ours => "model_id of a target",
            _ if name.starts_with(&format!("{NETWORK}:")) => "nothing yet: it is for downlinks",
            _ if name.starts_with(&format!("{CENTRAL}:")) => "nothing yet: it is for commands",
            _ if super::functions::is_platform(name) => "nothing: the platform's own",
            _ => {
                let known = [
                    "AzureIoT:IoTHub:IoTHubConnectionString",
                    "AzureIoT:DeviceProvisioningService:IdScope",
                    "TheThingsIndustries:WebhookBaseURL",
                ];
                let near = crate::config::nearest(&setting.name, known)
                    .map_or(String::new(), |near| format!(": did you mean `{near}`?"));
                understood.say(Topic::Unread, &[setting], format!("`{}` was never read{near}", setting.name));
                continue;
            }
        };
        understood.map(setting, is_now);
    }
}

/// True of every installation.
fn always(read: &Read<'_>, understood: &mut Understood) {
    if read.has(CENTRAL) {
        let says = "AzureIoT:IoTCentral:Methods (port, confirmed, priority, queue of commands): downlinks are not carried yet. Commands \
                    stay unanswered, so keep the predecessor until they are, if you send any";
        understood.say(Topic::NoEquivalent, &[], says);
    }
    if read.has(NETWORK) {
        let says = "API keys and webhook ids are for downlinks, which are not carried yet";
        understood.say(Topic::NoEquivalent, &[], says);
    }
    let says = "a device was remembered by its id alone: two devices with one id in two applications were one, and the first that sent \
                gave its key and identity to both. longhaul keeps them apart: at one target the first to send owns the name, the other \
                becomes a dead letter, `identity_conflict`";
    understood.say(Topic::Identity, &[], says);
    let says = "each device keeps its registration id (its id at the network) and its key, so that IoT Hub and IoT Central keep the \
                device and its history";
    understood.say(Topic::Identity, &[], says);
    let says =
        "an error of Azure's was answered with 422, and the message was lost; MAC-only messages were 422 as well";
    understood.say(Topic::Did, &[], says);
    let says = "the body says `ReceivedAtUTC` where it said `ReceivedAtUtc`, and the property `Port` is with a capital letter; `Counter` \
                is new";
    understood.say(Topic::Consumers, &[], says);
    let says = "the webhooks of the applications go to /api/Uplink and its kin, which longhaul has not: in the console set the base URL \
                to https://YOUR-HOST/tts, the paths of the events to nothing, and keep the header with the key";
    let mend = "put the function key (x-functions-key, or code= in the address) into LONGHAUL_WEBHOOK_KEY, and send it as a header";
    understood.say_with_mend(Topic::Network, &[], says, mend);
}
