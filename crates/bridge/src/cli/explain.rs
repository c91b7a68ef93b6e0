//! `longhaul explain FILE`: what would happen to this message. Pure: the same functions as the bridge, no network, no
//! queue. Key vaults are not asked: only a connection string in one leaves something open, and that is said.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use queue::{Place, Seq};
use serde_json::json;
use serde_json::value::RawValue;
use vault::Reference;

use super::plain::plain;
use super::{fail, say, settings};
use crate::config::{Config, TargetKind};
use crate::device::plan::{Outbound, Plan, plan};
use crate::identity::{Unique, unique};
use crate::webhook::keys::Admission;
use crate::webhook::sort::{Arrival, sort};
use crate::world::World;

/// `longhaul explain`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A message as the network posts it
    file: PathBuf,
    /// The configuration
    #[arg(long, default_value = "longhaul.toml")]
    config: PathBuf,
    /// Only the body, byte for byte, and nothing else
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

/// Explains one file.
pub fn main(arguments: &Arguments) -> ExitCode {
    let read = match settings::read_unasked(&arguments.config) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let bytes = match std::fs::read(&arguments.file) {
        Ok(bytes) => bytes,
        Err(e) => return fail(&format!("{}: cannot be read: {e}", arguments.file.display())),
    };
    let explained = explain(&bytes, &read.config, &super::run::world());
    match (arguments.body, arguments.json) {
        (true, _) => return body_only(&explained),
        (_, true) => as_json(&explained, &read.vault_secrets),
        _ => as_text(&explained, &arguments.file, &read.vault_secrets),
    }
    ExitCode::SUCCESS
}

/// What the webhook would answer, and what would become of the message.
#[derive(Debug)]
enum Explained {
    Refused { status: u16, why: String },
    DeadLetter { reason: String, detail: String },
    Kept { kind: &'static str },
    Dropped { route: String },
    Sent(Box<Outbound>),
}

fn explain(bytes: &[u8], config: &Config, world: &World) -> Explained {
    let admission = Admission { network: config.webhook.network.clone(), applications: None };
    let arrival = Arrival { body: bytes, binary: false, path: "/tts", admission: &admission };
    let sorted = match sort(arrival) {
        Ok(sorted) => sorted,
        Err(answer) => return Explained::Refused { status: answer.status().as_u16(), why: answer.word().to_owned() },
    };
    let put = sorted.into_put(world.now());
    if let Place::DeadLetters(reason) = put.place {
        return Explained::DeadLetter { reason: reason.code, detail: reason.detail };
    }
    let message = put.into_message(Seq(0));
    match plan(&message, config).plan {
        Plan::Keep(kind) => Explained::Kept { kind },
        Plan::Drop(route) => Explained::Dropped { route },
        Plan::Bury(reason) => Explained::DeadLetter { reason: reason.code, detail: reason.detail },
        Plan::Send(outbound) => Explained::Sent(outbound),
    }
}

fn body_only(explained: &Explained) -> ExitCode {
    use std::io::Write;
    let Explained::Sent(outbound) = explained else {
        return fail("this message is not sent, so it has no body; without --body it says why");
    };
    match std::io::stdout().lock().write_all(&outbound.telemetry.message.body) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("failed to write the body: {e}")),
    }
}

/// Where the connection string of its target stands, if that is a key vault.
fn open_question<'s>(outbound: &Outbound, vault_secrets: &'s [(String, Reference)]) -> Option<&'s Reference> {
    let key = format!("targets.{}.connection_string", outbound.way.target);
    vault_secrets.iter().find(|(known, _)| *known == key).map(|(_, secret)| secret)
}

fn as_json(explained: &Explained, vault_secrets: &[(String, Reference)]) {
    let value = match explained {
        Explained::Refused { status, why } => json!({ "answer": status, "becomes": "nothing", "reason": why }),
        Explained::DeadLetter { reason, detail } => {
            json!({ "answer": 202, "becomes": "dead_letter", "reason": reason, "detail": detail })
        }
        Explained::Kept { kind } => json!({ "answer": 202, "becomes": "kept", "kind": kind }),
        Explained::Dropped { route } => {
            json!({ "answer": 202, "becomes": "nothing", "reason": "dropped", "route": route })
        }
        Explained::Sent(o) => return say(&sent_as_json(o, open_question(o, vault_secrets))),
    };
    say(&value.to_string());
}

