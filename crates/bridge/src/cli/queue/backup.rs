//! `longhaul queue backup`

use std::path::{Path, PathBuf};

use queue::Queue;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::plain::plain;
use super::super::say;
use crate::admin::backup::{Made, Wanted};

/// `longhaul queue backup`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The directory of a queue that nobody has open. Without it a running bridge is asked, and copies into `backups` there
    #[arg(long, requires = "to")]
    pub(super) dir: Option<PathBuf>,
    /// With --dir: a directory that is made for the copy. Without: the copy's name, or else the time
    to: Option<PathBuf>,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// Copies what nobody has open, and looks through the copy.
///
/// # Errors
/// Why it cannot be copied, or that the copy is not whole.
pub(super) fn files(dir: &Path, arguments: &Arguments) -> Result<(), String> {
    let to = arguments.to.as_deref().ok_or("name a directory for the copy")?;
    let bytes = Queue::copy_files(dir, to).map_err(|e| e.to_string())?;
    say(&format!("{bytes} bytes in {}", to.display()));
    super::verify::files(to)
}

/// Has a running bridge copy it.
///
/// # Errors
/// What the bridge says, or that the copy is not whole.
pub(super) async fn running(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let name = match &arguments.to {
        Some(name) => name.to_str().ok_or("the name is no text")?.to_owned(),
        None => format!("{:.0}", jiff::Timestamp::now()).replace(':', "-"),
    };
    let made: Made = bridge.patient().post("/api/v1/queue/backup", &Wanted { name }).await?;
    say(&format!("{} bytes in {}", made.bytes, plain(&made.dir)));
    super::verify::looked_through(made.checked, made.counted, &made.damaged, &made.structure)
}
