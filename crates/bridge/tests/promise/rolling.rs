//! Promise: doors behind a balancer that are restarted one after the other refuse nothing, and no connection breaks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::http::{self, Connection};
use crate::network::seed;
use crate::oracle::Obligations;
use crate::processes::until;
use crate::replicas::{Replica, another_door, arrived, door, restart, worker};
use crate::settings::Settings;
use crate::site::{Site, UP_WITHIN};
use crate::uplinks;

const DEVICES: u32 = 20;
/// Between two uplinks of a device; a worker sends two a second of it.
const PACE: Duration = Duration::from_millis(600);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// `webhook.linger_seconds` of a shared queue, and what a debug build on a busy machine takes to end.
const LINGER: Duration = Duration::from_secs(5);
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// What a load balancer does, as they all do it: it looks which doors are ready, sends to these in turn, keeps
/// connections, and tries nothing twice.
struct Balancer {
    doors: Vec<Behind>,
    turn: AtomicUsize,
}

/// One of the doors.
struct Behind {
    webhook: u16,
    admin: u16,
    is_ready: AtomicBool,
    said_leaving: AtomicBool,
    taken: AtomicUsize,
    /// Open, with nothing on them.
    idle: Mutex<VecDeque<Connection>>,
}

impl Balancer {
    fn new(ports: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let behind = |(webhook, admin)| Behind {
            webhook,
            admin,
            is_ready: AtomicBool::new(false),
            said_leaving: AtomicBool::new(false),
            taken: AtomicUsize::new(0),
            idle: Mutex::default(),
        };
        Self { doors: ports.into_iter().map(behind).collect(), turn: AtomicUsize::new(0) }
    }

    async fn look(&self) {
        loop {
            for door in &self.doors {
                door.look().await;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// One attempt; what went wrong, if anything did.
    async fn post(&self, body: &[u8]) -> Result<(), String> {
        let ready: Vec<_> = self.doors.iter().filter(|door| door.is_ready.load(Ordering::Relaxed)).collect();
        if ready.is_empty() {
            return Err("nobody is ready".to_owned());
        }
        let door = ready[self.turn.fetch_add(1, Ordering::Relaxed) % ready.len()];
        door.post(body).await.map_err(|what| format!("port {}: {what}", door.webhook))
    }

    async fn all_ready(&self) {
        until("the balancer finds all doors ready", UP_WITHIN, async || {
            self.doors.iter().all(|door| door.is_ready.load(Ordering::Relaxed)).then_some(())
        })
        .await;
    }
}

impl Behind {
    async fn look(&self) {
        let reply = http::get(self.admin, "/readyz").await.ok();
        let is_ready = reply.as_ref().is_some_and(|reply| reply.status == 200);
        if reply.is_some_and(|reply| reply.status == 503 && reply.json()["leaving"] == true) {
            self.said_leaving.store(true, Ordering::Relaxed);
        }
        if self.is_ready.swap(is_ready, Ordering::Relaxed) && !is_ready {
            self.idle().clear();
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn post(&self, body: &[u8]) -> Result<(), String> {
        let kept = self.idle().pop_front();
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(self.webhook).await.map_err(|e| format!("refused: {e}"))?,
        };
        let reply = connection.post("/tts/uplink_message", &[], body).await;
        let reply = reply.map_err(|e| format!("{} connection broke: {e}", if is_kept { "a kept" } else { "a new" }))?;
        if reply.status != 202 {
            return Err(format!("{}: {}", reply.status, reply.text()));
        }
        if reply.header("connection") != Some("close") {
            self.idle().push_back(connection);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Uplinks of one device until it is over; how many, and what went wrong.
async fn device(
    index: u32,
    balancer: Arc<Balancer>,
    obligations: Arc<Obligations>,
    is_over: Arc<AtomicBool>,
) -> (u32, Vec<String>) {
    let (name, mut counter, mut wrong) = (format!("rolling-{index:02}"), 0, Vec::new());
    let begin = Instant::now() + PACE * index / DEVICES;
    while !is_over.load(Ordering::Relaxed) {
        tokio::time::sleep_until(begin + PACE * counter).await;
        counter += 1;
        obligations.posted(&name, counter);
        match balancer.post(&uplinks::tts("building", &name, counter)).await {
            Ok(()) => obligations.owed(&name, counter),
            Err(what) => wrong.push(format!("{name}, uplink {counter}: {what}")),
        }
    }
    (counter, wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_refuses_nothing() {
    seed();
    let (mut site, _azurite) = door("rolling").await;
    let mut doors = Vec::<(&'static str, Replica)>::new();
    for name in ["one", "two", "three"] {
        doors.push((name, another_door(&site, name).await));
    }
    site.bridge = None; // the first of all only made the queue
    let mut worker = worker(&site, "worker").process;
    let balancer = Arc::new(Balancer::new(doors.iter().map(|(_, door)| (door.webhook, door.admin))));
    let looking = tokio::spawn({
        let balancer = balancer.clone();
        async move { balancer.look().await }
    });
    balancer.all_ready().await;

    let (obligations, is_over) = (Arc::new(Obligations::default()), Arc::new(AtomicBool::new(false)));
    let devices = (0..DEVICES).map(|index| device(index, balancer.clone(), obligations.clone(), is_over.clone()));
    let devices: Vec<_> = devices.map(tokio::spawn).collect();
    sleep(2 * PACE).await;
    let mut lingered = Vec::new();
    for (index, (name, door)) in doors.iter_mut().enumerate() {
        let behind = &balancer.doors[index];
        let before = behind.taken.load(Ordering::Relaxed);
        let told = Instant::now();
        door.process.signal("TERM");
        let status = door.process.exit_within(GONE_WITHIN).await;
        let (took, meanwhile) = (told.elapsed(), behind.taken.load(Ordering::Relaxed) - before);
        println!("{name} ended after {took:?} with {status}, {meanwhile} uplinks after SIGTERM");
        assert!(status.success(), "{name}: {status}");
        lingered.push((took, behind.said_leaving.load(Ordering::Relaxed)));
        restart(&site, name, door).await;
        balancer.all_ready().await;
        sleep(2 * PACE).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut posted, mut wrong) = (0, Vec::new());
    for device in devices {
        let (of_it, wrong_of_it) = device.await.expect("it does not panic");
        posted += of_it;
        wrong.extend(wrong_of_it);
    }
    looking.abort();
    println!("{posted} uplinks over {} restarts, {} went wrong", doors.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(lingered.iter().all(|(took, said_leaving)| *took >= LINGER && *said_leaving), "{lingered:?}");

    let verdict = arrived(&site, &mut worker, &obligations).await;
    assert_eq!(verdict.acked, posted as usize);
    verdict.holds(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_lingering() {
    let settings = Settings { webhook: "linger_seconds = 60".to_owned(), ..Settings::default() };
    let mut site = Site::start_with("rolling-hurried", settings).await;
    site.bridge().signal("TERM");
    until("it says that it leaves", GONE_WITHIN, async || {
        let reply = site.admin("/readyz").await;
        (reply.status == 503 && reply.json()["leaving"] == true).then_some(())
    })
    .await;
    let reply = site.post("/tts", &uplinks::tts("building", "late", 1)).await;
    assert_eq!((reply.status, reply.header("connection")), (202, Some("close")));
    site.bridge().signal("TERM");
    let status = site.bridge().exit_within(GONE_WITHIN).await;
    assert!(status.success(), "it drains and ends with 0, not with {status}");
}
