//! A bridge, an Azure and everything that they write, in one directory on loopback ports.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::http;
use crate::oracle::{Obligations, Record, Verdict};
use crate::processes::{LONGHAUL, LOOK, Process, until};
use crate::settings::{Places, Settings};

/// A process is up within this, also on a busy machine with a debug build.
pub(crate) const UP_WITHIN: Duration = Duration::from_secs(30);
/// What has not arrived when the queue has been empty for this long will never come.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// One test's world.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) ports: Ports,
    pub(crate) settings: Settings,
    pub(crate) simulator: Option<Process>,
    pub(crate) bridge: Option<Process>,
    /// What the simulator printed when it was ready.
    pub(crate) azure: Value,
    /// What a pending registration is told; the real service says 3.
    pub(crate) dps_retry_after_s: u32,
    /// More of the simulator's command line.
    pub(crate) simulator_arguments: Vec<String>,
    /// Environment of the bridge besides the group key.
    pub(crate) env: Vec<(String, String)>,
}

/// Free when they were picked, and for this process alone. Kept over restarts, so that clients find the same address again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) webhook: u16,
    pub(crate) admin: u16,
    pub(crate) https: u16,
    pub(crate) amqp: u16,
    pub(crate) page: u16,
}

/// Below the range from which the system gives ports to whoever wants any (32768 and up here): nobody else gets one of these
/// between its being picked and its being listened on. Blocks of five, four blocks for each of 1 100 processes.
const FIRST_PORT: u32 = 10_000;
const BLOCKS: u32 = 4_400;

impl Ports {
    pub(crate) fn pick() -> Self {
        static PICKED: AtomicU32 = AtomicU32::new(0);
        for _ in 0..BLOCKS {
            let block =
                std::process::id().wrapping_mul(4).wrapping_add(PICKED.fetch_add(1, Ordering::Relaxed)) % BLOCKS;
            let port = |index: u32| u16::try_from(FIRST_PORT + block * 5 + index).expect("below 32 000");
            if (0..5).all(|index| TcpListener::bind(("127.0.0.1", port(index))).is_ok()) {
                return Self { webhook: port(0), admin: port(1), https: port(2), amqp: port(4), page: port(3) };
            }
        }
        panic!("no five ports in a row are free");
    }
}

impl Site {
    /// An empty directory; nothing runs.
    pub(crate) fn empty(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        Self {
            dir,
            ports: Ports::pick(),
            settings: Settings::default(),
            simulator: None,
            bridge: None,
            azure: Value::Null,
            dps_retry_after_s: 0,
            simulator_arguments: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Both run.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, Settings::default()).await
    }

    pub(crate) async fn start_with(name: &str, settings: Settings) -> Self {
        let mut site = Self::start_without_bridge(name).await;
        site.settings = settings;
        site.start_bridge().await;
        site
    }

    /// The simulator runs.
    pub(crate) async fn start_without_bridge(name: &str) -> Self {
        let mut site = Self::empty(name);
        site.start_simulator().await;
        site
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("longhaul.toml")
    }

    pub(crate) fn record(&self) -> Record {
        Record::new(&self.dir.join("record.jsonl"))
    }

    /// Starts the simulator, again with the same keys and state when it ran before, and notes what it says.
    pub(crate) async fn start_simulator(&mut self) {
        let [https, amqp, page] = [self.ports.https, self.ports.amqp, self.ports.page].map(|port| port.to_string());
        let _ = std::fs::remove_file(self.dir.join("azure.stdout"));
        let mut command = Command::new(LONGHAUL);
        command.args(["azure-sim", "--https", &https, "--amqp", &amqp, "--mqtt", "0", "--page", &page, "--json"]);
        command.args(["--dir", "azure", "--record", "record.jsonl"]);
        command.args(["--dps-retry-after", &self.dps_retry_after_s.to_string()]);
        command.args(&self.simulator_arguments);
        let simulator = self.simulator.insert(Process::start("azure", &self.dir, &mut command));
        self.azure = until("the simulator says that it is ready", UP_WITHIN, async || {
            assert!(simulator.exited().is_none(), "the simulator ended: {}{}", simulator.stdout(), simulator.stderr());
            serde_json::from_str(simulator.stdout().lines().next()?).ok()
        })
        .await;
    }

    /// Writes the configuration without starting anything.
    pub(crate) fn write_config(&self) {
        let text = |name: &str| self.azure[name].as_str().unwrap_or_default();
        let places = Places {
            webhook: self.ports.webhook,
            admin: self.ports.admin,
            azure: self.ports.https,
            amqp: self.ports.amqp,
            id_scope: text("id_scope"),
            ca_file: text("ca_file"),
        };
        std::fs::write(self.config(), self.settings.to_toml(&places)).expect("the configuration can be written");
    }

