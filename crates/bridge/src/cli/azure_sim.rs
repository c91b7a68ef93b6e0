//! `longhaul azure-sim`: a DPS and an IoT Hub on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use simulator::{DpsRefusal, DpsRefuse, Faults, HubRefusal, HubRefuse, Options, Outage, Simulator, Throttle, When};

use super::{USAGE, fail, fail_as, log, run as bridge, say};
use crate::config::Log;

/// Longest text of `--faults`.
const FAULTS_MAX: usize = 64 * 1024;

/// `longhaul azure-sim`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Port of DPS and hub over HTTPS; Microsoft's SDKs know only 443
    #[arg(long, default_value_t = 8443)]
    https: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP
    #[arg(long, default_value_t = 5671)]
    amqp: u16,
    /// Port of DPS and hub over MQTT
    #[arg(long, default_value_t = 8883)]
    mqtt: u16,
    /// Port of the page and of the control API
    #[arg(long, default_value_t = 8082)]
    page: u16,
    /// A name besides `localhost`; the first is the hub that devices are assigned to
    #[arg(long = "host")]
    hosts: Vec<String>,
    /// Keeps CA, id scope, keys and registry over restarts
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Appends every message here before it is accepted, one JSON line each
    #[arg(long)]
    record: Option<PathBuf>,
    /// Prints one JSON line when it is ready
    #[arg(long)]
    json: bool,
    /// `Retry-After` of a pending registration, seconds; the real service says 3
    #[arg(long, default_value_t = 3)]
    dps_retry_after: u64,
    #[command(flatten)]
    trouble: Trouble,
}

/// Trouble to order; the control API changes it while it runs.
#[derive(Debug, clap::Args)]
struct Trouble {
    /// DPS answers 429 beyond so many registrations a minute
    #[arg(long, value_name = "PER_MINUTE")]
    dps_throttle: Option<u32>,
    /// The hub answers 429 beyond so many messages a second
    #[arg(long, value_name = "PER_SECOND")]
    hub_throttle: Option<u32>,
    /// DPS refuses this device (401); may be given again
    #[arg(long, value_name = "REGISTRATION_ID")]
    dps_refuse: Vec<String>,
    /// The hub refuses this device (401); may be given again
    #[arg(long, value_name = "DEVICE_ID")]
    hub_refuse: Vec<String>,
    /// DPS waits before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    dps_delay: u64,
    /// The hub waits before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    hub_delay: u64,
    /// DPS is away
    #[arg(long, value_enum)]
    dps_outage: Option<Away>,
    /// The hub is away
    #[arg(long, value_enum)]
    hub_outage: Option<Away>,
    /// All faults as JSON instead, as the control API takes them
    #[arg(long, value_name = "JSON", conflicts_with_all = ["dps_throttle", "hub_throttle", "dps_refuse", "hub_refuse", "dps_outage", "hub_outage"])]
    faults: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Away {
    /// 503 on every call
    Unavailable,
    /// The connection is closed instead of an answer
    Close,
    /// The connection stays open and silent
    Hang,
}

/// Runs until SIGTERM or SIGINT.
pub async fn main(arguments: Arguments) -> ExitCode {
    log::start(&Log { json: false, level: tracing::Level::INFO });
    let faults = match faults(&arguments.trouble) {
        Ok(faults) => faults,
        Err(e) => return fail_as(USAGE, &format!("--faults: {e}")),
    };
    let clock = bridge::world().clock;
    let options = Options {
        https_port: arguments.https,
        amqp_port: arguments.amqp,
        mqtt_port: arguments.mqtt,
        page_port: Some(arguments.page),
        hosts: arguments.hosts,
        dir: arguments.dir,
        record: arguments.record,
        assigning_polls: 0, // the first poll finds the device assigned, as is usual
        retry_after_s: arguments.dps_retry_after,
        faults,
        ..Options::new(Arc::new(move || clock.now()))
    };
    let mut signals = bridge::Signals::new();
    let simulator = match simulator::start(options).await {
        Ok(simulator) => simulator,
        Err(e) => return fail(&format!("failed to {}", bridge::chain(&e))),
    };
    say(&if arguments.json { as_json(&simulator) } else { as_text(&simulator) });
    signals.next().await;
    match simulator.stop().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&format!("failed to keep the registry: {e}")),
    }
}

fn faults(trouble: &Trouble) -> Result<Faults, String> {
    if let Some(text) = &trouble.faults {
        let bounded = text.get(..text.len().min(FAULTS_MAX)).unwrap_or_default();
        return serde_json::from_str(bounded).map_err(|e| e.to_string());
    }
    let mut faults = Faults::default();
    let throttle = |when| Throttle { when, retry_after_s: Some(1) };
    faults.dps.throttle = trouble.dps_throttle.map(|n| throttle(When::AbovePerMinute(n)));
    faults.hub.throttle = trouble.hub_throttle.map(|n| throttle(When::AbovePerSecond(n)));
    if !trouble.dps_refuse.is_empty() {
        faults.dps.refuse = vec![DpsRefuse { ids: trouble.dps_refuse.clone(), answer: DpsRefusal::Unauthorized }];
    }
    if !trouble.hub_refuse.is_empty() {
        faults.hub.refuse = vec![HubRefuse { ids: trouble.hub_refuse.clone(), answer: HubRefusal::Unauthorized }];
    }
    (faults.dps.delay_ms, faults.hub.delay_ms) = (trouble.dps_delay, trouble.hub_delay);
    (faults.dps.outage, faults.hub.outage) = (trouble.dps_outage.map(away), trouble.hub_outage.map(away));
    Ok(faults)
}

fn away(how: Away) -> Outage {
    match how {
        Away::Unavailable => Outage::Unavailable,
        Away::Close => Outage::Close,
        Away::Hang => Outage::Hang,
    }
}

/// One line with everything that a client needs.
fn as_json(simulator: &Simulator) -> String {
    let mut value = serde_json::to_value(simulator.started()).expect("addresses and names are always JSON");
    value["ca_file"] = ca_file(simulator).into();
    value.to_string()
}

/// Whole, so that it can be used from anywhere.
fn ca_file(simulator: &Simulator) -> String {
    let path = &simulator.started().ca_file;
    std::path::absolute(path).as_ref().unwrap_or(path).display().to_string()
}

fn as_text(simulator: &Simulator) -> String {
    let s = simulator.started();
    let page = s.page.map(|port| format!("page     http://localhost:{port}\n")).unwrap_or_default();
    format!(
        "DPS and IoT Hub on https://{host}:{https} amqps://{host}:{amqp} and mqtts://{host}:{mqtt} (hub `{hub}`)\n{page}\
         CA       {ca}\n\n\
         # longhaul.toml\n\
         [azure]\nca_file = \"{ca}\"\nports = {{ https = {https}, amqp = {amqp} }}\n\n\
         [targets.main]\nkind = \"dps\"\nendpoint = \"{dps}\"\nid_scope = \"{scope}\"\ngroup_key = \"{key}\"\n\n\
         [[routes]]\ntarget = \"main\"\n",
        host = s.host,
        https = s.https,
        amqp = s.amqp,
        mqtt = s.mqtt,
        hub = s.hub,
        ca = ca_file(simulator),
        dps = s.dps_endpoint,
        scope = s.id_scope,
        key = s.group_key,
    )
}
