//! `longhaul azure-sim`: a DPS and an IoT Hub on this machine.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Subcommand, ValueEnum};
use simulator::{EventSource, Options, Setup, Simulator};

mod env; // what clients need to be told
mod trouble; // faults to order

use super::{BAD_CONFIGURATION, USAGE, fail, fail_as, log, run as bridge, say};
use crate::config::Log;

/// Longest setup file: a hundred scopes of a hundred groups with a hundred bytes each are 1 MB.
const SETUP_BYTES_MAX: u64 = 1 << 20;
/// The ports that Microsoft's SDKs know: HTTPS, AMQP, MQTT.
const STANDARD_PORTS: [u16; 3] = [443, 5671, 8883];

/// `longhaul azure-sim`
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// Port of DPS and hub over HTTPS; Microsoft's SDKs know only 443
    #[arg(long, default_value_t = 8443)]
    https: u16,
    /// Port of DPS, hub and its Event-Hubs-compatible endpoint over AMQP
    #[arg(long, default_value_t = 5671)]
    amqp: u16,
    /// Port of DPS and hub over MQTT; 8883, or any where a broker has that already
    #[arg(long)]
    mqtt: Option<u16>,
    /// Port of the page and of the control API
    #[arg(long, default_value_t = 8082)]
    page: u16,
    /// The ports that Microsoft's SDKs know: 443, 5671, 8883
    #[arg(long, conflicts_with_all = ["https", "amqp", "mqtt"])]
    standard_ports: bool,
    /// A name besides `localhost`, for DPS and the first hub; the first is the hub's own
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// A hub besides the first one; devices are spread over all. May be given again
    #[arg(long = "hub", value_name = "NAME")]
    hubs: Vec<String>,
    /// Hubs, id scopes and enrolment groups, JSON
    #[arg(long, value_name = "FILE", conflicts_with = "hubs")]
    setup: Option<PathBuf>,
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
    /// The hub's own events that readers see beside telemetry: identities made and deleted, twins changed, devices connected
    /// and disconnected
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SOURCE")]
    events: Vec<Source>,
    #[command(flatten)]
    trouble: trouble::Trouble,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    Lifecycle,
    Twin,
    Connection,
}

impl From<Source> for EventSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Lifecycle => Self::Lifecycle,
            Source::Twin => Self::Twin,
            Source::Connection => Self::Connection,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Instead {
    /// What each SDK has to be told to find the simulator and to trust it
    Env(env::Arguments),
}

/// Runs until SIGTERM or SIGINT.
pub async fn main(arguments: Arguments) -> ExitCode {
    if let Some(Instead::Env(arguments)) = arguments.instead {
        return env::main(&arguments).await;
    }
    log::start(&Log { json: false, level: tracing::Level::INFO });
    let faults = match arguments.trouble.faults() {
        Ok(faults) => faults,
        Err(e) => return fail_as(USAGE, &format!("--faults: {e}")),
    };
    let setup = match arguments.setup.as_deref().map(setup).transpose() {
        Ok(setup) => setup,
        Err(e) => return fail_as(BAD_CONFIGURATION, &e),
    };
    let [https_port, amqp_port, mqtt_port] = match arguments.standard_ports {
        true => STANDARD_PORTS,
        false => [arguments.https, arguments.amqp, arguments.mqtt.unwrap_or_else(usual_mqtt_port)],
    };
    let clock = bridge::world().clock;
    let options = Options {
        https_port,
        amqp_port,
        mqtt_port,
        page_port: Some(arguments.page),
        hosts: arguments.hosts,
        more_hubs: arguments.hubs,
        setup,
        dir: arguments.dir,
        record: arguments.record,
        assigning_polls: 0, // the first poll finds the device assigned, as is usual
        retry_after_s: arguments.dps_retry_after,
        faults,
        events: arguments.events.into_iter().map(EventSource::from).collect(),
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

/// The usual one, if it is free: who did not ask for MQTT is not to be kept from the rest by a broker on this machine.
fn usual_mqtt_port() -> u16 {
    let [.., usual] = STANDARD_PORTS;
    if std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, usual)).is_ok() {
        return usual;
    }
    tracing::warn!(
        port = usual,
        "another program has the port of MQTT, a free one is taken instead; --mqtt PORT asks for one"
    );
    0
}

fn setup(file: &Path) -> Result<Setup, String> {
    let shown = file.display();
    let failed = |e: io::Error| format!("--setup {shown}: could not be read: {e}; give a JSON file");
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened.take(SETUP_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Setup::parse(&text).map_err(|e| format!("--setup {shown}: {e}"))
}

/// One line with everything that a client needs.
fn as_json(simulator: &Simulator) -> String {
    serde_json::to_string(simulator.started()).expect("addresses and names are always JSON")
}

fn as_text(simulator: &Simulator) -> String {
    let s = simulator.started();
    let page = s.page.map(|port| format!("page     http://localhost:{port}\n")).unwrap_or_default();
    let hubs: String = s.more_hubs.iter().map(|hub| format!("hub      {}\n", hub.hub)).collect();
    format!(
        "DPS and IoT Hub on https://{host}:{https}, amqps://{host}:{amqp} and mqtts://{host}:{mqtt} (hub `{hub}`)\n{hubs}{page}\
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
        ca = s.ca_file.display(),
        dps = s.dps_endpoint,
        scope = s.id_scope,
        key = s.group_key,
    )
}
