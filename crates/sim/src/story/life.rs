//! One life of the process: the product's own wiring, on this world's disk and network, until it is killed, drained, or
//! the story is over.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge::app::{App, Parts, Role};
use bridge::config::{self, Config};
use bridge::reload::Outcome;
use bridge::webhook::accept::Listen;
use bridge::world::{Clock as _, Random, World as Given};
use queue::Queue;
use queue::memory::{Disk, Tail};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::World;
use super::happening::{Course, Next};
use super::points::Ears;
use crate::chance::stream;
use crate::fault::{Fault, ProcessFault};
use crate::judge::Buried;
use crate::uplink::Uplink;
use crate::wire::{Way, Wire};

/// The far ends of a dead process's connections find out within this, before their runtime goes.
const LAST_WORDS: Duration = Duration::from_millis(400);
/// A supervisor starts a process that could not start again after so long.
const START_AGAIN_MS: i64 = 2_000;
/// A process that is gone comes back after so long, from and up to so much more.
const DOWN_MS_MIN: i64 = 500;
const DOWN_MS_MAX: i64 = 20_000;
/// The quiet in the end, in which everything must be delivered: the longest pause that the product allows itself is an hour
/// (a hub's quota, a device that is refused), and there may be two of them in a row.
const QUIET_MS: i64 = 3 * 3_600_000;
/// A configuration that was changed is not changed again for so long after it came into use.
const BETWEEN_EDITIONS_MS: i64 = 30_000;
/// Dead letters that are read in the end: more than any story buries.
const LETTERS_MAX: usize = 10_000;

/// A process that runs.
pub(super) struct Life {
    app: Option<App>,
    queue: Queue,
    pub(super) alive: Arc<AtomicBool>,
    killed: Arc<Notify>,
    /// It is stopping in good order.
    draining: Option<tokio::task::JoinHandle<()>>,
    /// One configuration is taken after the other.
    reloading: Arc<tokio::sync::Mutex<()>>,
    began: i64,
}

/// Goes on with the story until the process is gone, or the story over: true.
pub(super) async fn live(world: &Arc<World>, course: &mut Course) -> bool {
    // Nobody is at home until it is started.
    while world.log.elapsed_ms() < course.up_at {
        course.wait(world, course.up_at).await;
        world.go_on(course, None);
    }
    let mut life = match Life::begins(world, course.life).await {
        Ok(life) => life,
        Err(cause) => {
            world.log.line(format_args!("could not start: {cause}"));
            course.up_at = world.log.elapsed_ms() + START_AGAIN_MS;
            course.life += 1;
            return false;
        }
    };
    world.log.line(format_args!("life {} begins", course.life));
    course.life += 1;
    world.comes_up();
    loop {
        let quiet = course.quiet_since(world);
        if let Some(since) = quiet {
            let waited = world.log.elapsed_ms() - since;
            let is_done = world.is_at_rest() && life.queue.stats().waiting == 0;
            if is_done || waited > QUIET_MS {
                life.ends_well(world).await;
                return true;
            }
        }
        let killed = life.killed.clone();
        let next = tokio::select! {
            biased;
            () = killed.notified() => Next::Died,
            () = life.ended() => Next::Ended,
            () = course.wait(world, i64::MAX) => Next::Same,
        };
        let next = if next == Next::Same { world.go_on(course, Some(&mut life)) } else { next };
        match next {
            Next::Same => {}
            Next::Died => {
                life.is_gone(world);
                tokio::time::sleep(LAST_WORDS).await;
                course.up_at = world.log.elapsed_ms() + world.rests();
                return false;
            }
            Next::Ended => {
                life.is_gone(world);
                if life.draining.is_none() {
                    world.evidence().scandals.push("a part of the process ended by itself".to_owned());
                }
                tokio::time::sleep(LAST_WORDS).await;
                course.up_at = world.log.elapsed_ms() + world.rests();
                return false;
            }
        }
    }
}

