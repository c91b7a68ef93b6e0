//! Who makes a device known to Azure, and how it is asked: DPS with the device's derived key, or the registry of a hub
//! with a policy's.
//!
//! Asks once; pace, patience and repeating are [`super`]'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use azure::UnixSeconds;
use azure::connection_string::{DeviceConnectionString, PolicyConnectionString};
use azure::dps::{self, Class, DpsClient, DpsLimits};
use azure::net::{Dial, Endpoint};
use azure::registry::{self, Registry};
use azure::sas::Token;

use crate::config::{self, DpsTarget, GroupKey, Target, TargetKind};
use crate::world::{ServerClock, World};

/// A token needs to outlive one registration only.
const TOKEN_LIFE_S: i64 = 3600;

/// A device that is known now.
#[derive(Debug)]
pub(super) struct Registered {
    /// The hub's host name, without port.
    pub(super) hub: String,
    pub(super) device_id: String,
    /// Of the group's keys the one that signed.
    pub(super) key: GroupKey,
    pub(super) server_time: Option<UnixSeconds>,
}

/// One that is not.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) class: Class,
    /// What was said, for a person.
    pub(super) cause: String,
    pub(super) server_time: Option<UnixSeconds>,
}

/// There is another key to try.
pub(super) fn has_two_keys(target: &Target) -> bool {
    matches!(&target.kind, TargetKind::Dps(dps) if dps.secondary_group_key.is_some())
}

impl From<dps::Refusal> for Refused {
    fn from(refusal: dps::Refusal) -> Self {
        Self { class: refusal.class, cause: refusal.to_string(), server_time: refusal.server_time }
    }
}

/// The services that were asked so far.
#[derive(Debug)]
pub(super) struct Registrars {
    dial: Arc<dyn Dial>,
    paces: Paces,
    https_port: u16,
    /// Bounded by the targets of the configuration, as the next one.
    dps: Mutex<BTreeMap<Endpoint, Arc<Service<DpsClient>>>>,
    hubs: Mutex<BTreeMap<Endpoint, Arc<Service<Registry>>>>,
}

/// New devices a minute; 0 is unpaced.
#[derive(Clone, Copy, Debug)]
struct Paces {
    dps: u32,
    central: u32,
    hub: u32,
}

#[derive(Debug)]
struct Service<C> {
    client: C,
    clock: ServerClock,
}

impl Registrars {
    pub(super) fn new(azure: &config::Azure, dial: Arc<dyn Dial>) -> Self {
        let paces = Paces {
            dps: azure.registrations_per_minute.unwrap_or(config::DPS_PER_MINUTE),
            central: azure.registrations_per_minute.unwrap_or(config::CENTRAL_PER_MINUTE),
            hub: azure.creations_per_minute,
        };
        Self { dial, paces, https_port: azure.https_port, dps: Mutex::default(), hubs: Mutex::default() }
    }

    /// How many a minute it takes.
    pub(super) fn per_minute(&self, target: &Target) -> u32 {
        match &target.kind {
            TargetKind::Dps(dps) if dps.central => self.paces.central,
            TargetKind::Dps(_) => self.paces.dps,
            TargetKind::Policy(_) | TargetKind::Device(_) => self.paces.hub,
        }
    }

    /// Registers once: a provisioning service chooses the hub, a registry has but its own. The answer, and whether another token
    /// may get a better one: our clock was wrong, or the token had run out when the answer came. Either looks like a wrong key.
    pub(super) async fn ask(
        &self,
        target: &Target,
        key: GroupKey,
        id: &str,
        world: &World,
    ) -> (Result<Registered, Refused>, bool) {
        match &target.kind {
            TargetKind::Dps(dps) => {
                let service = self.dps(dps);
                service.ask(world, async |client, expiry| register(client, dps, key, id, expiry).await).await
            }
            TargetKind::Policy(policy) => {
                let service = self.hub(policy);
                service.ask(world, async |client, expiry| create(client, policy, id, expiry).await).await
            }
            TargetKind::Device(device) => (Ok(there_already(device)), false),
        }
    }

    /// Where a device is registered already, as far as the service tells. A registry needs not be asked: making a device
    /// twice does no harm there.
    pub(super) async fn look_up(&self, target: &Target, key: GroupKey, id: &str, world: &World) -> Option<Registered> {
        let TargetKind::Dps(dps) = &target.kind else { return None };
        let service = self.dps(dps);
        let token = token(dps, key, id, service.clock.now(world) + TOKEN_LIFE_S);
        let assignment = service.client.look_up(applicant(dps, id), &token).await?;
        Some(Registered { hub: assignment.hub, device_id: assignment.device_id, key, server_time: None })
    }

