//! What the plan says, carried out when its time has come: posts, troubles and their ends, and what passes by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use simulator::{Faults, Status};

use super::World;
use super::life::Life;
use crate::fault::{Fault, HubFault, ProcessFault, ProvisioningFault};
use crate::plan::{GROUP, HUBS, PROVISIONING, What};

/// What passes by itself is looked at so often: locks and messages at the hubs that run out, and what hubs have counted.
const TICK_MS: i64 = 1_000;
/// A process that is killed again and again is up for so long at the most.
const AGAIN_MS_MAX: u32 = 3_000;

/// How far the story is told. Outlasts the lives of the process.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The event that is next.
    next: usize,
    agenda: BTreeMap<(i64, usize), Act>,
    /// When the process is to be up again, milliseconds of the story.
    pub(super) up_at: i64,
    /// Number of the life that is next.
    pub(super) life: u64,
    ticked: i64,
    healed: Option<i64>,
    ran_out: BTreeMap<String, u64>,
    registered: BTreeMap<String, u64>,
    refused: u64,
    stolen: u64,
}

/// What is to be done at a later time.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// The trouble of this event ends; the number is that of the evidence.
    End { event: usize, trouble: Option<usize> },
    /// The process is killed once more.
    Kill { fault: Fault, amount: u32 },
}

/// What became of the process meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Same,
    /// Killed.
    Died,
    /// Gone in good order, or by itself.
    Ended,
}

impl Course {
    /// Since when all is told and nothing is wrong any more.
    pub(super) fn quiet_since(&self, world: &World) -> Option<i64> {
        self.healed.filter(|_| self.next >= world.plan.events.len())
    }

    /// Waits until something is due, but not beyond `until`. May be given up at any time.
    pub(super) async fn wait(&self, world: &World, until: i64) {
        let wait = self.due(world).min(until) - world.log.elapsed_ms();
        tokio::time::sleep(Duration::from_millis(wait.max(0).unsigned_abs())).await;
    }

    fn due(&self, world: &World) -> i64 {
        let event = world.plan.events.get(self.next).map(|event| event.at);
        let act = self.agenda.keys().next().map(|(at, _)| *at);
        let heal = self.healed.is_none().then_some(world.plan.length);
        [event, act, heal].into_iter().flatten().fold(self.ticked + TICK_MS, i64::min)
    }
}

impl World {
    /// Does what is due; of the events at most one.
    pub(super) fn go_on(self: &Arc<Self>, course: &mut Course, life: Option<&mut Life>) -> Next {
        let now = self.log.elapsed_ms();
        while let Some((&(at, number), &act)) = course.agenda.first_key_value() {
            if at > now {
                break;
            }
            course.agenda.remove(&(at, number));
            match act {
                Act::End { event, trouble } => self.ends(event, trouble),
                Act::Kill { fault, amount } => {
                    if let Some(life) = &life {
                        self.dies(&life.alive, fault, amount);
                        return Next::Died;
                    }
                }
            }
        }
        // A machine that slept wakes up with much to do, and all of it comes before the quiet.
        let all_told = self.plan.events.get(course.next).is_none_or(|event| event.at >= self.plan.length);
        if course.healed.is_none() && now >= self.plan.length && all_told {
            self.heal(course);
        }
        if now >= course.ticked + TICK_MS {
            self.tick(course, now);
        }
        let Some(event) = self.plan.events.get(course.next).filter(|event| event.at <= now) else { return Next::Same };
        let number = course.next;
        course.next += 1;
        match event.what.clone() {
            What::Post { uplinks, how, amount } => {
                if let Some(how) = how {
                    self.happens(Fault::Door(how));
                }
                for uplink in uplinks {
                    self.inside().posting += 1;
                    let world = self.clone();
                    tokio::spawn(async move {
                        let _posting = Posting(world.clone());
                        crate::server::post(world, uplink, how, amount).await;
                    });
                }
                Next::Same
            }
            What::Trouble { fault: Fault::Process(fault), lasts, amount, .. } => {
                self.to_the_process(course, life, number, (fault, lasts, amount))
            }
            What::Trouble { fault, device, lasts, amount } => {
                self.trouble(course, number, fault, device, (lasts, amount));
                Next::Same
            }
        }
    }

