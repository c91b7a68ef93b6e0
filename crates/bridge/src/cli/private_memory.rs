//! Who else can read the memory of this process, where keys and connection strings are?
//!
//! Nobody: a crash leaves no core file, and no debugger of the same user attaches. Only the superuser can still look.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Closes it. To be called before the first secret is read.
///
/// # Errors
/// What the system refused. The process is no worse off than before, so it may go on.
pub(super) fn close() -> io::Result<()> {
    // The first is what everybody knows and `/proc/PID/limits` shows; the second also holds where cores go into a pipe,
    // and takes `/proc/PID/mem`, `environ` and ptrace away from other processes of the user.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
