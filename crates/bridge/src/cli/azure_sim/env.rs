//! `longhaul azure-sim env`: what each SDK has to be told to find the simulator and to trust it.
//!
//! Promises: what is printed can be pasted into a shell; where a line sends a message, it says so before it. Keys come
//! from the simulator's directory only; a running simulator is asked over its page, which tells no keys.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use simulator::{STARTED_FILE, Started};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod sdks; // what each of them needs

use super::super::{fail, run as bridge, say};

/// A page on this machine answers within milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Longest answer: fifty hubs and ten thousand groups with a hundred bytes each are 1 MB.
const ANSWER_BYTES_MAX: u64 = 2 << 20;

/// `longhaul azure-sim env`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The simulator's directory: it need not run, and keys are printed
    #[arg(long, conflicts_with = "page")]
    dir: Option<PathBuf>,
    /// Port of a running simulator's page; it tells no keys
    #[arg(long, default_value_t = 8082)]
    page: u16,
    /// A registration id, for connection strings of a device
    #[arg(long, value_name = "ID", default_value = "my-device")]
    device: String,
    /// Prints one JSON line
    #[arg(long)]
    json: bool,
}

/// What one SDK needs.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Needs {
    sdk: &'static str,
    /// Name and value, in the order in which they are of use.
    env: Vec<(&'static str, String)>,
    /// What can be typed with the variables set.
    commands: Vec<String>,
    /// What cannot be said in a variable.
    notes: Vec<String>,
    /// Ports that it cannot be told, and that the simulator does not have.
    ports_missing: Vec<u16>,
}

pub(super) async fn main(arguments: &Arguments) -> ExitCode {
    let found = match &arguments.dir {
        Some(dir) => kept(dir),
        None => asked(arguments.page).await,
    };
    let started = match found {
        Ok(started) => started,
        Err(e) => return fail(&e),
    };
    let needs = sdks::all(&started, &arguments.device, bridge::world().clock.now());
    say(&if arguments.json { as_json(&needs) } else { as_text(&started, &needs) });
    ExitCode::SUCCESS
}

fn kept(dir: &Path) -> Result<Started, String> {
    let file = dir.join(STARTED_FILE);
    let text = std::fs::read(&file).map_err(|e| {
        format!("--dir {}: no simulator has run there: {e}; start one with this --dir once", dir.display())
    })?;
    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}; start the simulator once more", file.display()))
}

async fn asked(port: u16) -> Result<Started, String> {
    let mend = "start one, give its --page PORT, or its --dir DIR";
    let no_answer = |e: &dyn std::fmt::Display| format!("--page {port}: no simulator answers: {e}; {mend}");
    let answer = tokio::time::timeout(ANSWER_MAX, get(port)).await;
    let answer = answer.map_err(|e| no_answer(&e))?.map_err(|e| no_answer(&e))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).map_err(|e| no_answer(&e))
}

async fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("localhost", port)).await?;
    stream.write_all(b"GET /api/started HTTP/1.0\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn as_json(needs: &[Needs]) -> String {
    let one = |needs: &Needs| {
        let env: serde_json::Map<_, _> =
            needs.env.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
        serde_json::json!({"sdk": needs.sdk, "env": env, "commands": needs.commands, "notes": needs.notes, "ports_missing": needs.ports_missing})
    };
    serde_json::Value::from_iter(needs.iter().map(one)).to_string()
}

fn as_text(started: &Started, needs: &[Needs]) -> String {
    let mut lines = vec![format!(
        "# azure-sim at {}: HTTPS {}, AMQP {}, MQTT {}",
        started.host, started.https, started.amqp, started.mqtt
    )];
    if started.group_key.is_empty() {
        lines.push(
            "# keys are not told by a running simulator: give --dir, or see what it printed when it began".to_owned(),
        );
    }
    for one in needs {
        lines.push(format!("\n# {}", one.sdk));
        if !one.ports_missing.is_empty() {
            let ports: Vec<String> = one.ports_missing.iter().map(u16::to_string).collect();
            lines.push(format!(
                "# it cannot be told ports, and not all of its own are here ({}): start azure-sim with --standard-ports",
                ports.join(", ")
            ));
        }
        lines.extend(one.env.iter().map(|(name, value)| format!("export {name}={}", quoted(value))));
        lines.extend(one.notes.iter().map(|note| format!("# {note}")));
        lines.extend(one.commands.iter().cloned());
    }
    lines.join("\n")
}

/// For a shell.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@%+=,".contains(c);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests;
