//! Promise: what stands in the predecessor's storage queue and its poison queue goes into ours, in order of insertion, each message
//! once, also when the import is killed between our commit and their deletion; poison stays apart until it is asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use storage::{Account, Means, Messages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::azurite::Azurite;
use crate::processes::{LONGHAUL, Process, run_as, until};
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(60);
/// The key that must not be seen.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq";

fn queue(azurite: &Azurite, name: &str) -> Messages {
    let account = Account::from_connection_string(&azurite.queues_at(azurite.queue_port)).expect("it is one");
    let now = || jiff::Timestamp::now().as_millisecond();
    let means =
        Means { secure: Arc::new(vault::Plain), plain: Arc::new(vault::Plain), clock: Arc::new(now), env: Vec::new() };
    Messages::new(&account, name, &means).expect("it has a name")
}

/// As the predecessor's endpoint writes them.
async fn fill(azurite: &Azurite, name: &str, bodies: &[Vec<u8>]) -> Messages {
    let queue = queue(azurite, name);
    assert!(queue.create().await.result.expect("it can be made"));
    for body in bodies {
        queue.put(&STANDARD.encode(body)).await.result.expect("it takes a message");
    }
    queue
}

/// The predecessor's own samples, in the order of their numbers.
fn samples() -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lorawan/samples");
    let files = std::fs::read_dir(&dir).expect("the samples are there").map(|entry| entry.expect("an entry").path());
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let mut files: Vec<_> = files.filter(|path| name(path).contains("-v2-uplink-seed-")).collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).expect("it can be read")).collect()
}

async fn import(site: &Site, connection_string: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(LONGHAUL);
    command.env("AzureStorageConnectionString", connection_string).env_remove("UplinkQueueName");
    let (code, stdout, stderr) = run_as(command, &site.dir, &[&["import-queue"], arguments].concat(), PATIENCE).await;
    assert!(!stdout.contains(KEY) && !stderr.contains(KEY), "the account's key leaked: {stdout}{stderr}");
    (code, stdout, stderr)
}

/// Of `--json`: the queue's outcome.
fn outcome(stdout: &str, queue: &str) -> Value {
    let told: Value = serde_json::from_str(stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"));
    let queues = told["queues"].as_array().expect("a list of queues");
    queues.iter().find(|told| told["queue"] == queue).cloned().unwrap_or_else(|| panic!("{queue} is not in {stdout}"))
}

/// What tells one sample from another: the device, the counter, the time, and what was decoded.
fn essence(device: &Value, counter: &Value, time: &Value, decoded: Map<String, Value>) -> String {
    Value::Array(vec![device.clone(), counter.clone(), time.clone(), decoded.into()]).to_string()
}

fn of_sample(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).expect("it is JSON");
    let decoded = body["payload_fields"].as_object().cloned().unwrap_or_default();
    essence(&body["dev_id"], &body["counter"], &body["metadata"]["time"], decoded)
}

fn of_delivered(body: &Value) -> String {
    const OURS: [&str; 8] =
        ["DeviceEUI", "DeviceID", "ApplicationID", "Port", "Counter", "PayloadRaw", "ReceivedAtUTC", "Retry"];
    let mut decoded = body.as_object().cloned().expect("an object");
    decoded.retain(|name, _| !OURS.contains(&name.as_str()));
    essence(&body["DeviceID"], &body["Counter"], &body["ReceivedAtUTC"], decoded)
}

/// By device, in their order.
fn by_device(messages: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut by_device = BTreeMap::<String, Vec<String>>::new();
    messages.into_iter().for_each(|(device, essence)| by_device.entry(device).or_default().push(essence));
    by_device
}

fn expected(bodies: &[Vec<u8>]) -> BTreeMap<String, Vec<String>> {
    let device = |body: &[u8]| {
        serde_json::from_slice::<Value>(body).expect("it is JSON")["dev_id"].as_str().unwrap_or_default().to_owned()
    };
    by_device(bodies.iter().map(|body| (device(body), of_sample(body))))
}

