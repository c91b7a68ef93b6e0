//! `longhaul dead-letters`: what could not be sent, why, and what becomes of it.

mod change; // replay, drop
mod export;
mod filter; // which ones
mod import;
mod list;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use super::admin_api::ask;
use super::{USAGE, fail_as};

/// `longhaul dead-letters`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One line each, and what can be done about them
    List(list::Arguments),
    /// One of them, with its message
    Show(show::Arguments),
    /// Sends them again, each in its old place: the cause is mended
    Replay(change::Arguments),
    /// Throws them away
    Drop(change::Arguments),
    /// Writes them with their messages, one line of JSON each
    Export(export::Arguments),
    /// Takes such lines in, as dead letters
    Import(import::Arguments),
}

/// Does what the subcommand says.
pub async fn main(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::List(a) => ask(&a.bridge, async |bridge| list::list(&a, bridge).await).await,
        Command::Show(a) => ask(&a.bridge, async |bridge| show::show(&a, bridge).await).await,
        Command::Replay(a) => change(&a, change::REPLAY).await,
        Command::Drop(a) => change(&a, change::DROP).await,
        Command::Export(a) => ask(&a.bridge, async |bridge| export::export(&a, bridge).await).await,
        Command::Import(a) => ask(&a.bridge, async |bridge| import::import(&a, bridge).await).await,
    }
}

async fn change(arguments: &change::Arguments, change: change::Change) -> ExitCode {
    match arguments.misuse() {
        Some(misuse) => fail_as(USAGE, misuse),
        None => ask(&arguments.bridge, async |bridge| change::change(arguments, change, bridge).await).await,
    }
}
