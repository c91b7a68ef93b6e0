//! `longhaul dead-letters replay` and `drop`

use serde_json::json;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::say;
use super::filter::Filter;
use crate::admin::dead_letters::MOVED_MAX;
use crate::admin::dead_letters::view::{Letter, Outcome};

/// `longhaul dead-letters replay` and `drop`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Their positions, as `list` shows them
    #[arg(conflicts_with = "all")]
    seqs: Vec<u64>,
    #[command(flatten)]
    filter: Filter,
    /// All there are
    #[arg(long)]
    all: bool,
    /// Says which ones, and does nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// What is done with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    path: &'static str,
    done: &'static str,
}

/// See [`super::Command::Replay`].
pub(super) const REPLAY: Change = Change { path: "/api/v1/dead-letters/replay", done: "replayed" };
/// See [`super::Command::Drop`].
pub(super) const DROP: Change = Change { path: "/api/v1/dead-letters/drop", done: "dropped" };

impl Arguments {
    /// What is wrong with them, if anything.
    pub(super) fn misuse(&self) -> Option<&'static str> {
        match (self.seqs.is_empty(), self.filter.is_all(), self.all) {
            (false, false, _) => Some("give positions or filters, not both"),
            (true, true, false) => Some("give positions, a filter, or --all"),
            (true, false, true) => Some("give filters or --all, not both"),
            _ => None,
        }
    }
}

/// One after the other by position, so that whoever comes back for a new burial is not met twice.
///
/// # Errors
/// What the bridge says, and how far it came.
pub(super) async fn change(arguments: &Arguments, change: Change, bridge: &AdminApi) -> Result<(), String> {
    let mut sum = Outcome::default();
    let changed = match arguments.seqs.is_empty() {
        false => some(&arguments.seqs, arguments.dry_run, change, bridge, &mut sum).await,
        true => {
            let each = async |letters: Vec<Letter>| {
                let seqs: Vec<u64> = letters.iter().map(|letter| letter.seq).collect();
                some(&seqs, arguments.dry_run, change, bridge, &mut sum).await.map(|()| true)
            };
            arguments.filter.each(bridge, false, each).await
        }
    };
    let Outcome { done, missing, damaged } = &sum;
    if arguments.dry_run {
        say(&format!("would be {}: {}", change.done, done.len()));
        done.chunks(16).for_each(|seqs| say(&format!("  {}", listed(seqs))));
        return changed;
    }
    say(&format!("{}: {}", change.done, done.len()));
    if !missing.is_empty() {
        say(&format!("not there: {}", listed(missing)));
    }
    if !damaged.is_empty() {
        say(&format!("not as they were accepted, left where they are: {}", listed(damaged)));
    }
    changed
}

async fn some(seqs: &[u64], dry_run: bool, change: Change, bridge: &AdminApi, sum: &mut Outcome) -> Result<(), String> {
    if dry_run {
        sum.done.extend(seqs);
        return Ok(());
    }
    for seqs in seqs.chunks(MOVED_MAX) {
        let Outcome { done, missing, damaged } = bridge.post(change.path, &json!({ "seqs": seqs })).await?;
        sum.done.extend(done);
        sum.missing.extend(missing);
        sum.damaged.extend(damaged);
    }
    Ok(())
}

fn listed(seqs: &[u64]) -> String {
    seqs.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}