    fn to_the_process(
        self: &Arc<Self>,
        course: &mut Course,
        life: Option<&mut Life>,
        event: usize,
        (fault, lasts, amount): (ProcessFault, i64, u32),
    ) -> Next {
        let now = self.log.elapsed_ms();
        let whole = Fault::Process(fault);
        if fault.point().is_some() {
            self.armed().add(event, fault, amount);
            course.agenda.insert((now + lasts, event), Act::End { event, trouble: None });
            return Next::Same;
        }
        let Some(life) = life else { return Next::Same };
        self.happens(whole);
        self.log.line(format_args!("{}", whole.name()));
        match fault {
            ProcessFault::Restarted => life.drains(self),
            ProcessFault::Reloaded => life.reloads(self),
            _ => {
                if fault == ProcessFault::CrashLoop {
                    for again in 1..=2 {
                        // While it is down these find nobody, and so do others that come too early.
                        let at = now + again * (lasts + i64::from(amount % AGAIN_MS_MAX));
                        course.agenda.insert((at, event), Act::Kill { fault: whole, amount });
                    }
                }
                self.dies(&life.alive, whole, amount);
                return Next::Died;
            }
        }
        Next::Same
    }

    fn trouble(
        &self,
        course: &mut Course,
        event: usize,
        fault: Fault,
        device: Option<usize>,
        (lasts, amount): (i64, u32),
    ) {
        self.happens(fault);
        let whom = device.map(|device| self.plan.devices[device].registration_id.clone());
        self.log.line(format_args!("{} {} {}", fault.name(), whom.as_deref().unwrap_or("-"), amount));
        let trouble = self.begins(fault, device);
        self.inside().active.insert(event, (fault, device, amount));
        self.act(fault, whom.as_deref(), amount);
        let end = self.log.elapsed_ms() + lasts;
        course.agenda.insert((end, event), Act::End { event, trouble: Some(trouble) });
    }

    fn act(&self, fault: Fault, device: Option<&str>, amount: u32) {
        let usual = self.plan.settings.latency;
        let hosts = (PROVISIONING, HUBS[amount as usize % 2]);
        match fault {
            Fault::Weather(fault) => fault.begin(&self.network, usual, hosts, amount),
            Fault::Disk(fault) => fault.begin(&self.inside().disk),
            Fault::Time(fault) => fault.begin(&self.clock, amount),
            Fault::Hub(fault) => self.owner_acts(fault, device.unwrap_or_default(), true),
            Fault::Provisioning(ProvisioningFault::GroupSwitchedOff) => {
                self.owner(self.services.switch_group(None, GROUP, false))
            }
            Fault::Provisioning(ProvisioningFault::RegistrationForgotten) => {
                self.owner(self.services.forget_registration(None, device.unwrap_or_default()));
            }
            Fault::Provisioning(_) | Fault::Process(_) | Fault::Door(_) => {}
        }
        self.tell_services();
    }

    fn ends(&self, event: usize, trouble: Option<usize>) {
        self.armed().remove(event);
        let Some((fault, device, amount)) = self.inside().active.remove(&event) else { return };
        if let Some(trouble) = trouble {
            self.is_over(trouble);
        }
        if fault.facts().lasts.1 > 0 {
            self.log.line(format_args!("over: {}", fault.name()));
        }
        let hosts = (PROVISIONING, HUBS[amount as usize % 2]);
        match fault {
            Fault::Weather(fault) => fault.end(&self.network, self.plan.settings.latency, hosts),
            Fault::Disk(fault) => fault.end(&self.inside().disk),
            Fault::Time(fault) => fault.end(&self.clock),
            Fault::Hub(fault) => {
                let device = device.map(|device| self.plan.devices[device].registration_id.as_str());
                self.owner_acts(fault, device.unwrap_or_default(), false);
            }
            Fault::Provisioning(ProvisioningFault::GroupSwitchedOff) => {
                self.owner(self.services.switch_group(None, GROUP, true))
            }
            Fault::Provisioning(_) | Fault::Process(_) | Fault::Door(_) => {}
        }
        self.tell_services();
    }

