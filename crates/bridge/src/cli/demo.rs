//! `longhaul demo`: the whole system in one process. A simulated network server with class A devices, the bridge as `run`
//! builds it, the simulated Azure on real sockets with real TLS, and a checker that trusts neither.

mod checker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use simulator::{Recorded, Simulator};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::checker::Checker;
use super::send::uplinks::Style;
use super::send::{self, Posted};
use super::{FAILED, fail, log, rate, run as bridge, say};
use crate::app::{App, Listeners, Role};
use crate::config::{self, Log, duration};
use crate::world::World;

/// Messages a second when nobody says.
const RATE: f64 = 5.0;
/// After the last post, this long without a new record means that what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same after Ctrl-C.
const PATIENCE_INTERRUPTED: Duration = Duration::from_secs(2);
/// Between two lines of the table.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Between two lines of the table after the first minute.
const LINE_EVERY_LATER: Duration = Duration::from_secs(60);

/// `longhaul demo`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many devices send
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Messages a second over all devices
    #[arg(long, default_value_t = RATE, value_parser = rate::parse)]
    rate: f64,
    /// Ends by itself after this long, such as 20s; exit code 1 if anything was lost
    #[arg(long = "for", value_parser = duration::parse)]
    lasting: Option<Duration>,
    /// Keeps everything here instead of in a directory that is removed in the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

type Books = Arc<Mutex<Checker>>;

/// Runs the demonstration.
pub async fn main(arguments: Arguments) -> ExitCode {
    log::start(&Log { json: false, level: tracing::Level::WARN });
    let place = match Place::new(arguments.dir.as_deref()) {
        Ok(place) => place,
        Err(e) => return fail(&format!("--dir: cannot be used: {e}")),
    };
    match Demo::start(&arguments, &place.0).await {
        Ok(demo) => demo.run(arguments.lasting).await,
        Err(e) => fail(&e),
    }
}

struct Demo {
    simulator: Simulator,
    app: App,
    sender: JoinHandle<()>,
    books: Books,
}

impl Demo {
    async fn start(arguments: &Arguments, dir: &Path) -> Result<Self, String> {
        let world = bridge::world();
        let books = Books::default();
        let simulator = simulate(dir, &world, &books).await?;
        let config = config(dir, &simulator)?;
        let app =
            App::start(config, Role::All, world.clone(), Listeners::default()).await.map_err(|e| bridge::chain(&e))?;
        let webhook = app.webhook.ok_or("the door did not open")?;
        let admin = app.admin.ok_or("the pages did not open")?;
        say(&format!("page     http://{admin}"));
        say(&format!("webhook  http://{webhook}/tts"));
        let (https, amqp) = (simulator.started().https, simulator.started().amqp);
        let pages =
            simulator.started().page.map(|port| format!(", its page http://localhost:{port}")).unwrap_or_default();
        say(&format!("azure    https://localhost:{https}, amqps://localhost:{amqp} (simulated){pages}\n"));
        let options = send::Options {
            url: format!("http://{webhook}"),
            format: Style::TtsV3,
            devices: arguments.devices,
            rate: Some(arguments.rate),
            lasting: Some(arguments.lasting.unwrap_or(Duration::MAX)),
            ..send::Options::default()
        };
        let sender = tokio::spawn(post(options, world, books.clone()));
        Ok(Self { simulator, app, sender, books })
    }

    async fn run(mut self, lasting: Option<Duration>) -> ExitCode {
        say("    time     sent   delivered    waiting   duplicated      p50      p99");
        let start = Instant::now();
        let mut signals = bridge::Signals::new();
        let mut stop = std::pin::pin!(signals.next());
        let (mut sending, mut interrupted) = (true, false);
        let mut quiet = Quiet::new();
        loop {
            let pause = if start.elapsed() < Duration::from_secs(60) { LINE_EVERY } else { LINE_EVERY_LATER };
            let settled = tokio::select! {
                () = &mut stop, if !interrupted => {
                    interrupted = true;
                    self.sender.abort();
                    false
                }
                _ = &mut self.sender, if sending => { sending = false; false }
                () = tokio::time::sleep(if sending { pause } else { LINE_EVERY.min(pause) / 5 }) => true,
            };
            if settled && (sending || quiet.changed(&self.books)) {
                self.line(start.elapsed());
            }
            let patience = if interrupted { PATIENCE_INTERRUPTED } else { PATIENCE };
            if !sending && quiet.over(&self.books, patience) {
                break;
            }
        }
        self.finish(lasting, interrupted).await
    }

    fn line(&self, elapsed: Duration) {
        let checker = lock(&self.books);
        let t = checker.tally();
        say(&format!(
            "{:>7}s {:>8} {:>11} {:>10} {:>12} {:>8} {:>8}",
            elapsed.as_secs(),
            t.sent,
            t.delivered,
            checker.owed(),
            t.duplicated,
            short(checker.latencies().at(0.5)),
            short(checker.latencies().at(0.99)),
        ));
    }