impl Life {
    async fn begins(world: &Arc<World>, number: u64) -> Result<Self, String> {
        let seed = stream(world.plan.seed.wrapping_add(number), "life").u64(..);
        let (alive, killed) = (Arc::new(AtomicBool::new(true)), Arc::new(Notify::new()));
        let ears =
            Ears { world: world.clone(), alive: alive.clone(), killed: killed.clone(), instant: Mutex::default() };
        let given = Given::new(world.clock.clone(), Random::from_seed(seed)).listening(Arc::new(ears));
        let clock = world.clock.clone();
        let disk = world.inside().disk.clone();
        let options = queue::Options::in_memory(&disk, Arc::new(move || clock.now()));
        let (queue, writer) = Queue::open_here(options).map_err(|e| e.to_string())?;
        tokio::spawn(writer);
        let (door, knocks) = unbounded_channel();
        let parts = Parts {
            door: Some(Door(knocks)),
            pages: None,
            tls: None,
            dial: world.network.dialler(alive.clone()),
            queue: queue.clone(),
            home: None,
            host: "bridge".to_owned(),
        };
        let config = read(&world.configuration());
        world.inside().door = Some(door);
        let app = Box::pin(App::build(config, Role::All, given, parts)).await;
        let app = app.map_err(|e| {
            world.inside().door = None;
            e.to_string()
        })?;
        let began = world.clock.true_now();
        let edition = world.inside().edition;
        world.in_use(edition);
        Ok(Self { app: Some(app), queue, alive, killed, draining: None, reloading: Arc::default(), began })
    }

    /// Ready when the process has ended: by itself, or after a drain.
    async fn ended(&mut self) {
        match (&mut self.draining, &mut self.app) {
            (Some(draining), _) => _ = draining.await,
            (None, Some(app)) => app.died().await,
            (None, None) => std::future::pending().await,
        }
    }

    /// Stops in good order, if it is not doing so already.
    pub(super) fn drains(&mut self, world: &World) {
        if let Some(app) = self.app.take() {
            world.goes_down(Fault::Process(ProcessFault::Restarted));
            self.draining = Some(tokio::spawn(app.drain()));
        }
    }

    /// Takes the next edition of its configuration.
    pub(super) fn reloads(&self, world: &Arc<World>) {
        let Some(app) = &self.app else { return };
        let (reload, world, turn) = (app.reload.clone(), world.clone(), self.reloading.clone());
        let edition = world.new_edition();
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            // What is read is what stands there by then.
            let outcome = reload.take(read(&world.configuration())).await;
            world.log.line(format_args!("  reload to edition {edition}: {outcome:?}"));
            match outcome {
                Outcome::Refused(_) => world.evidence().scandals.push(format!("edition {edition}: {outcome:?}")),
                Outcome::Taken(_) | Outcome::Same => world.in_use(edition),
            }
        });
    }

    fn is_gone(&self, world: &World) {
        self.alive.store(false, Ordering::Relaxed);
        world.inside().door = None;
        let now = world.clock.true_now();
        world.evidence().lives.push((self.began, now));
    }

    /// The story is over: what is left is written down.
    async fn ends_well(&self, world: &World) {
        let stats = self.queue.stats();
        if stats.waiting > 0 {
            let what = format!("{} messages after {QUIET_MS} ms of quiet: {stats:?}", stats.waiting);
            world.evidence().stuck.push(what);
        }
        match self.queue.dead_letters(None, LETTERS_MAX).await {
            Err(e) => world.evidence().scandals.push(format!("the dead letters cannot be read: {e}")),
            Ok(letters) => {
                let buried = letters.into_iter().map(|letter| Buried {
                    id: Uplink::named_in(&letter.message.body),
                    reason: letter.reason.code,
                    detail: letter.reason.detail,
                });
                let buried: Vec<_> = buried.collect();
                for one in &buried {
                    world.log.line(format_args!("buried {:?}: {}", one.id, one.reason));
                }
                world.evidence().buried = buried;
            }
        }
        self.is_gone(world);
    }
}

