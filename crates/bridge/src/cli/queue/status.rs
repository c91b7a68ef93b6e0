//! `longhaul queue status`

use serde_json::Value;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::moment::moment;
use super::super::plain::plain;
use super::super::say;

/// `longhaul queue status`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// As a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// What the bridge says of its queue.
///
/// # Errors
/// What the bridge says, or that it cannot keep messages: then the exit code tells a script.
pub(super) async fn status(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let snapshot: Value = bridge.get("/api/v1/snapshot").await?;
    let queue = &snapshot["queue"];
    let is_writable = queue["writable"] == true;
    if arguments.json {
        say(&queue.to_string());
    } else {
        let number = |key: &str| queue[key].as_u64().unwrap_or(0);
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        say(&format!("takes messages  {}", if is_writable { "yes" } else { "NO" }));
        queue["trouble"].as_str().iter().for_each(|trouble| say(&format!("trouble         {}", plain(trouble))));
        let (waiting, lanes) = (number("waiting"), number("lanes"));
        say(&format!("waiting         {waiting} of {lanes} devices, {}", mib(number("waiting_bytes"))));
        let oldest = queue["oldest_accepted_at"].as_i64();
        oldest.iter().for_each(|oldest| say(&format!("oldest          {}", moment(*oldest))));
        say(&format!("being sent      {}", number("leased")));
        say(&format!("dead letters    {}, {} gone", number("dead_letters"), number("dead_letters_gone")));
        say(&format!("kept events     {}, {} gone", number("kept"), number("kept_gone")));
        match &queue["outlook"] {
            Value::Null => say("room            not known yet, ask again in ten seconds"),
            outlook => {
                let left = outlook["seconds_left"].as_u64();
                let pace =
                    left.map_or("it does not fill".to_owned(), |left| format!("full in {} at this pace", time(left)));
                say(&format!("room            {}, {pace}", mib(outlook["bytes_left"].as_u64().unwrap_or(0))));
            }
        }
    }
    if is_writable { Ok(()) } else { Err("the queue cannot keep messages".to_owned()) }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..600 => format!("{seconds} s"),
        600..36_000 => format!("{} min", seconds / 60),
        36_000..864_000 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
