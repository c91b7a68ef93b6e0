//! `longhaul dead-letters show`

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::moment::moment;
use super::super::plain::plain;
use super::super::say;
use crate::admin::dead_letters::view::Letter;

/// `longhaul dead-letters show`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its position, as `list` shows it
    seq: u64,
    /// As a line of JSON, which is a line of an export
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// Everything that is known.
///
/// # Errors
/// What the bridge says.
pub(super) async fn show(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let letter: Letter = bridge.get(&format!("/api/v1/dead-letters/{}", arguments.seq)).await?;
    if arguments.json {
        say(&serde_json::to_string(&letter).map_err(|e| e.to_string())?);
        return Ok(());
    }
    let time = |at: Option<i64>| at.map(moment);
    let lines = [
        ("position", Some(letter.seq.to_string())),
        ("reason", Some(format!("{} ({})", letter.reason, letter.class.word()))),
        ("detail", Some(letter.detail)),
        ("mend", Some(letter.mend)),
        ("network", Some(letter.network)),
        ("application", letter.application),
        ("device", letter.device),
        ("DevEUI", letter.dev_eui),
        ("kind", Some(letter.kind)),
        ("accepted", Some(moment(letter.accepted_at))),
        ("buried", Some(moment(letter.buried_at))),
        ("attempts", Some(letter.attempts.to_string())),
        ("first attempt", time(letter.first_attempt_at)),
        ("last attempt", time(letter.last_attempt_at)),
        ("last answer", letter.last_cause),
        ("replayed", (letter.replays > 0).then(|| format!("{} times", letter.replays))),
        (
            "body",
            Some(format!("{} bytes{}", letter.bytes, if letter.is_whole { "" } else { ", not as it was accepted" })),
        ),
    ];
    for (name, value) in lines {
        value.iter().for_each(|value| say(&format!("{name:<14} {}", plain(value))));
    }
    match (letter.body, letter.body_base64) {
        (Some(text), _) => say(&pretty(&text)),
        (None, Some(base64)) => say(&format!("(base64) {base64}")),
        (None, None) => {}
    }
    Ok(())
}

fn pretty(text: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(text).ok();
    value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| plain(text))
}
