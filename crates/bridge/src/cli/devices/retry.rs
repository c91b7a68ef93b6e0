//! `longhaul devices retry`

use std::process::ExitCode;

use serde_json::json;

use super::super::admin_api::{AdminApi, BridgeArguments};
use super::super::{USAGE, fail, fail_as, say};
use super::find::{find, path};
use crate::admin::devices::view::Woken;

/// `longhaul devices retry`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// DEVICE, APPLICATION/DEVICE or NETWORK/APPLICATION/DEVICE, as the network calls them
    #[arg(conflicts_with_all = ["application", "all"])]
    device: Option<String>,
    /// All of this application
    #[arg(long, conflicts_with = "all")]
    application: Option<String>,
    /// All there are
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArguments,
}

/// Says how many had anything to wait for.
pub(super) async fn main(arguments: &Arguments, bridge: &AdminApi) -> ExitCode {
    let woken = match (&arguments.device, &arguments.application, arguments.all) {
        (Some(device), _, _) => one(bridge, device).await,
        (None, Some(application), _) => some(bridge, &json!({ "application": application })).await,
        (None, None, true) => some(bridge, &json!({ "all": true })).await,
        (None, None, false) => return fail_as(USAGE, "name a device, or give --application or --all"),
    };
    match woken {
        Ok(Woken { woken: 0 }) => {
            say("nothing of theirs was held");
            ExitCode::SUCCESS
        }
        Ok(Woken { woken }) => {
            say(&format!("devices tried again now: {woken}"));
            ExitCode::SUCCESS
        }
        Err(e) => fail(&e),
    }
}

async fn one(bridge: &AdminApi, device: &str) -> Result<Woken, String> {
    let device = find(bridge, device).await?;
    bridge.post(&format!("{}/retry", path(&device.key())), &json!({})).await
}

async fn some(bridge: &AdminApi, which: &serde_json::Value) -> Result<Woken, String> {
    bridge.post("/api/v1/devices/retry", which).await
}
