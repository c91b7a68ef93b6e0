//! `longhaul alarms`: what a human must know of a running bridge.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::admin_api::{AdminApi, BridgeArguments, ask};
use super::moment::moment;
use super::plain::plain;
use super::say;

/// `longhaul alarms`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Those that stand
    List(List),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Those that ended last as well
    #[arg(long)]
    all: bool,
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bridge: BridgeArguments,
}

/// Does what the subcommand says.
pub async fn main(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::List(a) => ask(&a.bridge, async |bridge| list(&a, bridge).await).await,
    }
}

async fn list(arguments: &List, bridge: &AdminApi) -> Result<(), String> {
    let picture: Value = bridge.get("/api/v1/alarms").await?;
    let of = |key: &str| picture[key].as_array().cloned().unwrap_or_default();
    let mut alarms = of("active");
    alarms.extend(if arguments.all { of("recent") } else { Vec::new() });
    for alarm in &alarms {
        say(&if arguments.json { alarm.to_string() } else { lines(alarm) });
    }
    if arguments.json {
        return Ok(());
    }
    if alarms.is_empty() {
        say("no alarm stands");
    }
    if let Some(cause) = picture["reports_fail"]["cause"].as_str() {
        let waiting = &picture["reports_waiting"];
        say(&format!(
            "{waiting} reports wait, for the receiver of alarms.webhook does not take them: {}",
            plain(cause)
        ));
    }
    Ok(())
}

/// What, with what, since when; and below it what is known and what to do.
fn lines(alarm: &Value) -> String {
    let text = |key: &str| plain(alarm[key].as_str().unwrap_or("-"));
    let time = |key: &str| alarm[key].as_i64().map(moment);
    let since = time("since").unwrap_or_else(|| "-".to_owned());
    let ended = time("ended_at").map_or_else(String::new, |at| format!(", ended {at}"));
    let mend = if ended.is_empty() { format!("\n    mend: {}", text("mend")) } else { String::new() };
    let [severity, word, subject, words] = ["severity", "alarm", "subject", "text"].map(text);
    format!("{severity:<4} {word:<18} {subject}, since {since}{ended}\n    {words}{mend}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alarm_is_read_in_three_lines_and_obeyed_by_no_terminal() {
        let alarm = json!({
            "alarm": "hub_down", "subject": "h\u{1b}[2J", "severity": "page", "text": "h does not work", "mend": "look",
            "since": 1_790_000_000_000_i64, "ended_at": null, "told_at": null,
        });
        let first = r"page hub_down           h\u{1b}[2J, since 2026-09-21T14:13:20Z";
        assert_eq!(lines(&alarm), format!("{first}\n    h does not work\n    mend: look"));
        let ended = lines(&json!({ "since": 0, "ended_at": 1_000, "alarm": "queue_shut", "severity": "page" }));
        assert!(ended.contains(", ended 1970-01-01T00:00:01Z") && !ended.contains("mend"), "{ended}");
    }
}
