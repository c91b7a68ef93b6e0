//! What the system says of this process, as far as it does. Memory of the kernel's alone is read, so that nothing waits for a disk.

use std::path::Path;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The figures that every client library of Prometheus has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Process {
    /// Of all processors, in the program and in the system for it.
    pub(super) cpu_seconds: f64,
    /// In memory now; none where there is no /proc.
    pub(super) resident_bytes: Option<u64>,
    /// Files and sockets.
    pub(super) open_fds: Option<u64>,
    /// How many there may be; none: no bound.
    pub(super) max_fds: Option<u64>,
}

pub(super) fn look() -> Process {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Process {
        cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        resident_bytes: std::fs::read_to_string("/proc/self/status").ok().and_then(|status| resident_bytes(&status)),
        open_fds: open_fds(Path::new("/proc/self/fd")),
        max_fds: getrlimit(Resource::Nofile).current,
    }
}

/// PURE: the line is `VmRSS:     1234 kB`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Linux tells their number as the directory's size since 6.2; before, each has to be read: 10 ms for 8 000.
fn open_fds(dir: &Path) -> Option<u64> {
    match dir.metadata().ok()?.len() {
        0 => std::fs::read_dir(dir).ok().map(|entries| entries.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let before = look();
        let file = std::fs::File::open("/proc/self/status").expect("Linux");
        let with_one_more = look();
        drop(file);
        assert!(with_one_more.open_fds > before.open_fds, "{before:?} {with_one_more:?}");
        assert!(before.resident_bytes > Some(1024 * 1024) && before.max_fds > Some(3), "{before:?}");
        assert!(before.cpu_seconds > 0.0 && with_one_more.cpu_seconds >= before.cpu_seconds);
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12_288));
    }
}
