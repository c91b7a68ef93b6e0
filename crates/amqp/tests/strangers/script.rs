//! Programs in other languages: started, given a time limit, killed on drop, and heard out when they fail.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::wire::Log;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers")
}

/// A running script. Each line that it prints is one of JSON.
pub(crate) struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// A server ends with its input.
    _input: ChildStdin,
    name: &'static str,
}

/// Whether everything is there that the scripts need; if not, nothing can be said about the engine.
fn check_installed(name: &str) {
    if name.ends_with(".py") {
        let is_there = Path::new("/usr/lib/python3/dist-packages/proton").is_dir();
        assert!(is_there, "NOT PROVED: Proton is missing: install Debian's python3-qpid-proton");
        return;
    }
    let read = |file: &str| std::fs::read(scripts().join(file)).ok();
    let is_there = read("node_modules/.installed").is_some_and(|lock| Some(lock) == read("package-lock.json"));
    assert!(is_there, "NOT PROVED: rhea is missing or of another version: run {}/install", scripts().display());
}

impl Script {
    pub(crate) fn start(name: &'static str, arguments: &[String], log: &Log) -> Self {
        check_installed(name);
        // Debian's Proton is for Debian's Python alone.
        let interpreter = if name.ends_with(".cjs") { "node" } else { "/usr/bin/python3" };
        let mut child = Command::new(interpreter)
            .arg(scripts().join(name))
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("NOT PROVED: cannot run {interpreter}: {error}"));
        tokio::spawn(copy(child.stderr.take().expect("it is piped"), name, log.clone()));
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let input = child.stdin.take().expect("it is piped");
        Self { child, lines, _input: input, name }
    }

    /// What it prints next; none when it ends or takes longer.
    pub(crate) async fn line(&mut self, limit: Duration, log: &Log) -> Option<Value> {
        let line = tokio::time::timeout(limit, self.lines.next_line()).await.ok()?.ok()??;
        log.note(self.name, &line);
        serde_json::from_str(&line).ok()
    }

    pub(crate) async fn is_done_well(&mut self, limit: Duration) -> bool {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        matches!(ended, Ok(Ok(status)) if status.success())
    }
}

async fn copy(from: impl AsyncRead + Unpin, name: &'static str, log: Log) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.note(name, &line);
    }
}
