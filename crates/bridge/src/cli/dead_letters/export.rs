//! `longhaul dead-letters export`

use std::io::Write as _;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::filter::Filter;
use crate::admin::dead_letters::view::Letter;

/// `longhaul dead-letters export`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// To standard output.
///
/// # Errors
/// What the bridge says, or that the output cannot be written: then it is not all of them.
pub(super) async fn export(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let each = async |letters: Vec<Letter>| {
        let mut out = std::io::stdout().lock();
        for letter in letters {
            let line = serde_json::to_string(&letter).map_err(|e| e.to_string())?;
            writeln!(out, "{line}").map_err(|e| format!("failed to write letter {}: {e}", letter.seq))?;
        }
        Ok(true)
    };
    arguments.filter.each(bridge, true, each).await
}
