//! `longhaul devices`: who is there, and how to get there.

mod find; // which one is meant
mod key; // a device's own key
mod list;
mod provision; // a list of devices, on its way to Azure
mod retry;
mod rows; // PURE: that list, as people have it
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use super::admin_api::{AdminApi, BridgeArguments};
use crate::admin::devices::view::State;

/// `longhaul devices`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All that have sent, or were provisioned ahead
    List(list::Arguments),
    /// One of them, with everything that is known
    Show(show::Arguments),
    /// A device's key, derived from its group's: printed because you ask
    Key(key::Arguments),
    /// Brings a list of devices to Azure before their first uplink; run again, it goes on where it was
    Provision(provision::Arguments),
    /// Ends the wait of devices that were refused: the cause is mended
    Retry(retry::Arguments),
}

/// Does what the subcommand says.
pub async fn main(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::List(a) => at(&a.bridge, async |bridge| list::main(&a, bridge).await).await,
        Command::Show(a) => at(&a.bridge, async |bridge| show::main(&a, bridge).await).await,
        Command::Key(a) => key::main(a).await,
        Command::Provision(a) => provision::main(a).await,
        Command::Retry(a) => at(&a.bridge, async |bridge| retry::main(&a, bridge).await).await,
    }
}

/// Asks the bridge that is meant.
async fn at(bridge: &BridgeArguments, ask: impl AsyncFnOnce(&AdminApi) -> ExitCode) -> ExitCode {
    match AdminApi::new(bridge) {
        Ok(bridge) => ask(&bridge).await,
        Err(code) => code,
    }
}

/// One of the words of [`State`].
fn state(text: &str) -> Result<State, String> {
    let known = State::ALL.map(State::word);
    State::ALL.into_iter().find(|state| state.word() == text).ok_or_else(|| format!("is one of {}", known.join(", ")))
}
