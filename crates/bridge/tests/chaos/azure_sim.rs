//! The simulator as a process, which can be killed, stopped, and started again where it was: same ports, same directory,
//! same record.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use azure::net::{Dial, Tls};
use serde_json::{Value, json};

use crate::http;
use crate::processes::{LONGHAUL, Process, until};
use crate::site::{Device, devices_of};

const UP_WITHIN: Duration = Duration::from_secs(30);
const PORTS: [&str; 3] = ["https", "amqp", "page"];

#[derive(Debug)]
pub(crate) struct AzureSim {
    dir: PathBuf,
    process: Process,
    /// What it said when it was ready the first time.
    said: Value,
}

impl AzureSim {
    /// With an empty directory, on ports that are free.
    pub(crate) async fn start(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let mut process = launch(&dir, [0; 3]);
        let said = ready(&mut process).await;
        Self { dir, process, said }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// After a kill.
    pub(crate) async fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.dir.join("azure.stdout"));
        self.process = launch(&self.dir, PORTS.map(|name| self.port(name)));
        ready(&mut self.process).await;
    }

    /// `STOP`, `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    pub(crate) fn port(&self, name: &str) -> u16 {
        let port = self.said[name].as_u64().and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port != 0).unwrap_or_else(|| panic!("{name} is not served: {:?}", self.said[name]))
    }

    fn text(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap_or_else(|| panic!("{name} is missing"))
    }

    pub(crate) fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(Tls::new(Some(self.text("ca_file").as_ref())).expect("the simulator's CA is a CA"))
    }

    pub(crate) async fn enrol(&self, ids: &[String]) -> Vec<Device> {
        self.post("/api/devices", &json!(ids)).await;
        devices_of(self.text("group_key"), ids)
    }

    pub(crate) async fn set_faults(&self, faults: Value) {
        self.post("/api/faults", &faults).await;
    }

    /// How often faults acted, by action.
    pub(crate) async fn faults_that_acted(&self) -> Value {
        let reply = http::get(self.port("page"), "/api/state").await.expect("the control API answers");
        reply.json()["counts"]["amqp"]["faults"].clone()
    }

    async fn post(&self, path: &str, body: &Value) {
        let body = body.to_string();
        let close = [("connection", "close")];
        let reply =
            http::post(self.port("page"), path, &close, body.as_bytes()).await.expect("the control API answers");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }

    /// The lines of the record.
    pub(crate) fn record(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("record.jsonl")).expect("the record can be read");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of the record is JSON")).collect()
    }
}

impl Drop for AzureSim {
    fn drop(&mut self) {
        self.process.kill();
        if std::thread::panicking() {
            eprintln!("what was written stays in {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn launch(dir: &Path, ports: [u16; 3]) -> Process {
    let mut command = Command::new(LONGHAUL);
    command.args(["azure-sim", "--json", "--dir", "azure", "--record", "record.jsonl", "--mqtt", "0"]);
    for (name, port) in PORTS.iter().zip(ports) {
        command.arg(format!("--{name}={port}"));
    }
    Process::start("azure", dir, &mut command)
}

async fn ready(process: &mut Process) -> Value {
    until("the simulator says that it is ready", UP_WITHIN, async || {
        assert!(process.exited().is_none(), "the simulator ended: {}{}", process.stdout(), process.stderr());
        serde_json::from_str(process.stdout().lines().next()?).ok()
    })
    .await
}
