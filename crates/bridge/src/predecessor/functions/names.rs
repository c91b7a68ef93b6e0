//! PURE: what a setting is by its name, and what is said of those that were never read.

use super::Scope;
use crate::config::nearest;
use crate::predecessor::export::Setting;
use crate::predecessor::family::Family;
use crate::predecessor::rules::{Topic, Understood};
use crate::predecessor::settings::key;

/// What a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Hub,
    IdScope,
    GroupKey,
    Endpoint,
    PollingDelay,
    KeyVault,
    Queue,
    DownlinkQueue,
    Storage,
}

/// What, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) what: What,
    pub(super) scope: Scope,
}

/// Settings that are for all, in the spelling that was read: `Globa` is no slip of this program.
const PLAIN: [(&str, What); 6] = [
    ("DPSGlobaDeviceEndpoint", What::Endpoint),
    ("DeviceProvisioningPollingDelay", What::PollingDelay),
    ("KeyVaultURI", What::KeyVault),
    ("UplinkQueueName", What::Queue),
    ("DownlinkQueueName", What::DownlinkQueue),
    ("AzureStorageConnectionString", What::Storage),
];

/// Settings that end with `Default`, `-APPLICATION` or `-APPLICATION-PORT`.
const SCOPED: [(&str, What); 3] = [
    ("AzureIotHubConnectionString", What::Hub),
    ("DPSIDScope", What::IdScope),
    ("DPSEnrollmentGroupSymmetricKey", What::GroupKey),
];

/// The platform's own settings, by how they begin.
const PLATFORM: [&str; 16] = [
    "azurewebjobs",
    "functions_",
    "applicationinsights_",
    "appinsights_",
    "website_",
    "websites_",
    "scm_",
    "azurefunctions",
    "logging:",
    "host:",
    "connectionstrings:",
    "diagnostics_",
    "xdt_",
    "msdeploy_",
    "ftp_",
    "slot_",
];

/// The application at the end of a name that nobody has.
const SLIP: &str = "default";

/// What it is; says of one that was never read why not.
pub(super) fn name<'s>(
    setting: &'s Setting,
    family: Family,
    understood: &mut Understood,
) -> Option<(Name, &'s Setting)> {
    let key = key(&setting.name);
    let plain = PLAIN.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key));
    if let Some((written, what)) = plain {
        if *written != setting.name {
            case(setting, written, understood);
        }
        return Some((Name { what: *what, scope: Scope::Default }, setting));
    }
    let scoped = SCOPED.iter().find(|(begin, _)| key.starts_with(&begin.to_ascii_lowercase()));
    let Some((begin, what)) = scoped else {
        unread(setting, &key, understood);
        return None;
    };
    let scope = scope(setting, begin, *what, family, understood)?;
    Some((Name { what: *what, scope }, setting))
}

fn case(setting: &Setting, written: &str, understood: &mut Understood) {
    let says = format!("`{}` is spelt `{written}`; case did not matter there, so it was read", setting.name);
    understood.say(Topic::Did, &[setting], says);
}

fn scope(setting: &Setting, begin: &str, what: What, family: Family, understood: &mut Understood) -> Option<Scope> {
    let rest = &setting.name[begin.len()..];
    if !setting.name.starts_with(begin) {
        case(setting, begin, understood);
    }
    if family == Family::First {
        return first_scope(setting, rest, what, understood);
    }
    if rest.eq_ignore_ascii_case("Default") {
        return Some(Scope::Default);
    }
    let Some(rest) = rest.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
        let says = format!(
            "`{}` was never read: the V2 processor reads `{begin}Default`, `{begin}-APPLICATION` and `{begin}-APPLICATION-PORT`",
            setting.name
        );
        let mend = "if this is the first processor's, give --from first; else it is stale";
        understood.say_with_mend(Topic::Unread, &[setting], says, mend);
        return None;
    };
    let scope =
        match rest.rsplit_once('-').and_then(|(application, port)| Some((application, port.parse::<u8>().ok()?))) {
            Some((application, port @ 1..)) if !application.is_empty() => {
                let application = application_id(setting, application, understood);
                let says = format!("`{}` is read as application `{application}`, port {port}", setting.name);
                let mend = "if the application's id itself ends so, make one route without a port of it";
                understood.say_with_mend(Topic::Did, &[setting], says, mend);
                Scope::Port(application, port)
            }
            _ => Scope::Application(application_id(setting, rest, understood)),
        };
    if scope == Scope::Application(SLIP.to_owned()) {
        let says = format!(
            "`{}` was read for an application called `default` alone; the default is `{begin}Default`",
            setting.name
        );
        understood.say_with_mend(
            Topic::Mistake,
            &[setting],
            says,
            "if it was meant for all, add a route without an application",
        );
    }
    Some(scope)
}

/// The first processor has one scope for all, and a group key for each application.
fn first_scope(setting: &Setting, rest: &str, what: What, understood: &mut Understood) -> Option<Scope> {
    match (what, rest) {
        (What::IdScope, "") => return Some(Scope::Default),
        (What::GroupKey, rest) if rest.eq_ignore_ascii_case("Default") => return Some(Scope::Default),
        (What::GroupKey, rest) if rest.len() > 1 && rest.starts_with('-') => {
            return Some(Scope::Application(application_id(setting, &rest[1..], understood)));
        }
        _ => {}
    }
    let says = format!("`{}` was never read: the first processor knows no such setting", setting.name);
    let mend = "if this is the V2 processor's, give --from v2; else it is stale";
    understood.say_with_mend(Topic::Unread, &[setting], says, mend);
    None
}

/// As the network writes it. The predecessor did not mind case, longhaul's routes do.
fn application_id(setting: &Setting, written: &str, understood: &mut Understood) -> String {
    let id = written.to_ascii_lowercase();
    if id != written {
        let says = format!(
            "`{}` names application `{written}`; ids of applications are lower case, and case did not matter there: the route says `{id}`",
            setting.name
        );
        understood.say(Topic::Did, &[setting], says);
    }
    id
}

fn unread(setting: &Setting, key: &str, understood: &mut Understood) {
    if is_platform(key) {
        return understood.map(setting, "nothing: the platform's own");
    }
    let known = PLAIN.iter().map(|(name, _)| *name).chain([
        "DPSIDScopeDefault",
        "DPSEnrollmentGroupSymmetricKeyDefault",
        "AzureIotHubConnectionStringDefault",
    ]);
    let near = nearest(&setting.name, known);
    let says = format!("`{}` was never read", setting.name);
    match near {
        Some(near) => understood.say_with_mend(
            Topic::Unread,
            &[setting],
            format!("{says}: the predecessor reads `{near}`, so it went on without"),
            "if its value was meant, write it into the new file",
        ),
        None => understood.say(Topic::Unread, &[setting], says),
    }
}

/// Whether a setting, without case, is one of the platform's own.
pub(in crate::predecessor) fn is_platform(key: &str) -> bool {
    PLATFORM.iter().any(|begin| key.starts_with(begin))
}

/// A function of an app that is disabled.
pub(super) fn switches_off(setting: &Setting) -> bool {
    let key = key(&setting.name);
    let is_on = |text: &str| matches!(text.trim().to_ascii_lowercase().as_str(), "1" | "true");
    key.starts_with("azurewebjobs.")
        && key.ends_with(".disabled")
        && setting.text.as_ref().is_some_and(|text| is_on(text.expose()))
}