/// The body goes in as it is: a JSON reader would write its numbers anew.
fn sent_as_json(outbound: &Outbound, open: Option<&Reference>) -> String {
    #[derive(serde::Serialize)]
    struct Sent<'a> {
        answer: u16,
        becomes: &'a str,
        target: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        connection_string_in: Option<String>,
        registration_id: &'a str,
        unique: &'a str,
        message_id: &'a str,
        creation_time: Option<String>,
        properties: std::collections::BTreeMap<&'a str, &'a str>,
        body: Option<Box<RawValue>>,
    }
    let message = &outbound.telemetry.message;
    let body = String::from_utf8(message.body.to_vec()).ok().and_then(|text| RawValue::from_string(text).ok());
    let sent = Sent {
        answer: 202,
        becomes: "telemetry",
        target: &outbound.way.target,
        connection_string_in: open.map(ToString::to_string),
        registration_id: &outbound.way.id,
        unique: unique(&outbound.target.device_id).word(),
        message_id: &message.message_id,
        creation_time: message.creation_time.map(|t| t.to_string()),
        properties: message.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        body,
    };
    serde_json::to_string(&sent).expect("strings and raw JSON are always JSON")
}

fn as_text(explained: &Explained, file: &Path, vault_secrets: &[(String, Reference)]) {
    say(&plain(&file.display().to_string()));
    let line = |name: &str, value: &str| say(&format!("  {name:<13} {}", plain(value)));
    match explained {
        Explained::Refused { status, why } => line("answer", &format!("{status} {why}; nothing is kept")),
        Explained::DeadLetter { reason, detail } => {
            line("answer", "202");
            line("becomes", &format!("a dead letter: {reason}"));
            line("because", detail);
        }
        Explained::Kept { kind } => {
            line("answer", "202");
            line("becomes", &format!("kept, not sent: {kind}"));
        }
        Explained::Dropped { route } => {
            line("answer", "202");
            line("becomes", &format!("nothing: the route `{route}` drops it on purpose"));
        }
        Explained::Sent(outbound) => {
            line("answer", "202");
            line("becomes", "telemetry");
            describe(outbound, line);
            if let Some(secret) = open_question(outbound, vault_secrets) {
                line("open", &format!("{secret} knows the hub, and the device if it is a single device's string"));
            }
        }
    }
}

fn describe(outbound: &Outbound, line: impl Fn(&str, &str)) {
    let (way, message) = (&outbound.way, &outbound.telemetry.message);
    line("from", &outbound.owner.to_string());
    let kind = match &outbound.target.kind {
        TargetKind::Dps(dps) if dps.central => format!("IoT Central, scope {} at {}", dps.id_scope, dps.endpoint),
        TargetKind::Dps(dps) => format!("DPS scope {} at {}", dps.id_scope, dps.endpoint),
        TargetKind::Device(device) => format!("IoT Hub {}, the device's own connection string", device.host),
        TargetKind::Policy(policy) => format!("IoT Hub {}, policy {}", policy.host, policy.policy),
    };
    line("target", &format!("{} ({kind})", way.target));
    line("device id", &way.id);
    if !matches!(outbound.target.kind, TargetKind::Device(_)) {
        let says = match unique(&outbound.target.device_id) {
            Unique::ByRule => "no other device of the network can come out under it".to_owned(),
            Unique::ByClaim { why } => format!("the first device to send under it owns it: {why}"),
        };
        line("unique", &says);
    }
    line("message-id", &message.message_id);
    line("created", &message.creation_time.map(|t| t.to_string()).unwrap_or_default());
    for (name, value) in &message.properties {
        line("property", &format!("{name}: {value}"));
    }
    line("body", &String::from_utf8_lossy(&message.body));
}