    fn dps(&self, target: &DpsTarget) -> Arc<Service<DpsClient>> {
        let open = || DpsClient::new(target.endpoint.clone(), self.dial.clone(), DpsLimits::default());
        find(&self.dps, &target.endpoint, open)
    }

    fn hub(&self, policy: &PolicyConnectionString) -> Arc<Service<Registry>> {
        let endpoint = Endpoint { host: policy.host.clone(), port: self.https_port };
        find(&self.hubs, &endpoint, || Registry::new(endpoint.clone(), self.dial.clone()))
    }
}

fn find<C>(
    services: &Mutex<BTreeMap<Endpoint, Arc<Service<C>>>>,
    endpoint: &Endpoint,
    open: impl FnOnce() -> C,
) -> Arc<Service<C>> {
    let mut services = services.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || Arc::new(Service { client: open(), clock: ServerClock::default() });
    services.entry(endpoint.clone()).or_insert_with(new).clone()
}

impl<C> Service<C> {
    async fn ask(
        &self,
        world: &World,
        call: impl AsyncFnOnce(&C, UnixSeconds) -> Result<Registered, Refused>,
    ) -> (Result<Registered, Refused>, bool) {
        let believed = self.clock.ahead(world);
        let expiry = self.clock.now(world) + TOKEN_LIFE_S;
        let answer = call(&self.client, expiry).await;
        let server_time = answer.as_ref().map_or_else(|e| e.server_time, |registered| registered.server_time);
        self.clock.learn(server_time, world);
        let ran_out = self.clock.now(world) >= expiry;
        (answer, ran_out || self.clock.has_changed_since(believed, world))
    }
}

async fn register(
    client: &DpsClient,
    target: &DpsTarget,
    key: GroupKey,
    id: &str,
    expiry: UnixSeconds,
) -> Result<Registered, Refused> {
    let token = token(target, key, id, expiry);
    let registered =
        client.register(applicant(target, id), &token).await.map_err(|refusal| denied(target, key, refusal));
    let dps::Registered { assignment, server_time } = registered?;
    Ok(Registered { hub: assignment.hub, device_id: assignment.device_id, key, server_time })
}

/// A key that looks like a device's is the likely cause of a 401, and has a mend.
fn denied(target: &DpsTarget, key: GroupKey, refusal: dps::Refusal) -> Refused {
    let mut refused = Refused::from(refusal);
    if refused.class == Class::Denied && config::looks_derived(target.key(key)) {
        let name = key.name();
        refused.cause += &format!(
            "; likely because {name} has 32 bytes, as the key of a single device: give {name} the enrolment group's own key"
        );
    }
    refused
}

fn applicant(target: &DpsTarget, id: &str) -> dps::Applicant {
    dps::Applicant { scope: target.id_scope.clone(), registration_id: id.to_owned(), model_id: target.model_id.clone() }
}

fn token(target: &DpsTarget, key: GroupKey, id: &str, expiry: UnixSeconds) -> Token {
    let signs = azure::sas::derive_device_key(target.key(key), id);
    azure::sas::registration_token(&target.id_scope, id, signs.as_bytes(), expiry)
}

async fn create(
    registry: &Registry,
    policy: &PolicyConnectionString,
    id: &str,
    expiry: UnixSeconds,
) -> Result<Registered, Refused> {
    let token = azure::sas::policy_token(&policy.host, &policy.policy, &policy.key, expiry);
    let server_time = registry.create(id, &token).await.map_err(|refusal| refused(policy, id, &refusal))?;
    Ok(Registered { hub: policy.host.clone(), device_id: id.to_owned(), key: GroupKey::default(), server_time })
}

/// Whoever gave us a device's own connection string has made the device.
fn there_already(device: &DeviceConnectionString) -> Registered {
    Registered {
        hub: device.host.clone(),
        device_id: device.device_id.clone(),
        key: GroupKey::default(),
        server_time: None,
    }
}

/// What a policy may not do is the likely cause of a 401, and has a mend.
fn refused(policy: &PolicyConnectionString, id: &str, refusal: &registry::Refusal) -> Refused {
    let mut cause = refusal.to_string();
    if refusal.class == Class::Denied {
        cause += &format!(
            "; policy `{}` needs the right RegistryReadWrite to make `{id}` at {}: give it, use iothubowner, or make the device yourself",
            policy.policy, policy.host
        );
    }
    Refused { class: refusal.class, cause, server_time: refusal.server_time }
}
