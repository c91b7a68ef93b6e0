//! PURE: the settings of the first processor and of the V2 processor, and what those did with them.
//!
//! Both read a key vault over the app's own settings, without case. The V2 processor looks for a hub's connection string first
//! (application and port, application, default), and only where it finds none for an id scope and a group key, each by itself in
//! the same order. What a message is remembered by is another matter: see [`identities`].

use std::collections::{BTreeMap, BTreeSet};

use super::export::Setting;
use super::family::Family;
use super::rules::{Rule, Target, Topic, Understood};
use super::secrets::{self, SecretRef};
use super::settings::Settings;

mod identities; // under which identity readings were filed
mod names; // which setting is meant by a name

pub(super) use names::is_platform;
use names::{Name, What};

/// Whose messages a setting is for. The least specific first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Default,
    Application(String),
    Port(String, u8),
}

impl Scope {
    /// Where the predecessor looked, in this order.
    fn chain(&self) -> Vec<Self> {
        match self {
            Self::Default => vec![Self::Default],
            Self::Application(_) => vec![self.clone(), Self::Default],
            Self::Port(application, _) => vec![self.clone(), Self::Application(application.clone()), Self::Default],
        }
    }

    fn rule(&self, target: Target) -> Rule {
        let (application, port) = match self {
            Self::Default => (None, None),
            Self::Application(application) => (Some(application.clone()), None),
            Self::Port(application, port) => (Some(application.clone()), Some(*port)),
        };
        Rule { application, port, target }
    }

    fn suffix(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Application(application) => application.clone(),
            Self::Port(application, port) => format!("{application}-{port}"),
        }
    }

    fn whose(&self) -> String {
        match self {
            Self::Default => "applications without settings of their own".to_owned(),
            Self::Application(application) => format!("application `{application}`"),
            Self::Port(application, port) => format!("application `{application}` port {port}"),
        }
    }
}

/// The settings that counted.
struct Read<'s> {
    by_name: BTreeMap<Name, &'s Setting>,
    family: Family,
}

impl<'s> Read<'s> {
    fn at(&self, what: What, scope: &Scope) -> Option<&'s Setting> {
        let setting = self.by_name.get(&Name { what, scope: scope.clone() }).copied();
        // The V2 processor passes over what is blank, the first one takes it.
        setting.filter(|setting| self.family == Family::First || !setting.is_blank())
    }

    /// The first that the predecessor found.
    fn find(&self, what: What, scope: &Scope) -> Option<&'s Setting> {
        scope.chain().iter().find_map(|scope| self.at(what, scope))
    }

    fn one(&self, what: What) -> Option<&'s Setting> {
        self.at(what, &Scope::Default).filter(|setting| !setting.is_blank())
    }

    fn scopes(&self, what: What) -> impl Iterator<Item = (&Scope, &'s Setting)> {
        let of = self.by_name.iter().filter(move |(name, _)| name.what == what);
        of.filter(move |(name, _)| self.at(what, &name.scope).is_some()).map(|(name, setting)| (&name.scope, *setting))
    }
}

/// What they come to.
pub(super) fn understand(settings: &Settings, family: Family) -> Understood {
    let mut understood = Understood::default();
    let named: Vec<_> =
        settings.all().iter().filter_map(|setting| names::name(setting, family, &mut understood)).collect();
    let read = Read { by_name: understood.counted(named), family };
    before_anything(&read, settings, &mut understood);
    check_values(&read, &mut understood);
    let scopes = scopes(&read);
    for scope in &scopes {
        match resolve(&read, scope, true, &mut understood) {
            Ok(target) => add(&mut understood, scope, target),
            Err(missing) => incomplete(scope, missing, &mut understood),
        }
    }
    shadowed_by_hubs(&read, &mut understood);
    identities::identities(&read, &scopes, &mut understood);
    map(&read, &mut understood);
    always(family, &mut understood);
    understood.queue =
        read.one(What::Queue).and_then(|setting| setting.text.as_ref()).map(|text| text.expose().clone());
    understood
}

