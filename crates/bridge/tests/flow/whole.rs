//! The whole process without a socket and without a file: the same wiring as in production, and a kill at each of its points.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bridge::app::{self, App, Parts, Role};
use bridge::reload::Outcome;
use bridge::webhook::accept::Listen;
use bridge::world::{Point, Points};
use queue::memory::Disk;
use queue::{Engine, Queue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::site::{MINUTE, SECOND, Site, read, uplink};

/// What a network gives up after.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections, as somebody opens them.
struct Wires(mpsc::UnboundedReceiver<DuplexStream>);

impl Listen for Wires {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<DuplexStream> {
        match self.0.recv().await {
            Some(stream) => Ok(stream),
            None => std::future::pending().await,
        }
    }
}

/// Writes down each point, and never lets the flow go on from one.
#[derive(Debug, Default)]
struct Witness {
    reached: Mutex<Vec<Point>>,
    fatal: Option<Point>,
}

impl Witness {
    fn is_dead(&self) -> bool {
        self.fatal.is_some_and(|fatal| self.reached.lock().unwrap().contains(&fatal))
    }
}

impl Points for Witness {
    fn reached(&self, point: Point) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.reached.lock().unwrap().push(point);
        if self.fatal == Some(point) { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}

struct Process {
    app: App,
    door: mpsc::UnboundedSender<DuplexStream>,
    queue: Queue,
}

impl Process {
    async fn starts(site: &Site, witness: &Arc<Witness>) -> Self {
        let world = site.world().listening(witness.clone());
        let config = read(&site.config);
        let options =
            queue::Options { engine: Engine::Memory(Disk::clone(&site.disk)), ..app::queue_options(&config, &world) };
        let (queue, writer) = Queue::open_here(options).unwrap();
        tokio::spawn(writer);
        let (door, wires) = mpsc::unbounded_channel();
        let parts = Parts {
            door: Some(Wires(wires)),
            pages: None,
            tls: None,
            dial: Arc::new(site.cloud.clone()),
            queue: queue.clone(),
            home: None,
            host: "bridge".to_owned(),
        };
        let app = App::build(config, Role::All, world, parts).await.unwrap();
        Self { app, door, queue }
    }

    /// The answer to a webhook; none within what a network waits.
    async fn post(&self, body: &[u8]) -> Option<String> {
        post(&self.door, body).await
    }

    async fn is_idle(&self) {
        while self.queue.stats().waiting > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The answer to a webhook; none within what a network waits.
async fn post(door: &mpsc::UnboundedSender<DuplexStream>, body: &[u8]) -> Option<String> {
    let (mut ours, theirs) = duplex(64 << 10);
    door.send(theirs).ok()?;
    let length = body.len();
    let head = format!("POST /tts HTTP/1.1\r\nhost: door\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let asked = async {
        ours.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = String::new();
        ours.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    timeout(PATIENCE, asked).await.ok()?.ok()
}

#[test]
fn the_whole_process_runs_changes_and_drains_without_a_socket() {
    let mut site = Site::new(70);
    let witness = Arc::new(Witness::default());
    site.begin(async |site| {
        let process = Process::starts(site, &witness).await;
        let answer = process.post(&uplink("a", "d", 1, "AQAI").body).await.expect("an answer in time");
        assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        assert!(answer.contains("date: Mon, 23 Nov 2026 10:00:00 GMT\r\n"), "not the world's time: {answer}");
        timeout(MINUTE, process.is_idle()).await.expect("sent within a minute");
        let changed = site.config.replace("[[routes]]", "[[routes]]\napplication = \"b\"\ndrop = true\n[[routes]]");
        assert_eq!(process.app.reload.take(read(&changed)).await, Outcome::Taken(vec!["routes"]));
        assert!(process.post(&uplink("b", "d", 1, "AQAI").body).await.is_some());
        process.app.drain().await;
    });
    assert_eq!(site.cloud.state().hub.taken(), 1, "the other was dropped on purpose");
    let reached = witness.reached.lock().unwrap();
    let missed = Point::ALL.iter().filter(|point| !reached.contains(point)).collect::<Vec<_>>();
    let troubles = [Point::PoolHubLeft, Point::DeviceBeforeRetry, Point::DeviceRetried, Point::DeviceBeforeBury];
    let missed: Vec<_> = missed.into_iter().filter(|point| !troubles.contains(point)).collect();
    assert_eq!(missed, [&Point::DeviceBeforeKeep], "nobody put what is to be kept");
    let first = |point| reached.iter().position(|other| *other == point).expect("it was reached");
    let way = [
        Point::DoorKeyChecked,
        Point::DoorBeforePut,
        Point::DoorCommitted,
        Point::DevicePlanned,
        Point::ClaimBeforeWrite,
        Point::ClaimWritten,
        Point::ProvisionBeforeBegun,
        Point::ProvisionBegun,
        Point::ProvisionAnswered,
        Point::ProvisionKept,
        Point::PoolHubOpened,
        Point::DeviceBeforeSend,
        Point::DeviceAccepted,
        Point::DeviceSettled,
        Point::ReloadBefore,
        Point::ReloadTaken,
        Point::DrainBegun,
        Point::DrainBeforeHubs,
        Point::DrainBeforeDoor,
        Point::DrainBeforeQueue,
    ];
    assert!(way.is_sorted_by_key(|point| first(*point)), "{reached:?}");
}

#[test]
fn who_leaves_takes_messages_while_it_lingers_and_delivers_none() {
    let mut site = Site::new(71);
    site.config.insert_str(0, "[webhook]\nlinger_seconds = 60\n");
    let witness = Arc::new(Witness::default());
    site.begin(async |site| {
        for (is_hurried, lasts) in [(false, 60), (true, 30)] {
            let Process { app, door, queue } = Process::starts(site, &witness).await;
            let (hurry, hurried) = oneshot::channel();
            let (began, gone) = (Instant::now(), tokio::spawn(app.leave(hurried)));
            tokio::time::sleep(29 * SECOND).await;
            let waiting = queue.stats().waiting;
            let answer = post(&door, &uplink("a", "d", lasts, "AQAI").body).await.expect("an answer in time");
            assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
            assert_eq!(queue.stats().waiting, waiting + 1, "nobody delivers it any more");
            tokio::time::sleep(SECOND).await;
            if is_hurried {
                hurry.send(()).expect("it lingers");
            }
            timeout(MINUTE, gone).await.expect("it ends").unwrap();
            assert_eq!(began.elapsed().as_secs(), lasts);
        }
    });
    assert_eq!(site.cloud.state().hub.taken(), 0);
}

#[test]
fn a_kill_at_any_point_loses_nothing_and_repeats_nothing_but_what_the_hub_has() {
    for (number, fatal) in Point::ALL.iter().enumerate() {
        let mut site = Site::new(700 + number as u64);
        let witness = Arc::new(Witness { fatal: Some(*fatal), ..Witness::default() });
        let mut promised = 0;
        site.begin(async |site| {
            let process = Process::starts(site, &witness).await;
            for counter in 1..=2 {
                let answer = process.post(&uplink("a", "d", counter, "AQAI").body).await;
                promised += usize::from(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 202 ")));
            }
            let _ = timeout(10 * SECOND, process.is_idle()).await;
            if !witness.is_dead() {
                process.app.drain().await;
            }
        });
        let witness = Arc::new(Witness::default());
        site.begin(async |site| {
            let process = Process::starts(site, &witness).await;
            timeout(5 * MINUTE, process.is_idle()).await.unwrap_or_else(|_| panic!("{fatal}: stuck"));
        });
        let state = site.cloud.state();
        let ids: Vec<_> = state.hub.attempts.iter().filter(|a| a.taken).map(|attempt| &attempt.message_id).collect();
        let there = ids.iter().collect::<BTreeSet<_>>().len();
        assert!(there >= promised, "{fatal}: {promised} promised, {there} there");
        let repeated = ids.len() - there;
        assert_eq!(repeated, usize::from(*fatal == Point::DeviceAccepted), "{fatal}");
    }
}
