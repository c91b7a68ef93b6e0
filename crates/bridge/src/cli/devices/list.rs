//! `longhaul devices list`

use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::moment::moment;
use super::super::plain::plain;
use super::super::{fail, say};
use crate::admin::devices::view::{Device, Page, State};

/// `longhaul devices list`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only those of this application
    #[arg(long)]
    application: Option<String>,
    /// Only those with this in their ids or in their names in Azure
    #[arg(long)]
    search: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = super::state)]
    state: Option<State>,
    /// Only so many
    #[arg(long)]
    limit: Option<usize>,
    /// A line of JSON for each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// Devices asked for at once.
const AT_ONCE: usize = 500;

/// One line a device, as they come.
pub(super) async fn main(arguments: &Arguments, bridge: &AdminApi) -> ExitCode {
    match list(arguments, bridge).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e),
    }
}

async fn list(arguments: &Arguments, bridge: &AdminApi) -> Result<(), String> {
    let mut left = arguments.limit.unwrap_or(usize::MAX);
    let mut after = None;
    let mut heading = Some(line(["device", "state", "hub", "device id there", "last uplink"]));
    while left > 0 {
        let Page { devices, next } = bridge.get(&address(arguments, after.as_deref(), left.min(AT_ONCE))).await?;
        left = left.saturating_sub(devices.len());
        for device in &devices {
            if arguments.json {
                say(&serde_json::to_string(device).map_err(|e| e.to_string())?);
            } else {
                heading.take().iter().for_each(|heading| say(heading));
                say(&row(device));
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    Ok(())
}

fn address(arguments: &Arguments, after: Option<&str>, limit: usize) -> String {
    let given = [
        ("application", arguments.application.as_deref()),
        ("search", arguments.search.as_deref()),
        ("state", arguments.state.map(State::word)),
        ("after", after),
    ];
    given
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)))
        .fold(format!("/api/v1/devices?limit={limit}"), |address, (name, value)| {
            format!("{address}&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        })
}

/// A device that several scopes know has a line for each.
fn row(device: &Device) -> String {
    let who = plain(&device.key().to_string());
    let last = device.last_uplink_at.map_or("-".to_owned(), moment);
    let state = device.state.word();
    let row = |hub: Option<&str>, id: Option<&str>| {
        line([&who, state, &plain(hub.unwrap_or("-")), &plain(id.unwrap_or("-")), &last])
    };
    if device.names.is_empty() {
        return row(None, None);
    }
    let rows = device.names.iter().map(|name| row(name.hub.as_deref(), name.device_id.as_deref()));
    rows.collect::<Vec<_>>().join("\n")
}

fn line([device, state, hub, id, last]: [&str; 5]) -> String {
    format!("{device:<40} {state:<11} {hub:<36} {id:<32} {last}")
}