/// All that a setting is for, and the default.
fn scopes(read: &Read<'_>) -> Vec<Scope> {
    let whats = [What::Hub, What::IdScope, What::GroupKey];
    let mentioned = whats.into_iter().flat_map(|what| read.scopes(what)).map(|(scope, _)| scope.clone());
    mentioned.chain([Scope::Default]).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What was not found.
enum Missing {
    IdScope,
    GroupKey,
}

fn resolve(read: &Read<'_>, scope: &Scope, with_hubs: bool, understood: &mut Understood) -> Result<Target, Missing> {
    if with_hubs && let Some(setting) = read.find(What::Hub, scope) {
        let at = at(read, What::Hub, scope);
        let connection_string = SecretRef::new(setting, "HUB_CONNECTION_STRING", &at.suffix());
        return Ok(Target::Hub { connection_string, host: secrets::host(setting) });
    }
    let id_scope = match read.family {
        Family::First => read.one(What::IdScope),
        _ => read.find(What::IdScope, scope),
    };
    let id_scope = id_scope.ok_or(Missing::IdScope)?;
    let group_key = read.find(What::GroupKey, scope).ok_or(Missing::GroupKey)?;
    let at = at(read, What::GroupKey, scope);
    Ok(Target::Dps {
        is_central: false,
        endpoint: endpoint(read),
        id_scope: secrets::id_scope(understood, id_scope),
        group_key: SecretRef::new(group_key, "GROUP_KEY", &at.suffix()),
        model_id: None,
    })
}

/// Where in its chain it was found.
fn at(read: &Read<'_>, what: What, scope: &Scope) -> Scope {
    scope.chain().into_iter().find(|scope| read.at(what, scope).is_some()).unwrap_or(Scope::Default)
}

/// Microsoft's own is the default of both.
fn endpoint(read: &Read<'_>) -> Option<String> {
    let text = read.one(What::Endpoint)?.text.as_ref()?.expose().trim().to_owned();
    (is_host(&text) && text != GLOBAL).then_some(text)
}

const GLOBAL: &str = "global.azure-devices-provisioning.net";

/// Looks like one; a key does not.
fn is_host(text: &str) -> bool {
    let looks = text.contains('.') || text.starts_with("localhost");
    looks && text.len() <= 253 && azure::net::Endpoint::parse(text, 443).is_ok()
}

/// A rule that says the same as the one that is taken without it is none.
fn add(understood: &mut Understood, scope: &Scope, target: Target) {
    let same = |rule: &&Rule| match scope {
        Scope::Default => false,
        Scope::Application(_) => rule.application.is_none(),
        Scope::Port(application, _) => rule.application.as_ref() == Some(application) && rule.port.is_none(),
    };
    let fallback =
        understood.rules.iter().find(same).or_else(|| understood.rules.iter().find(|rule| rule.application.is_none()));
    if fallback.is_none_or(|rule| rule.target != target) {
        let rule = scope.rule(target);
        understood.rules.push(rule);
    }
}

fn incomplete(scope: &Scope, missing: Missing, understood: &mut Understood) {
    let what = match missing {
        Missing::IdScope => "ID scope (DPSIDScope…)",
        Missing::GroupKey => "group key (DPSEnrollmentGroupSymmetricKey…)",
    };
    let says = format!(
        "{} found no {what}: each of their messages failed five times and went to the poison queue. longhaul has no route for them \
         and keeps them as dead letters, `no_route`",
        capital(&scope.whose()),
    );
    understood.say_with_mend(Topic::Did, &[], says, "add a route and a target for them, or leave it so");
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// What kept the predecessor from sending anything at all.
fn before_anything(read: &Read<'_>, settings: &Settings, understood: &mut Understood) {
    let is_listed = settings.all().iter().any(|setting| setting.is_listed);
    match read.one(What::KeyVault) {
        None if !is_listed => {
            let says = "without `KeyVaultURI` each message failed before anything else, so the predecessor sent nothing with these settings";
            understood.say_with_mend(
                Topic::Did,
                &[],
                says,
                "if it did send, its settings are not all here: export them again",
            );
        }
        Some(setting) if !is_listed => {
            let says = "its key vault went before the app's settings, and the list of its secrets is not among these files: what \
                        stands in there is not known here";
            let mend = "az keyvault secret list --vault-name NAME > vault.json, and give vault.json along";
            understood.say_with_mend(Topic::Mistake, &[setting], says, mend);
        }
        _ => {}
    }
    let delay = read.one(What::PollingDelay);
    let is_number =
        |setting: &Setting| setting.text.as_ref().is_none_or(|text| text.expose().trim().parse::<i32>().is_ok());
    if !delay.is_some_and(is_number) {
        let says = "without a number in `DeviceProvisioningPollingDelay` each message failed after its device had been registered: \
                    the predecessor sent nothing, and all of it is in the poison queue. longhaul needs no such setting";
        understood.say(Topic::Did, &delay.into_iter().collect::<Vec<_>>(), says);
    }
    if read.family == Family::First && read.one(What::Endpoint).is_none() {
        let says = "the first processor knows no default for `DPSGlobaDeviceEndpoint`: without it each registration failed, and \
                    nothing was sent. longhaul takes global.azure-devices-provisioning.net";
        understood.say(Topic::Did, &[], says);
    }
    let off = settings.all().iter().find(|setting| names::switches_off(setting));
    if let Some(off) = off {
        understood.say(
            Topic::Did,
            &[off],
            format!("`{}` switches the processor off: since then the queue fills", off.name),
        );
    }
}

fn check_values(read: &Read<'_>, understood: &mut Understood) {
    for (name, setting) in &read.by_name {
        match name.what {
            What::GroupKey if !setting.is_blank() || read.family == Family::First => {
                secrets::check_group_key(understood, setting);
            }
            What::Hub if !setting.is_blank() => secrets::check_hub(understood, setting),
            What::Endpoint => {
                let text = setting.text.as_ref().map(|text| text.expose().trim().to_owned());
                if text.is_some_and(|text| !text.is_empty() && !is_host(&text)) {
                    let says = format!("`{}` is no host, such as {GLOBAL}, which is taken instead", setting.name);
                    understood.say_with_mend(
                        Topic::Mistake,
                        &[setting],
                        says,
                        "write endpoint below the target if it is another",
                    );
                }
            }
            _ => {}
        }
    }
}

/// Settings of a provisioning service that were never looked at.
fn shadowed_by_hubs(read: &Read<'_>, understood: &mut Understood) {
    let mut spare = BTreeSet::new();
    for what in [What::IdScope, What::GroupKey] {
        for (scope, setting) in read.scopes(what) {
            let Some(hub) = read.find(What::Hub, scope) else { continue };
            let says = format!(
                "`{}` never had effect: `{}` was looked for first and found, so messages of {} went to that hub. The written file keeps \
                 it so; what was shadowed stands in it as a comment",
                setting.name,
                hub.name,
                scope.whose()
            );
            understood.say(Topic::Shadowed, &[setting, hub], says);
            spare.insert(scope.clone());
        }
    }
    for scope in spare {
        if let Ok(target) = resolve(read, &scope, false, understood) {
            let rule = scope.rule(target);
            understood.spare.push(rule);
        }
    }
}

fn map(read: &Read<'_>, understood: &mut Understood) {
    for (name, setting) in &read.by_name {
        let is_now = match name.what {
            What::Hub => "connection_string of a target".to_owned(),
            What::IdScope => "id_scope of a target".to_owned(),
            What::GroupKey => "group_key of a target".to_owned(),
            What::Endpoint => "endpoint of the targets".to_owned(),
            What::KeyVault => "key_vault of each secret that stands there".to_owned(),
            What::PollingDelay => "nothing: the service says when to ask again".to_owned(),
            What::Queue => {
                "nothing: messages rest below queue.dir; `longhaul import-queue` empties the old one".to_owned()
            }
            What::DownlinkQueue => "nothing: its processor deleted every message".to_owned(),
            What::Storage => "nothing, once `longhaul import-queue` has emptied the old queue".to_owned(),
        };
        understood.map(setting, is_now);
    }
}

/// True of every installation.
fn always(family: Family, understood: &mut Understood) {
    let says = "messages marked `is_retry` were thrown away, also when the first copy never came; longhaul sends whichever copy \
                comes first, and no second one";
    understood.say(Topic::Did, &[], says);
    if family == Family::First {
        let says = "the body says `DeviceEUI` where the first processor said `HardwareSerial`";
        understood.say(Topic::Consumers, &[], says);
    }
    let says = "text that is not ASCII comes whole (it was `?`), lists come as lists, and a decoded field named like one of the \
                bridge's is kept as NAME_decoded; positions are also given as lat, lon and alt only where the target is kind = \
                \"iot-central\"";
    let mend = "if an ID scope belongs to IoT Central (Permissions, Device connection groups), write kind = \"iot-central\" there";
    understood.say_with_mend(Topic::Consumers, &[], says, mend);
    let says = "path and key stay: POST /api/UplinkProcessor?code=KEY works as before. Only the host is another, unless the network \
                has a name of your own that you can point elsewhere: *.azurewebsites.net cannot be moved";
    let mend = "put the function key (code= in the network's address) into LONGHAUL_WEBHOOK_KEY";
    understood.say_with_mend(Topic::Network, &[], says, mend);
}