    /// Starts the bridge on the configuration of now and waits until it takes messages.
    pub(crate) async fn start_bridge(&mut self) {
        self.start_bridge_by(&mut Command::new(LONGHAUL)).await;
    }

    /// Starts it by a command that takes its arguments and becomes it.
    pub(crate) async fn start_bridge_by(&mut self, command: &mut Command) {
        self.start_bridge_as(command, Stdio::null()).await;
    }

    /// Starts the bridge with a webhook listener that somebody else holds (LISTEN_FDS), as a supervisor does.
    pub(crate) async fn start_bridge_on(&mut self, listener: &TcpListener) {
        // A shell moves the socket to descriptor 3 and becomes the bridge, whose pid it has to say.
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@""#, LONGHAUL]);
        let socket = OwnedFd::from(listener.try_clone().expect("a descriptor is free"));
        self.start_bridge_as(&mut shell, socket.into()).await;
    }

    async fn start_bridge_as(&mut self, command: &mut Command, stdin: Stdio) {
        self.write_config();
        command.args(["run", "--config", "longhaul.toml"]).env("GROUP_KEY", self.group_key());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.bridge = Some(Process::start_with("bridge", &self.dir, command, stdin));
        self.ready().await;
    }

    pub(crate) async fn ready(&mut self) {
        let (port, bridge) = (self.ports.admin, self.bridge.as_mut().expect("the bridge was started"));
        until("the bridge is ready", UP_WITHIN, async || {
            assert!(bridge.exited().is_none(), "the bridge ended: {}", bridge.stderr());
            http::get(port, "/readyz").await.ok().filter(|reply| reply.status == 200)
        })
        .await;
    }

    pub(crate) fn bridge(&mut self) -> &mut Process {
        self.bridge.as_mut().expect("the bridge was started")
    }

    pub(crate) fn simulator(&mut self) -> &mut Process {
        self.simulator.as_mut().expect("the simulator was started")
    }

    pub(crate) fn group_key(&self) -> String {
        self.azure["group_key"].as_str().expect("the simulator names its group key").to_owned()
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> http::Reply {
        http::post(self.ports.webhook, path, &[], body).await.expect("the door answers")
    }

    pub(crate) async fn admin(&self, path: &str) -> http::Reply {
        http::get(self.ports.admin, path).await.expect("the admin listener answers")
    }

    /// What the simulator's own page counts.
    pub(crate) async fn azure_state(&self) -> Value {
        http::get(self.ports.page, "/api/state").await.expect("the simulator's page answers").json()
    }

    /// All dead letters.
    pub(crate) async fn dead_letters(&self) -> Vec<Value> {
        let (mut letters, mut after): (Vec<Value>, _) = (Vec::new(), None);
        loop {
            let query = after.map_or_else(String::new, |seq: u64| format!("?after={seq}"));
            let page = self.admin(&format!("/api/v1/dead-letters{query}")).await.json();
            letters.extend(page["letters"].as_array().expect("a page of letters").iter().cloned());
            after = page["next"].as_u64();
            if after.is_none() {
                return letters;
            }
        }
    }

    /// The reasons of all dead letters, sorted.
    pub(crate) async fn dead_letter_reasons(&self) -> Vec<String> {
        let mut reasons: Vec<_> = self
            .dead_letters()
            .await
            .iter()
            .map(|letter| letter["reason"].as_str().unwrap_or("?").to_owned())
            .collect();
        reasons.sort();
        reasons
    }

    /// Waits until nothing waits in the queue any more.
    pub(crate) async fn drained(&self, patience: Duration) {
        until("the queue runs empty", patience, async || self.waiting().await.filter(|count| *count == 0)).await;
    }

    /// Waits until everything that is owed stands in the record and the queue is empty, and judges. Also when the queue
    /// stays empty without it: that is a loss, and the judge names it.
    pub(crate) async fn settled(&self, obligations: &Obligations, patience: Duration) -> Verdict {
        let mut record = self.record();
        let end = Instant::now() + patience;
        let mut empty_since = None;
        while Instant::now() < end {
            let is_empty = self.waiting().await == Some(0);
            let is_through = record.lines().len() >= obligations.owed_count();
            if is_empty && is_through {
                break;
            }
            if !is_empty {
                empty_since = None;
            } else if empty_since.get_or_insert_with(Instant::now).elapsed() > LOST_AFTER {
                break;
            }
            sleep(LOOK).await;
        }
        assert_eq!(self.waiting().await, Some(0), "waited {patience:?} in vain: the queue runs empty");
        obligations.judge(record.lines())
    }

    /// Messages in the queue, as the bridge tells.
    async fn waiting(&self) -> Option<u64> {
        http::get(self.ports.admin, "/readyz").await.ok()?.json()["waiting"].as_u64()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.bridge = None;
        self.simulator = None;
        if std::thread::panicking() {
            eprintln!("what was written stays in {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
