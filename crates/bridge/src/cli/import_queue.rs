//! `longhaul import-queue`: what stands in the predecessor's storage queue, and in its poison queue, goes into a running bridge.
//!
//! Promises: a message is deleted over there only after the bridge has committed it; run again at any point, nothing comes twice,
//! because the bridge remembers each message by the storage queue's own id until it is deleted. Hands messages over in the order of
//! their insertion, which the service tells in whole seconds; those of one second in the order in which it gives them.

mod drain; // takes, hands over, deletes
mod outcome; // what is told of it

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use azure::net::Tls;
use clap::ValueEnum;
use queue::blobs::FailureKind;
use storage::{Account, Means, Messages};

use self::drain::Drain;
use self::outcome::{Found, Outcome};
use super::admin_api::{AdminApi, BridgeArguments};
use super::{BAD_CONFIGURATION, USAGE, fail, fail_as, settings};
use crate::admin::takeover::{Batch, Taken};
use crate::config::duration;
use crate::world::{Clock, SystemClock};

/// The setting that names the queue, and the one that names its account, as the predecessor calls them.
const QUEUE: &str = "UplinkQueueName";
const CONNECTION_STRING: &str = "AzureStorageConnectionString";
/// What the functions runtime adds to a queue's name.
const POISON: &str = "-poison";
/// Bytes of a file with a connection string: they have some 200.
const FILE_MAX: u64 = 16 * 1024;

/// `longhaul import-queue`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The storage queue; without it the variable UplinkQueueName tells
    #[arg(long)]
    queue: Option<String>,
    /// The environment variable that holds the account's connection string
    #[arg(long, value_name = "NAME", default_value = CONNECTION_STRING)]
    connection_string_env: String,
    /// A file that holds the account's connection string, instead of a variable
    #[arg(long, value_name = "PATH", conflicts_with = "connection_string_env")]
    connection_string_file: Option<PathBuf>,
    /// What becomes of the poison queue's messages
    #[arg(long, value_enum, default_value_t = Poison::Bury)]
    poison: Poison,
    /// Counts and looks, and takes nothing
    #[arg(long)]
    dry_run: bool,
    /// For how long what is taken is hidden from others, in case this is ended meanwhile: 1s to 1h
    #[arg(long, default_value = "5m", value_parser = hide)]
    hide: Duration,
    /// As one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bridge: BridgeArguments,
}

/// What becomes of poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Poison {
    /// Dead letters, `predecessor_poison`, which can be looked at and replayed
    Bury,
    /// Sent like the others, and before them
    Replay,
    /// Stays where it is
    Leave,
}

/// Imports, and says what became of each queue.
pub async fn main(arguments: Arguments) -> ExitCode {
    let name = match queue_name(&arguments) {
        Ok(name) => name,
        Err(e) => return fail_as(USAGE, &e),
    };
    let [messages, poison] = match queues(&arguments, &name) {
        Ok(queues) => queues,
        Err(e) => return fail_as(BAD_CONFIGURATION, &e),
    };
    let bridge = match AdminApi::new(&arguments.bridge) {
        Ok(bridge) => bridge,
        Err(code) => return code,
    };
    let work = async {
        let mut found = vec![look(name.clone(), messages, false).await?];
        let poison = look(format!("{name}{POISON}"), poison, true).await?;
        if !found[0].is_there && !poison.is_there {
            return Err(format!("there is no queue `{name}` in this account: name it with --queue"));
        }
        match arguments.poison {
            Poison::Leave => {}
            // They were put before what stands in the queue now.
            Poison::Replay => found.insert(0, poison),
            Poison::Bury => found.push(poison),
        }
        if arguments.dry_run {
            return dry_run(found, arguments.poison).await;
        }
        // Before anything is taken: is somebody there, and does it take messages over?
        let _: Taken = bridge.post("/api/v1/queue/takeover", &Batch::default()).await?;
        import(found, &arguments, &bridge).await
    };
    match work.await {
        Ok(outcomes) => outcome::tell(&outcomes, arguments.json, arguments.dry_run),
        Err(e) => fail(&e),
    }
}

