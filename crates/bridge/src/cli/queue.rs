//! `longhaul queue`: the embedded queue, of a bridge that runs or of one that does not.

mod backup;
mod status;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use super::admin_api::ask;
use super::ended;

/// `longhaul queue`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is in it, and how long it will have room
    Status(status::Arguments),
    /// Whether every message is what was written
    Verify(verify::Arguments),
    /// Copies its files, and looks through the copy
    Backup(backup::Arguments),
}

/// Does what the subcommand says.
pub async fn main(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Status(a) => ask(&a.bridge, async |bridge| status::status(&a, bridge).await).await,
        Command::Verify(a) => match &a.dir {
            Some(dir) => ended(verify::files(dir)),
            None => ask(&a.bridge, async |bridge| verify::running(bridge).await).await,
        },
        Command::Backup(a) => match &a.dir {
            Some(dir) => ended(backup::files(dir, &a)),
            None => ask(&a.bridge, async |bridge| backup::running(&a, bridge).await).await,
        },
    }
}
