//! File systems for tests: ext4 in a file, of a size, which somebody without rights may own, and whose power can be cut.
//!
//! Needs root, `mkfs.ext4` (e2fsprogs), `mount`, and Python for one call; where they are not to be had, [`Volume::new`] says so,
//! and the test that asked says that it proved nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from then on nothing reaches the disk, not even what its journal holds.
/// Reads directories from its input and says when each is done.
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
for line in sys.stdin:
    fd = os.open(line.rstrip('\\n'), os.O_RDONLY)
    fcntl.ioctl(fd, 0x8004587D, struct.pack('I', 2))
    os.close(fd)
    print('cut', flush=True)
";
/// Whoever has just ended may hold a file for a moment.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// A file system, mounted.
#[derive(Debug)]
pub struct Volume {
    image: PathBuf,
    at: PathBuf,
    switch: Switch,
}

#[derive(Debug)]
struct Switch {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Volume {
    /// A new one of so many MiB. Its image is in memory where that can be, so that only this disk can lose anything, and a
    /// flush takes no time.
    ///
    /// # Errors
    /// Why none can be had here.
    pub fn new(at: &Path, mebibytes: u64) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let memory = Path::new("/dev/shm");
        let name = format!("{}-{}.ext4", at.file_name().unwrap().display(), std::process::id());
        let image = if memory.is_dir() { memory } else { at.parent().unwrap() }.join(name);
        let file = File::create(&image).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        told(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).output())?;
        let mut process = Command::new("python3")
            .args(["-c", SHUTDOWN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("python3: {e}"))?;
        let switch =
            Switch { to: process.stdin.take().unwrap(), from: BufReader::new(process.stdout.take().unwrap()), process };
        mount(&image, at)?;
        Ok(Self { image, at: at.to_owned(), switch })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Everybody may write to it.
    pub fn open_to_all(&self) {
        told(Command::new("chmod").arg("0777").arg(&self.at).output()).unwrap();
    }

    /// The power goes: what was not flushed is gone, and every further call fails.
    pub fn cut(&mut self) {
        writeln!(self.switch.to, "{}", self.at.display()).unwrap();
        let mut line = String::new();
        self.switch.from.read_line(&mut line).unwrap();
        assert_eq!(line, "cut\n", "the power could not be cut");
    }

    /// The power is back. Whoever had files there has to be gone.
    pub fn back(&mut self) {
        unmount(&self.at);
        mount(&self.image, &self.at).unwrap();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = self.switch.process.kill();
        let _ = self.switch.process.wait();
        if std::thread::panicking() {
            // What is there tells why.
            return;
        }
        unmount(&self.at);
        let _ = fs::remove_file(&self.image);
    }
}

fn mount(image: &Path, at: &Path) -> Result<(), String> {
    told(Command::new("mount").args(["-o", "loop,noatime"]).arg(image).arg(at).output())
}

#[expect(clippy::disallowed_methods, reason = "a test's own patience, outside of any runtime")]
fn unmount(at: &Path) {
    let begun = Instant::now();
    while let Err(why) = told(Command::new("umount").arg(at).output()) {
        assert!(begun.elapsed() < BUSY_MAX, "{why}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn told(output: io::Result<Output>) -> Result<(), String> {
    let output = output.map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}