    /// What an interrupted demonstration has not delivered is in the queue, not lost.
    async fn finish(self, lasting: Option<Duration>, interrupted: bool) -> ExitCode {
        self.app.drain().await;
        let _ = self.simulator.stop().await;
        let checker = lock(&self.books);
        let (t, owed) = (checker.tally(), checker.owed());
        let lost = if interrupted { 0 } else { owed };
        let mut more = if t.refused > 0 { format!(", refused {}", t.refused) } else { String::new() };
        if interrupted && owed > 0 {
            more.push_str(&format!(", still waiting {owed}"));
        }
        say(&format!(
            "\nsent {}, delivered {}, lost {lost}, duplicated {}, p50 {}, p99 {}{more}",
            t.sent,
            t.delivered,
            t.duplicated,
            short(checker.latencies().at(0.5)),
            short(checker.latencies().at(0.99)),
        ));
        let nothing = lasting.is_some() && t.sent == 0;
        if lost > 0 || t.refused > 0 || nothing { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
    }
}

/// Whether the record still grows after the last post.
struct Quiet {
    delivered: u64,
    since: Instant,
}

impl Quiet {
    fn new() -> Self {
        Self { delivered: 0, since: Instant::now() }
    }

    fn changed(&mut self, books: &Books) -> bool {
        let delivered = lock(books).tally().delivered;
        if delivered == self.delivered {
            return false;
        }
        *self = Self { delivered, since: Instant::now() };
        true
    }

    fn over(&mut self, books: &Books, patience: Duration) -> bool {
        self.changed(books);
        lock(books).owed() == 0 || self.since.elapsed() > patience
    }
}

async fn simulate(dir: &Path, world: &World, books: &Books) -> Result<Simulator, String> {
    let (clock, books) = (world.clock.clone(), books.clone());
    let record = dir.join("record.jsonl");
    let options = simulator::Options {
        dir: Some(dir.join("azure")),
        record: Some(record),
        page_port: Some(0),
        assigning_polls: 0,
        retry_after_s: 0,
        on_message: Some(Arc::new(move |recorded| note(&books, recorded))),
        ..simulator::Options::new(Arc::new(move || clock.now()))
    };
    simulator::start(options).await.map_err(|e| format!("failed to {}", bridge::chain(&e)))
}

/// Reads device and counter from the body as IoT Hub got it.
fn note(books: &Books, recorded: &Recorded) {
    #[derive(serde::Deserialize)]
    struct Body {
        #[serde(rename = "Counter")]
        counter: u64,
    }
    if let Ok(body) = serde_json::from_slice::<Body>(&recorded.body) {
        lock(books).recorded(&recorded.device_id, body.counter, Instant::now());
    }
}

async fn post(options: send::Options, world: World, books: Books) {
    let observer = Arc::new(move |posted: &Posted| match posted.status {
        Ok(200..300) => {
            let now = Instant::now();
            let moment = now.checked_sub(posted.waited).unwrap_or(now);
            lock(&books).accepted(&posted.device, u64::from(posted.counter), moment);
        }
        _ => lock(&books).refused(),
    });
    if let Err(e) = send::run(options, world, observer).await {
        say(&format!("the sender stopped: {e}"));
    }
}

/// The configuration that somebody would write for this, read as theirs would be.
fn config(dir: &Path, simulator: &Simulator) -> Result<config::Config, String> {
    let s = simulator.started();
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string()); // JSON's strings are TOML's
    let text = format!(
        "[webhook]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[queue]\ndir = {dir}\n\
         [azure]\nca_file = {ca}\nports = {{ https = {https}, amqp = {amqp} }}\n\
         registrations_per_minute = 0\nattaches_per_second = 0\n\
         [targets.demo]\nkind = \"dps\"\nendpoint = \"{dps}\"\nid_scope = \"{scope}\"\ngroup_key = \"{key}\"\n\
         [[routes]]\ntarget = \"demo\"\n",
        dir = quoted(&dir.join("queue")),
        ca = quoted(&s.ca_file),
        https = s.https,
        amqp = s.amqp,
        dps = s.dps_endpoint,
        scope = s.id_scope,
        key = s.group_key,
    );
    config::read(&text, &[], dir, &|path| std::fs::read_to_string(path))
        .map(|read| read.config)
        .map_err(|mistakes| config::report("the demo's own configuration", &mistakes))
}

/// Where the demo keeps its files; removed in the end unless somebody chose it.
struct Place(PathBuf, bool);

impl Place {
    fn new(chosen: Option<&Path>) -> std::io::Result<Self> {
        let mut name = [0; 8];
        let _ = getrandom::fill(&mut name);
        let passing = || std::env::temp_dir().join(format!("longhaul-demo-{:016x}", u64::from_le_bytes(name)));
        let dir = chosen.map_or_else(passing, Path::to_owned);
        std::fs::create_dir_all(&dir)?;
        Ok(Self(std::path::absolute(dir)?, chosen.is_none()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.1 {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn short(wait: Duration) -> String {
    format!("{:.1} ms", wait.as_secs_f64() * 1e3)
}

fn lock(books: &Books) -> MutexGuard<'_, Checker> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}
