//! Tells a plan: the world, the lives of the process in it, and what happens to both.
//!
//! `life` is the process; `happening` carries out what the plan says. Everything runs in one thread, on one paused runtime
//! for each life: a crash is that runtime dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use queue::memory::Disk;
use simulator::{GroupSetup, Options, ScopeSetup, Setup, Unplugged};
use tokio::sync::mpsc::UnboundedSender;

use crate::chance::stream;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::judge::{Evidence, Finding, Taken, Trouble, verdict};
use crate::log::Log;
use crate::network::Network;
use crate::plan::{GROUP, HUBS, ID_SCOPE, PROVISIONING, Plan, What};
use crate::uplink::Telemetry;
use crate::wire::{Line, Wire};

mod happening; // what the plan says, carried out
mod life; // the process
mod panics; // nothing may panic
mod points; // who waits where for the process to come by

use happening::Course;
use points::Armed;

/// All that is not the process.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) clock: Arc<Clock>,
    pub(crate) log: Log,
    pub(crate) network: Network,
    pub(crate) services: Unplugged,
    evidence: Arc<Mutex<Evidence>>,
    inside: Mutex<Inside>,
    armed: Mutex<Armed>,
}

struct Inside {
    disk: Disk,
    door: Option<UnboundedSender<Wire>>,
    /// Connections to the door.
    at_the_door: Vec<Line>,
    /// Troubles that are on now, by their event, with the device and the amount.
    active: BTreeMap<usize, (Fault, Option<usize>, u32)>,
    happened: BTreeMap<Fault, u64>,
    /// Messages on their way to the door.
    posting: usize,
    /// Troubles that last until the process is up.
    down: Vec<usize>,
    down_ms: i64,
    /// Of the configuration, as it stands in its file.
    edition: u32,
    /// Of the configuration, as the network server knows its keys.
    known_edition: u32,
}

/// What came of a story.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) findings: Vec<Finding>,
    /// Of the log.
    pub(crate) fingerprint: u64,
    pub(crate) log: Option<String>,
    pub(crate) happened: BTreeMap<Fault, u64>,
    /// Messages that were kept, and that hubs took.
    pub(crate) taken: usize,
    pub(crate) lives: usize,
    /// Simulated, all in all.
    pub(crate) lasted: Duration,
}

/// Tells it.
pub(crate) fn tell(plan: Plan, keep_log: bool) -> Told {
    panics::watch();
    let world = Arc::new(World::new(plan, keep_log));
    let _logged = keep_log.then(|| world.log.hear());
    let mut course = Course::default();
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without sockets needs nothing of the system");
        let is_over = runtime.block_on(async {
            world.clock.begins().await;
            let is_over = life::live(&world, &mut course).await;
            world.clock.rests();
            is_over
        });
        // With it go all its tasks and the far ends of its connections.
        drop(runtime);
        if is_over {
            break;
        }
    }
    world.told()
}

impl World {
    fn new(plan: Plan, keep_log: bool) -> Self {
        let clock = Arc::new(Clock::new(0));
        let log = Log::new(clock.clone(), keep_log);
        let pace = plan.settings.pace();
        let evidence = Arc::new(Mutex::new(Evidence { devices: plan.devices.clone(), pace, ..Evidence::default() }));
        for event in &plan.events {
            if let What::Post { uplinks, .. } = &event.what {
                lock(&evidence).uplinks.extend(uplinks.iter().map(|uplink| (uplink.id, *uplink)));
            }
        }
        let services = services(&plan, &clock, &log, &evidence);
        let network = Network::new(plan.seed, plan.settings.latency, services.clone(), log.clone());
        let inside = Inside {
            disk: disk(&plan),
            door: None,
            at_the_door: Vec::new(),
            active: BTreeMap::new(),
            happened: BTreeMap::new(),
            posting: 0,
            down: Vec::new(),
            down_ms: 0,
            edition: 0,
            known_edition: 0,
        };
        Self { plan, clock, log, network, services, evidence, inside: Mutex::new(inside), armed: Mutex::default() }
    }