fn delivered(site: &Site) -> BTreeMap<String, Vec<String>> {
    let mut record = site.record();
    let lines = record.lines().iter();
    by_device(
        lines.map(|line| (line["device_id"].as_str().unwrap_or_default().to_owned(), of_delivered(&line["body"]))),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_predecessors_samples_go_from_its_queues_to_the_hub_in_order_and_once() {
    let site = Site::start("import-queue").await;
    let azurite = Azurite::start(&site.dir).await;
    let there = azurite.queues_at(azurite.queue_port);
    let samples = samples();
    assert_eq!(samples.len(), 12);
    let (good, given_up) = samples.split_at(9);
    let waiting = fill(&azurite, "uplinks", good).await;
    let poison = fill(&azurite, "uplinks-poison", given_up).await;

    let (code, told, stderr) = import(&site, &there, &["--queue", "uplinks", "--dry-run", "--json"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{told}");
    assert_eq!(
        (&outcome(&told, "uplinks")["kept"], &outcome(&told, "uplinks-poison")["buried"]),
        (&9.into(), &3.into())
    );
    assert_eq!(waiting.count().await.result.expect("it is there"), 9, "a dry run takes nothing");

    let (code, told, stderr) = import(&site, &there, &["--queue", "uplinks", "--json"]).await;
    assert_eq!(code, 0, "{told}{stderr}");
    assert_eq!(
        (&outcome(&told, "uplinks")["kept"], &outcome(&told, "uplinks-poison")["buried"]),
        (&9.into(), &3.into())
    );
    for queue in [&waiting, &poison] {
        assert_eq!(queue.count().await.result.expect("it is there"), 0);
    }
    site.drained(PATIENCE).await;
    assert_eq!(delivered(&site), expected(good), "poison is kept apart");
    assert_eq!(site.dead_letter_reasons().await, ["predecessor_poison"; 3]);

    // Asked for, it is sent.
    let arguments = ["dead-letters", "replay", "--reason", "predecessor_poison"];
    let (code, told, stderr) = run_as(Command::new(LONGHAUL), &site.dir, &arguments, PATIENCE).await;
    assert_eq!(code, 0, "{told}{stderr}");
    site.drained(PATIENCE).await;
    assert_eq!(delivered(&site), expected(&samples));

    // A second time there is nothing.
    let (code, told, _) = import(&site, &there, &["--queue", "uplinks", "--json"]).await;
    assert_eq!((code, &outcome(&told, "uplinks")["kept"]), (0, &0.into()), "{told}");
    assert!(!site.record().text().contains("downlink_url"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_formats_come_in_base64_and_plain_and_poison_directly_where_that_is_wanted() {
    let site = Site::start("import-formats").await;
    let azurite = Azurite::start(&site.dir).await;
    let v3 = |counter| uplinks::tts("building", "new-1", counter);
    let waiting =
        fill(&azurite, "uplinks", &[v3(2), uplinks::ttn_v2("building", "old-1", 1, false, "canary-key")]).await;
    waiting.put(&String::from_utf8(v3(3)).expect("it is text")).await.result.expect("it takes a message");
    waiting.put("no message at all").await.result.expect("it takes a message");
    fill(&azurite, "uplinks-poison", &[v3(1)]).await;
    let there = azurite.queues_at(azurite.queue_port);
    let (code, told, stderr) = import(&site, &there, &["--queue", "uplinks", "--poison", "replay"]).await;
    assert_eq!(code, 1, "something is left: {told}{stderr}");
    assert!(told.contains("1 are no JSON and stay there") && !told.contains("are hidden"), "{told}");
    assert_eq!(waiting.count().await.result.expect("it is there"), 1, "nothing is deleted that is not here");
    site.drained(PATIENCE).await;
    let mut record = site.record();
    let of = |device: &str| {
        let lines = record.lines().iter().filter(|line| line["device_id"] == device);
        lines.map(|line| line["body"]["Counter"].clone()).collect::<Vec<_>>()
    };
    let (new, old) = {
        let mut of = of;
        (of("new-1"), of("old-1"))
    };
    assert_eq!((new, old), (vec![1.into(), 2.into(), 3.into()], vec![1.into()]), "poison is older, so it goes first");
    assert!(site.dead_letters().await.is_empty() && !site.record().text().contains("canary-key"));
}

/// A way to Azurite over which no deletion passes.
async fn without_deletions(upstream: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it listens").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
                let (mut question, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
                loop {
                    tokio::select! {
                        read = client.read(&mut question) => match read {
                            Ok(1..) if question.starts_with(b"DELETE ") => {}
                            Ok(count @ 1..) if server.write_all(&question[..count]).await.is_ok() => {}
                            _ => return,
                        },
                        read = server.read(&mut answer) => match read {
                            Ok(count @ 1..) if client.write_all(&answer[..count]).await.is_ok() => {}
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_killed_before_it_deletes_delivers_nothing_twice() {
    let mut site = Site::start("import-kill").await;
    let azurite = Azurite::start(&site.dir).await;
    let bodies: Vec<_> = (1..=5).map(|counter| uplinks::ttn_v2("building", "old-1", counter, false, "k")).collect();
    let waiting = fill(&azurite, "uplinks", &bodies).await;
    let poison = fill(&azurite, "uplinks-poison", &[]).await;
    let mut command = Command::new(LONGHAUL);
    command.args(["import-queue", "--queue", "uplinks", "--hide", "2s"]);
    command.env("AzureStorageConnectionString", azurite.queues_at(without_deletions(azurite.queue_port).await));
    let mut killed = Process::start("import", &site.dir, &mut command);
    until("all five are delivered", PATIENCE, async || (site.record().lines().len() == 5).then_some(())).await;
    killed.kill();
    assert_eq!(waiting.count().await.result.expect("it is there"), 5, "nothing was deleted");
    // Also a bridge that was started anew knows them.
    site.bridge().kill();
    site.start_bridge().await;

    let there = azurite.queues_at(azurite.queue_port);
    let known = until("they are shown again", PATIENCE, async || {
        let (_, told, _) = import(&site, &there, &["--queue", "uplinks", "--json"]).await;
        let outcome = outcome(&told, "uplinks");
        assert_eq!((&outcome["kept"], &outcome["buried"]), (&0.into(), &0.into()), "{told}");
        outcome["known"].as_u64().filter(|known| *known > 0)
    })
    .await;
    assert_eq!(known, 5);
    assert_eq!(waiting.count().await.result.expect("it is there"), 0, "now they are deleted");
    assert_eq!(poison.count().await.result.expect("it is there"), 0);
    site.drained(PATIENCE).await;
    assert_eq!(site.record().lines().len(), 5, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_before_anything_is_taken() {
    let mut site = Site::start("import-wrong").await;
    let azurite = Azurite::start(&site.dir).await;
    let there = azurite.queues_at(azurite.queue_port);
    let waiting = fill(&azurite, "uplinks", &[uplinks::ttn_v2("building", "old-1", 1, false, "k")]).await;
    let cases: [(&[&str], i32, &str); 5] = [
        (&[], 2, "UplinkQueueName"),
        (&["--queue", &there], 2, "a queue's name has"),
        (&["--queue", "uplinks", "--connection-string-env", &there], 64, "never the string itself"),
        (&["--queue", "uplinks", "--connection-string-env", "NOT_SET"], 64, "NOT_SET is not set"),
        (&["--queue", "no-such-queue"], 1, "there is no queue `no-such-queue`"),
    ];
    for (arguments, expected, says) in cases {
        let (code, told, stderr) = import(&site, &there, arguments).await;
        assert!(code == expected && stderr.contains(says), "{says}: {code} {told}{stderr}");
    }
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    let (code, _, stderr) = import(&site, &there, &["--queue", "uplinks"]).await;
    assert!(code == 1 && stderr.contains("no bridge answers"), "{stderr}");
    let [taken] = &waiting.take(Duration::from_secs(1)).await.result.expect("it is there")[..] else {
        panic!("one was put")
    };
    assert_eq!(taken.takes, 1, "nobody took it before");
}
