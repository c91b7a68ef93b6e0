//! `longhaul devices show`

use std::process::ExitCode;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::moment::moment;
use super::super::plain::plain;
use super::super::{fail, say};
use super::find::find;
use crate::admin::devices::radio::Heard;
use crate::admin::devices::view::{Device, Named};

/// `longhaul devices show`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// DEVICE, APPLICATION/DEVICE or NETWORK/APPLICATION/DEVICE, as the network calls them
    device: String,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// Everything that is known of one device.
pub(super) async fn main(arguments: &Arguments, bridge: &AdminApi) -> ExitCode {
    match find(bridge, &arguments.device).await {
        Ok(device) if arguments.json => match serde_json::to_string(&device) {
            Ok(json) => {
                say(&json);
                ExitCode::SUCCESS
            }
            Err(e) => fail(&e.to_string()),
        },
        Ok(device) => {
            lines(&device).iter().for_each(|(name, value)| say(&format!("{name:<16} {}", plain(value))));
            ExitCode::SUCCESS
        }
        Err(e) => fail(&e),
    }
}

fn lines(device: &Device) -> Vec<(&'static str, String)> {
    let time = |at: Option<i64>| at.map(moment);
    let mut lines = vec![("device", device.key().to_string()), ("state", device.state.word().to_owned())];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("last uplink", time(device.last_uplink_at));
    add("heard", device.radio.as_ref().map(heard));
    add("uplinks wait", time(device.waiting_since).map(|at| format!("since {at}")));
    add("next try", time(device.retry_at));
    if let Some(tried) = &device.tried {
        add("tried", Some(format!("{} times", tried.attempts)));
        add("last cause", tried.last_cause.clone());
    }
    for name in &device.names {
        lines.extend(of(name));
    }
    lines
}

/// What is known of how it is heard, in one line.
fn heard(radio: &Heard) -> String {
    let parts = [
        radio.rssi_dbm.map(|dbm| format!("{dbm} dBm")),
        radio.snr_db.map(|db| format!("{db} dB")),
        radio.spreading_factor.map(|factor| format!("SF{factor}")),
        radio.gateways.map(|gateways| format!("gateways {gateways}")),
        radio.f_cnt.map(|count| format!("frame {count}")),
        Some(format!("missed {}", radio.missed)),
        radio.usual_interval_ms.map(|millis| format!("every {} s", millis / 1000)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn of(name: &Named) -> Vec<(&'static str, String)> {
    let mut lines = vec![("registration id", format!("{} in {}", name.registration_id, name.scope))];
    let mut add = |word, value: Option<String>| lines.extend(value.map(|value| (word, value)));
    add("  target", (!name.targets.is_empty()).then(|| name.targets.join(", ")));
    let there = name.device_id.as_deref().unwrap_or("-");
    add("  hub", name.hub.as_ref().map(|hub| format!("{hub}, as {there}")));
    add("  assigned", name.assigned_at.map(moment));
    add("  registering", name.registering.then(|| "it stands in line, or is being registered".to_owned()));
    if let Some(refused) = &name.refused {
        add("  refused", Some(format!("{} times, asked again {}", refused.times, moment(refused.until))));
        add("  cause", Some(refused.cause.clone()));
    }
    lines
}