impl World {
    /// The process is killed at this moment: nothing that it does from now on reaches anybody.
    pub(super) fn dies(&self, alive: &AtomicBool, fault: Fault, amount: u32) {
        alive.store(false, Ordering::Relaxed);
        self.goes_down(fault);
        let mut inside = self.inside();
        inside.down_ms = DOWN_MS_MIN + i64::from(amount) % DOWN_MS_MAX;
        inside.door = None;
        inside.at_the_door.drain(..).for_each(|line| line.dies(Way::Back));
        inside.disk = crash(&inside.disk, fault, amount);
        drop(inside);
        self.network.process_dies();
    }

    /// There will be no process for a while.
    fn goes_down(&self, fault: Fault) {
        let trouble = self.begins(fault, None);
        self.inside().down.push(trouble);
    }

    /// How long there is no process, milliseconds.
    fn rests(&self) -> i64 {
        std::mem::replace(&mut self.inside().down_ms, DOWN_MS_MIN)
    }

    fn comes_up(&self) {
        let down = std::mem::take(&mut self.inside().down);
        down.into_iter().for_each(|trouble| self.is_over(trouble));
    }

    fn configuration(&self) -> String {
        let edition = self.inside().edition;
        self.plan.settings.configuration(edition)
    }

    /// The operator has changed the configuration, and it is not in use yet. Nobody changes it again before the network
    /// server's messages come with the new key.
    fn new_edition(&self) -> u32 {
        let now = self.clock.true_now();
        let mut evidence = self.evidence();
        let mut inside = self.inside();
        let last = evidence.editions.last().map_or(Some(i64::MIN), |(_, in_use)| *in_use);
        if last.is_some_and(|last| last < now - BETWEEN_EDITIONS_MS) {
            evidence.editions.push((now, None));
            inside.edition += 1;
        }
        inside.edition
    }

    /// This edition and all before it have come into use, or were passed over; the network server is told of its key.
    fn in_use(&self, edition: u32) {
        let now = self.clock.true_now();
        self.evidence().editions.iter_mut().take(edition as usize).for_each(|(_, to)| _ = to.get_or_insert(now));
        let mut inside = self.inside();
        inside.known_edition = inside.known_edition.max(edition);
    }

    /// Whose key the network server has.
    pub(crate) fn known_edition(&self) -> u32 {
        self.inside().known_edition
    }

    /// No message is on its way to the door.
    fn is_at_rest(&self) -> bool {
        self.inside().posting == 0
    }
}

/// The disk as the next process finds it.
fn crash(disk: &Disk, fault: Fault, amount: u32) -> Disk {
    let tail = match fault {
        Fault::Process(ProcessFault::KilledWritten) => Tail::Whole,
        Fault::Process(ProcessFault::KilledTorn) => torn(disk, amount),
        Fault::Process(ProcessFault::KilledAt(_) | ProcessFault::CrashLoop) => match amount % 3 {
            0 => Tail::Absent,
            1 => Tail::Whole,
            _ => torn(disk, amount),
        },
        _ => Tail::Absent,
    };
    disk.crash(tail)
}

fn torn(disk: &Disk, amount: u32) -> Tail {
    let rows = disk.under_way().unwrap_or(0);
    Tail::Torn { rows: amount as usize % (rows + 1) }
}

fn read(text: &str) -> Config {
    let read = config::read(text, &[], Path::new("."), &|_| Err(io::ErrorKind::NotFound.into()));
    read.expect("a configuration of ours").config
}

/// Where the network server's connections come from.
struct Door(UnboundedReceiver<Wire>);

impl Listen for Door {
    type Stream = Wire;

    async fn accept(&mut self) -> io::Result<Wire> {
        match self.0.recv().await {
            Some(wire) => Ok(wire),
            None => std::future::pending().await,
        }
    }
}
