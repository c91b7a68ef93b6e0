//! Promise: what is in the bridge's memory stays there. A crash leaves no core file, and no other process of the same
//! user can look.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::processes::{LONGHAUL, until};
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(30);
const SIGABRT: i32 = 6;
/// Nobody in particular, without the superuser's rights.
const NOBODY: u32 = 65_534;
const CANARY: &str = "canary-in-memory-0001";

/// Crashes a bridge that may write as large a core file as it likes; what was its end, and which files it left.
async fn crash(site: &mut Site, more: &str) -> (ExitStatus, Vec<PathBuf>) {
    let script = format!("ulimit -c unlimited 2>&1; exec \"$0\" \"$@\" {more}");
    site.start_bridge_by(Command::new("sh").args(["-c", &script, LONGHAUL])).await;
    site.bridge().signal("ABRT");
    let status = site.bridge().exit_within(PATIENCE).await;
    let files = std::fs::read_dir(&site.dir).expect("it can be listed").flatten().map(|entry| entry.path());
    let cores = files.filter(|path| name(path).starts_with("core"));
    (status, cores.collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_no_core_file() {
    let mut site = Site::start_without_bridge("core").await;
    site.settings.keys = vec![format!("\"{CANARY}\"")];
    let (status, cores) = crash(&mut site, "").await;
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    assert!(!status.core_dumped() && cores.is_empty(), "{status}, {cores:?}");

    // The same death leaves one where that was asked for: so the machine would have written it, and it holds secrets.
    let (status, cores) = crash(&mut site, "--allow-core-dumps").await;
    assert_eq!(status.signal(), Some(SIGABRT), "{status}");
    println!("with --allow-core-dumps: dumped {}, {cores:?}", status.core_dumped());
    for core in cores {
        let bytes = std::fs::read(&core).expect("it is ours");
        assert!(bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "{}", core.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_process_of_the_user_reads_its_memory() {
    let mut site = Site::start_without_bridge("memory").await;
    // The superuser may read everything, so both sides are somebody else where the test runs as that.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = Command::new(LONGHAUL);
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
        chown(&site.dir, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    std::fs::set_permissions(&site.dir, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    site.env.push(("MEMORY_CANARY".to_owned(), CANARY.to_owned()));
    site.start_bridge_by(&mut command).await;
    let bridge = site.bridge().id();

    let mut control = command_of(is_root, "sleep");
    let control = Guard(control.arg("60").env("MEMORY_CANARY", CANARY).spawn().expect("sleep is there"));
    let environ = format!("/proc/{}/environ", control.0.id());
    let found = until("the control can be read", PATIENCE, async || {
        Some(read_as(is_root, &environ)).filter(|(_, text)| text.contains(CANARY))
    });
    assert!(found.await.0, "a process like any other shows its secrets to its user");

    for what in ["environ", "maps", "mem"] {
        let path = format!("/proc/{bridge}/{what}");
        let (is_read, text) = read_as(is_root, &path);
        assert!(!is_read && text.contains("denied") && !text.contains(CANARY), "{path}: {text}");
    }
    let limits = std::fs::read_to_string(format!("/proc/{bridge}/limits")).expect("everybody may");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("it is among them");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}

/// A process of the bridge's user.
fn command_of(is_root: bool, program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env("LC_ALL", "C");
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// What `head` of that user reads of a file or says of it.
fn read_as(is_root: bool, path: &str) -> (bool, String) {
    let output = command_of(is_root, "head").args(["-c", "65536", path]).output().expect("head is there");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