async fn import(found: Vec<Found>, arguments: &Arguments, bridge: &AdminApi) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::with_capacity(found.len());
    for queue in found {
        let buries = queue.is_poison && arguments.poison == Poison::Bury;
        let mut drain = Drain::new(queue, buries, arguments.hide);
        let ended = drain.run(bridge).await;
        let outcome = drain.outcome().await;
        let is_ended = ended.is_err();
        outcomes.push(Outcome { trouble: ended.err().or(outcome.trouble), ..outcome });
        if is_ended {
            break;
        }
    }
    Ok(outcomes)
}

async fn dry_run(found: Vec<Found>, poison: Poison) -> Result<Vec<Outcome>, String> {
    let now = SystemClock.now();
    let mut outcomes = Vec::with_capacity(found.len());
    for queue in found {
        let buries = queue.is_poison && poison == Poison::Bury;
        outcomes.push(outcome::foreseen(queue, buries, now).await?);
    }
    Ok(outcomes)
}

fn hide(text: &str) -> Result<Duration, String> {
    let hide = duration::parse(text)?;
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3_600);
    if bounds.contains(&hide) { Ok(hide) } else { Err("write a duration from 1s to 1h".to_owned()) }
}

fn queue_name(arguments: &Arguments) -> Result<String, String> {
    let name = arguments.queue.clone().or_else(|| settings::variable(QUEUE));
    let name = name.ok_or_else(|| format!("which queue? name it with --queue, or set {QUEUE}"))?;
    // Not repeated: a connection string may have been pasted here.
    match storage::is_container_name(&format!("{name}{POISON}")) {
        true => Ok(name),
        false => Err(format!("--queue, {QUEUE}: a queue's name has lower-case letters, digits and single hyphens")),
    }
}

/// The queue and its poison queue; asks nobody.
fn queues(arguments: &Arguments, name: &str) -> Result<[Messages; 2], String> {
    let (text, place) = connection_string(arguments)?;
    let account = Account::from_connection_string(text.trim()).map_err(|e| format!("{place}: {e}"))?;
    let tls = Tls::new(None).map_err(|e| format!("the system's certificates cannot be read: {e}"))?;
    let means = Means {
        secure: Arc::new(tls),
        plain: Arc::new(vault::Plain),
        clock: Arc::new(|| SystemClock.now()),
        env: settings::environment(),
    };
    let open = |name: &str| Messages::new(&account, name, &means).map_err(|e| format!("{place}: {e}"));
    Ok([open(name)?, open(&format!("{name}{POISON}"))?])
}

/// The secret, and where it stands.
fn connection_string(arguments: &Arguments) -> Result<(String, String), String> {
    if let Some(file) = &arguments.connection_string_file {
        use std::io::Read as _;
        let place = file.display().to_string();
        let open = std::fs::File::open(file);
        let mut text = String::new();
        let read = open.and_then(|file| file.take(FILE_MAX).read_to_string(&mut text));
        return read.map(|_| (text, place.clone())).map_err(|e| format!("{place}: cannot be read: {e}"));
    }
    let name = &arguments.connection_string_env;
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && name.len() <= 128;
    if !is_name {
        let mend = "give the name of a variable that holds the connection string, never the string itself";
        return Err(format!("--connection-string-env: {mend}"));
    }
    let value = settings::variable(name).filter(|value| !value.trim().is_empty());
    let mend = "set it to the connection string of the storage account, as the predecessor's settings have it";
    value
        .map(|value| (value, name.clone()))
        .ok_or_else(|| format!("the environment variable {name} is not set: {mend}"))
}

/// Is it there, and how many are in it?
async fn look(name: String, messages: Messages, is_poison: bool) -> Result<Found, String> {
    let (is_there, count) = match messages.count().await.result {
        Ok(count) => (true, count),
        Err(failure) if failure.kind == FailureKind::NoPlace => (false, 0),
        Err(failure) => return Err(failure.to_string()),
    };
    Ok(Found { name, messages: Arc::new(messages), is_poison, is_there, count })
}