    pub(crate) fn evidence(&self) -> MutexGuard<'_, Evidence> {
        lock(&self.evidence)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    fn armed(&self) -> MutexGuard<'_, Armed> {
        lock(&self.armed)
    }

    /// Where the network server knocks.
    pub(crate) fn door(&self) -> Option<UnboundedSender<Wire>> {
        self.inside().door.clone()
    }

    pub(crate) fn at_the_door(&self, line: Line) {
        let mut inside = self.inside();
        inside.at_the_door.retain(|line| !line.is_over());
        inside.at_the_door.push(line);
    }

    /// It happened, once more.
    fn happens(&self, fault: Fault) {
        *self.inside().happened.entry(fault).or_default() += 1;
    }

    /// Something is wrong from now on; [`World::is_over`] ends it.
    fn begins(&self, fault: Fault, device: Option<usize>) -> usize {
        let facts = fault.facts();
        let scope = device.map_or(crate::judge::Scope::Everybody, crate::judge::Scope::Device);
        let trouble =
            Trouble { name: facts.name, from: self.clock.true_now(), to: i64::MAX / 2, scope, effect: facts.effect };
        let mut evidence = self.evidence();
        evidence.troubles.push(trouble);
        evidence.troubles.len() - 1
    }

    fn is_over(&self, trouble: usize) {
        let now = self.clock.true_now();
        self.evidence().troubles[trouble].to = now;
    }

    fn told(&self) -> Told {
        let mut evidence = self.evidence();
        evidence.over = self.clock.true_now();
        evidence.asked.extend(self.network.asked());
        evidence.scandals.extend(panics::take());
        let findings = verdict(&evidence);
        for finding in &findings {
            self.log.line(format_args!("FOUND {finding}"));
        }
        Told {
            findings,
            fingerprint: self.log.fingerprint(),
            log: self.log.take(),
            happened: self.inside().happened.clone(),
            taken: evidence.taken.len(),
            lives: evidence.lives.len(),
            lasted: Duration::from_millis(self.log.elapsed_ms().unsigned_abs()),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty disk, on which each commit takes its time.
fn disk(plan: &Plan) -> Disk {
    let disk = Disk::new();
    let (chance, most) = (Mutex::new(stream(plan.seed, "disk")), plan.settings.commit_ms);
    disk.set_latency(move || Duration::from_millis(lock(&chance).u64(0..=most)));
    disk
}

/// The provisioning service and the hubs, by true time. What hubs take is the judge's to know.
fn services(plan: &Plan, clock: &Arc<Clock>, log: &Log, evidence: &Arc<Mutex<Evidence>>) -> Unplugged {
    let (time, stamp) = (clock.clone(), clock.clone());
    let (log, evidence) = (log.clone(), evidence.clone());
    let group = GroupSetup { primary_key: Some(plan.settings.group_key()), ..GroupSetup::named(GROUP) };
    let setup = Setup {
        hubs: HUBS.map(str::to_owned).to_vec(),
        scopes: vec![ScopeSetup { id_scope: Some(ID_SCOPE.to_owned()), groups: vec![group] }],
        ..Setup::default()
    };
    let bytes = Mutex::new(stream(plan.seed, "services"));
    let options = Options {
        random: Some(Arc::new(move |wanted: &mut [u8]| lock(&bytes).fill(wanted))),
        setup: Some(setup),
        hosts: vec![PROVISIONING.to_owned()],
        assigning_polls: plan.settings.assigning_polls,
        on_message: Some(Arc::new(move |recorded| {
            let telemetry = Telemetry::read(&recorded.body);
            let (hub, device) = (&recorded.hub, &recorded.device_id);
            match &telemetry {
                Ok(telemetry) => log.line(format_args!("{hub} takes {} of {device}", telemetry.id)),
                Err(what) => log.line(format_args!("{hub} takes of {device}: {what}")),
            }
            lock(&evidence).taken.push(Taken {
                at: stamp.true_now(),
                hub: hub.clone(),
                device_id: device.clone(),
                message_id: recorded.message_id.clone(),
                telemetry,
            });
        })),
        ..Options::new(Arc::new(move || time.true_now()))
    };
    Unplugged::new(&options).expect("services in memory, of names that are ours")
}
