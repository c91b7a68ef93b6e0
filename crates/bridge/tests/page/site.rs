//! The processes whose pages are looked at, and the scripts that look.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Until a process serves its page, on a machine that does much else.
const UP_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

fn scripts_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page")
}

/// A place of its own, gone with its owner.
#[derive(Debug)]
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("longhaul-page-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory can be made");
        Self(dir)
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let file = |name: &str| File::options().create(true).append(true).open(self.0.join(name)).expect("a file");
        Command::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("the binary can be started")
    }

    fn said(&self) -> String {
        ["stdout", "stderr"].iter().filter_map(|name| std::fs::read_to_string(self.0.join(name)).ok()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `longhaul demo`.
#[derive(Debug)]
pub(crate) struct Demo {
    child: Child,
    place: Place,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    pub(crate) async fn start(name: &str, devices: u32) -> Self {
        Self::start_at(name, devices, 40).await
    }

    /// So many devices, and messages a second.
    pub(crate) async fn start_at(name: &str, devices: u32, rate: u32) -> Self {
        let place = Place::new(name);
        let (devices, rate) = (devices.to_string(), rate.to_string());
        let child = place.spawn(&["demo", "--devices", &devices, "--rate", &rate, "--dir", "demo"]);
        let demo = Self { child, place };
        let until = Instant::now() + UP_MAX;
        while demo.address("azure").is_none() {
            assert!(Instant::now() < until, "the demo is not up: {}", demo.place.said());
            sleep(LOOK).await;
        }
        demo
    }

    /// The last word of the line that begins so, where it is an address.
    fn address(&self, what: &str) -> Option<String> {
        let said = self.place.said();
        let line = said.lines().find(|line| line.starts_with(what))?;
        line.split_whitespace().last().filter(|word| word.starts_with("http://")).map(str::to_owned)
    }

    pub(crate) fn told(&self) -> Value {
        json!({"page": self.address("page"), "webhook": self.address("webhook"), "simulator": self.address("azure")})
    }

    /// One uplink of each of so many devices, this many a second.
    pub(crate) async fn feed(&self, devices: u32, rate: u32) {
        let url = self.address("webhook").expect("it was told").replace("/tts", "");
        let (devices, rate) = (devices.to_string(), rate.to_string());
        let arguments = ["send", "--url", &url, "--devices", &devices, "--count", &devices, "--rate", &rate];
        let mut child = self.place.spawn(&arguments);
        let ended = tokio::task::spawn_blocking(move || child.wait()).await.expect("it only waits");
        assert!(ended.is_ok_and(|status| status.success()), "{}", self.place.said());
    }
}

/// `longhaul run` without an Azure, and the two words that a script and its test exchange: files in its directory.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    place: Place,
    role: &'static str,
    ports: (u16, u16),
}

impl Drop for Run {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Run {
    pub(crate) async fn start(name: &str, role: &'static str, token: Option<&str>) -> Self {
        let place = Place::new(name);
        let ports = (free_port(), free_port());
        let token = token.map(|token| format!("token = \"{token}\"\n")).unwrap_or_default();
        let config = format!(
            "[webhook]\nlisten = \"127.0.0.1:{}\"\n[admin]\nlisten = \"127.0.0.1:{}\"\n{token}[queue]\ndir = \"data\"\n\
             [targets.main]\nkind = \"dps\"\nendpoint = \"localhost:9\"\nid_scope = \"0ne00000000\"\ngroup_key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n\
             [[routes]]\ntarget = \"main\"\n",
            ports.0, ports.1
        );
        std::fs::write(place.0.join("longhaul.toml"), config).expect("the file can be written");
        let child = place.spawn(&["run", "--role", role]);
        let run = Self { child, place, role, ports };
        run.until_up().await;
        run
    }

    async fn until_up(&self) {
        let until = Instant::now() + UP_MAX;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.ports.1)).await.is_err() {
            assert!(Instant::now() < until, "it is not up: {}", self.place.said());
            sleep(LOOK).await;
        }
    }

    pub(crate) fn told(&self) -> Value {
        let address = |port| format!("http://127.0.0.1:{port}");
        json!({"page": address(self.ports.1), "webhook": address(self.ports.0), "words": self.place.0})
    }

    /// Waits until the script has written this word.
    pub(crate) async fn until_told(&self, word: &str) {
        let until = Instant::now() + UP_MAX;
        while !self.place.0.join(word).exists() {
            assert!(Instant::now() < until, "the script does not say `{word}`");
            sleep(LOOK).await;
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = self.place.spawn(&["run", "--role", self.role]);
        self.until_up().await;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Runs a script to its end, and gives what it says.
pub(crate) async fn campaign(name: &str, told: &Value, within: Duration) -> String {
    let dir = scripts_dir();
    let read = |file: &str| std::fs::read(dir.join(file)).ok();
    let is_installed = read("node_modules/.installed").is_some_and(|done| Some(done) == read("package-lock.json"));
    assert!(is_installed, "NOT PROVED: run {}/install first", dir.display());
    let run = tokio::process::Command::new("node")
        .arg(dir.join(format!("{name}.mjs")))
        .env("TOLD", told.to_string())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(within, run).await.unwrap_or_else(|_| panic!("{name} takes too long"));
    let output = output.unwrap_or_else(|e| panic!("NOT PROVED: node cannot be run: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