    /// What a hub's owner does by hand; the simulator's faults are no part of it.
    fn owner_acts(&self, fault: HubFault, device: &str, begins: bool) {
        match (fault, begins) {
            (HubFault::SwitchedOff, true) => self.owner(self.services.set_status(device, Status::Disabled)),
            (HubFault::SwitchedOff, false) => self.owner(self.services.set_status(device, Status::Enabled)),
            (HubFault::Deleted, true) => self.owner(self.services.delete_device(device)),
            (HubFault::Moved, true) => {
                let here = self.services.registration(device).map(|registration| registration.hub);
                let there = HUBS.into_iter().find(|hub| here.as_deref() != Some(hub)).unwrap_or(HUBS[0]);
                self.owner(self.services.move_to(None, device, there));
            }
            _ => {}
        }
    }

    /// The owner may try what cannot be: a device that is not there yet.
    fn owner<T: std::fmt::Debug, E: std::fmt::Debug>(&self, done: Result<T, E>) {
        self.log.line(format_args!("  owner: {done:?}"));
    }

    fn tell_services(&self) {
        let mut faults = Faults::default();
        for (fault, device, amount) in self.inside().active.values() {
            let device = device.map(|device| self.plan.devices[device].registration_id.as_str());
            match fault {
                Fault::Hub(fault) => fault.add(&mut faults, device, *amount),
                Fault::Provisioning(fault) => fault.add(&mut faults, device, *amount),
                _ => {}
            }
        }
        self.services.set_faults(faults);
    }

    /// From now on nothing is wrong.
    fn heal(&self, course: &mut Course) {
        self.log.line(format_args!("quiet"));
        self.armed().clear();
        for act in std::mem::take(&mut course.agenda).into_values() {
            if let Act::End { event, trouble } = act {
                self.ends(event, trouble);
            }
        }
        course.healed = Some(self.log.elapsed_ms());
    }

    fn tick(&self, course: &mut Course, now: i64) {
        let before = std::mem::replace(&mut course.ticked, now);
        self.services.let_time_pass();
        let minute = before / 60_000;
        if minute != now / 60_000 {
            self.network.count(minute);
        }
        let counts = self.services.counts();
        let mut evidence = self.evidence();
        let refused = counts.hub_refused.values().sum();
        let stolen = counts.amqp.faults.get("steal").copied().unwrap_or(0);
        let asked = evidence.asked.entry(("all hubs".to_owned(), minute)).or_default();
        asked.refused += refused - std::mem::replace(&mut course.refused, refused);
        asked.stolen += stolen - std::mem::replace(&mut course.stolen, stolen);
        note(&mut evidence.ran_out, &mut course.ran_out, counts.tokens_run_out, self.clock.true_now());
        note(&mut evidence.registered, &mut course.registered, counts.registrations, self.clock.true_now());
    }
}

/// A message is on its way to the door, until this is dropped: also with the runtime of a dead process.
struct Posting(Arc<World>);

impl Drop for Posting {
    fn drop(&mut self) {
        self.0.inside().posting -= 1;
    }
}

/// What was counted of each device since the last look, by the time of this one.
fn note(noted: &mut Vec<(i64, String)>, last: &mut BTreeMap<String, u64>, counts: BTreeMap<String, u64>, now: i64) {
    for (device, times) in &counts {
        let before = last.get(device).copied().unwrap_or(0);
        noted.extend((before..*times).map(|_| (now, device.clone())));
    }
    *last = counts;
}
