//! Child processes that are killed when nobody holds them, and whose last words are shown when a test fails.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The binary under test.
pub(crate) const LONGHAUL: &str = env!("CARGO_BIN_EXE_longhaul");
/// Between two looks at something that has to come.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
/// Open files that the campaigns need: 2 000 slow clients and as many sockets on the other side, twice over.
const FILES: u32 = 16_384;

/// A process that does not outlive its owner.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: &'static str,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts it with its output appended to `NAME.stdout` and `NAME.stderr` in `dir`, where it also lives.
    pub(crate) fn start(name: &'static str, dir: &Path, command: &mut Command) -> Self {
        Self::start_with(name, dir, command, Stdio::null())
    }

    /// As [`Process::start`], with something on its standard input.
    pub(crate) fn start_with(name: &'static str, dir: &Path, command: &mut Command, stdin: Stdio) -> Self {
        let (stdout, stderr) = (dir.join(format!("{name}.stdout")), dir.join(format!("{name}.stderr")));
        let child = command
            .current_dir(dir)
            .stdin(stdin)
            .stdout(append(&stdout))
            .stderr(append(&stderr))
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        Self { child, name, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// `STOP`, `CONT`, `TERM`, `INT`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.id().to_string()).status();
        assert!(status.is_ok_and(|status| status.success()), "{} takes no SIG{signal}", self.name);
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        // Fails only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The local ports of its connections to a port of this machine.
    pub(crate) fn connections_to(&self, port: u16) -> BTreeSet<u16> {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id())).into_iter().flatten().flatten();
        let ours: BTreeSet<String> = open
            .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_str()?.to_owned()))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let hex = |place: &str| u16::from_str_radix(place.rsplit_once(':')?.1, 16).ok();
        let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/{}/net/{table}", self.id())));
        let rows = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
        rows.filter_map(|row| {
            let columns: Vec<_> = row.split_whitespace().collect();
            let (local, remote, socket) = (hex(columns.get(1)?)?, hex(columns.get(2)?)?, *columns.get(9)?);
            (remote == port && ours.contains(socket)).then_some(local)
        })
        .collect()
    }

    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be asked")
    }

    /// Waits for its end.
    pub(crate) async fn exit_within(&mut self, patience: Duration) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, patience, async || self.exited()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            for (name, text) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
                eprintln!("--- {} {name}, the last lines ---\n{}", self.name, tail(&text));
            }
        }
    }
}

/// Runs to the end: exit code, stdout, stderr.
pub(crate) async fn run(dir: &Path, arguments: &[&str], patience: Duration) -> (i32, String, String) {
    run_as(Command::new(LONGHAUL), dir, arguments, patience).await
}

/// As [`run`], with a command that becomes the binary.
pub(crate) async fn run_as(
    command: Command,
    dir: &Path,
    arguments: &[&str],
    patience: Duration,
) -> (i32, String, String) {
    let mut command = tokio::process::Command::from(command);
    command.args(arguments).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(patience, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("longhaul {arguments:?} is still there after {patience:?}"));
    let output = output.unwrap_or_else(|e| panic!("longhaul {arguments:?} cannot be started: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Waits until `look` says `Some`; `what` is for the one who reads that it never did.
pub(crate) async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {patience:?} in vain: {what}");
        sleep(LOOK).await;
    }
}

/// Lets this process and those that it starts open many files. Where that is not allowed the test goes on with what
/// there is, and fails where it matters.
pub(crate) fn raise_file_limit() {
    let limit = format!("--nofile={FILES}:");
    let _ = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &limit]).status();
}

fn append(path: &Path) -> File {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
