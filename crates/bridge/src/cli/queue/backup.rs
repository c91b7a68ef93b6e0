//! `longhaul queue backup`

use std::path::PathBuf;

use queue::Queue;

use super::super::say;

/// `longhaul queue backup`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of the queue; nobody may have it open
    #[arg(long)]
    dir: PathBuf,
    /// A directory that is made for the copy
    to: PathBuf,
}

/// Copies, and looks through the copy.
///
/// # Errors
/// Why it cannot be copied, or that the copy is not whole.
pub(super) fn backup(arguments: &Arguments) -> Result<(), String> {
    let bytes = Queue::copy_files(&arguments.dir, &arguments.to).map_err(|e| e.to_string())?;
    say(&format!("{bytes} bytes in {}", arguments.to.display()));
    super::verify::files(&arguments.to)
}
