//! `longhaul dead-letters list`

use std::collections::BTreeMap;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::moment::moment;
use super::super::plain::plain;
use super::super::say;
use super::filter::Filter;
use crate::admin::dead_letters::view::Letter;

/// `longhaul dead-letters list`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    filter: Filter,
    /// Only so many
    #[arg(long)]
    limit: Option<usize>,
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// One line a letter, then one for each reason.
///
/// # Errors
/// What the bridge says.
pub(super) async fn list(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut reasons: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let each = async |letters: Vec<Letter>| {
        for letter in letters.into_iter().take(left) {
            left -= 1;
            if arguments.json {
                say(&serde_json::to_string(&letter).map_err(|e| e.to_string())?);
                continue;
            }
            if reasons.is_empty() {
                say(&line(["position", "buried", "reason", "attempts", "device"], "detail"));
            }
            say(&row(&letter));
            reasons.entry(letter.reason).or_insert((0, letter.mend)).0 += 1;
        }
        Ok(left > 0)
    };
    arguments.filter.each(bridge, false, each).await?;
    for (reason, (count, mend)) in &reasons {
        say(&format!("\n{reason}, {count}: {mend}"));
    }
    if reasons.is_empty() && !arguments.json {
        say("none");
    }
    Ok(())
}

fn row(letter: &Letter) -> String {
    let (application, device) = (letter.application.as_deref(), letter.device.as_deref());
    let who = plain(&format!("{}/{}/{}", letter.network, application.unwrap_or("-"), device.unwrap_or("-")));
    let (seq, attempts) = (letter.seq.to_string(), letter.attempts.to_string());
    line([&seq, &moment(letter.buried_at), &letter.reason, &attempts, &who], &plain(&letter.detail))
}

fn line([seq, buried, reason, attempts, who]: [&str; 5], detail: &str) -> String {
    format!("{seq:<10} {buried:<20} {reason:<20} {attempts:<8} {who:<40} {detail}")
}
