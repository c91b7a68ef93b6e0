//! Proof by strangers: three other implementations of AMQP 1.0, each as client and as server, against ours.
//!
//! It is a play of four scenes between a house (server) and a guest (client). Each party tells in the same words, as JSON,
//! what it saw, and is held against the same expectation: so any of them can play either part, and strangers who play it
//! among themselves prove that the scripts are right.
//!
//! The house knows addresses. To `judge` messages are sent, and their own words name the verdict; credit comes by the
//! hundred. `numbers`, `three` and `big` have something to give. `close`, `detach` and `refuse` turn a link away, `end` its
//! session, `shut` the connection.
//!
//! The scenes: `work` (two sessions, 2000 messages, 300 kB, all verdicts both ways, drain), `errors` (at every level, from
//! either side), `quiet` (four seconds without a message where one second of silence is borne), `doors` (no SASL,
//! ANONYMOUS, PLAIN, and a wrong password).

mod expected;
mod fe2o3_client;
mod fe2o3_server;
mod fe2o3_words;
mod our_client;
mod our_server;
mod script;
mod wire;
mod words;

use std::time::Duration;

use script::Script;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::Log;

/// What receivers grant at a time.
const CREDIT: usize = 100;
/// What both sides announce in the quiet scene, and how long nothing is said there.
const IDLE: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(4);
/// The longest scene takes two seconds here, and the quiet one four and a half.
const SCENE_MAX: Duration = Duration::from_secs(60);
/// From the guest's end to the house's report.
const REPORT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    Work,
    Errors,
    Quiet,
    Doors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    Ours,
    Rhea,
    Proton,
    Fe2o3,
}

enum House {
    /// In this process, as long as the task is held.
    Task(mpsc::UnboundedReceiver<Value>, #[expect(dead_code, reason = "held")] JoinSet<()>),
    Script(Box<Script>),
}

impl House {
    async fn open(party: Party, idle: Option<Duration>, log: &Log) -> (Self, u16) {
        let script = match party {
            Party::Ours | Party::Fe2o3 => {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
                let port = listener.local_addr().expect("it is bound").port();
                let (reports, received) = mpsc::unbounded_channel();
                let mut task = JoinSet::new();
                match party {
                    Party::Ours => task.spawn(our_server::keep(listener, idle, reports, log.clone())),
                    _ => task.spawn(fe2o3_server::keep(listener, idle, reports)),
                };
                return (Self::Task(received, task), port);
            }
            Party::Rhea => "rhea_server.cjs",
            Party::Proton => "proton_server.py",
        };
        let idle_ms = idle.map_or(0, |idle| idle.as_millis());
        let mut script = Script::start(script, &[idle_ms.to_string()], log);
        let first = script.line(REPORT_MAX, log).await.unwrap_or_default();
        let port = first["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        (Self::Script(Box::new(script)), port.unwrap_or_else(|| panic!("{party:?} did not start:\n{}", log.end())))
    }

    async fn report(&mut self, log: &Log) -> Option<Value> {
        match self {
            Self::Task(reports, _) => tokio::time::timeout(REPORT_MAX, reports.recv()).await.ok()?,
            Self::Script(script) => script.line(REPORT_MAX, log).await,
        }
    }
}

/// What the guest saw; none when it failed.
async fn visit(party: Party, scene: Scene, port: u16, log: &Log) -> Option<Value> {
    // A task of its own: when it panics, there is still something to be told.
    let mut task = JoinSet::new();
    let script = match party {
        Party::Ours => {
            task.spawn(our_client::play(scene, port, log.clone()));
            return task.join_next().await?.ok();
        }
        Party::Fe2o3 => {
            task.spawn(fe2o3_client::play(scene, port));
            return task.join_next().await?.ok();
        }
        Party::Rhea => "rhea_client.cjs",
        Party::Proton => "proton_client.py",
    };
    let name = format!("{scene:?}").to_lowercase();
    let mut script = Script::start(script, &[port.to_string(), name], log);
    let seen = script.line(SCENE_MAX, log).await;
    if script.is_done_well(REPORT_MAX).await { seen } else { None }
}

/// Plays a scene, and holds what both sides saw against what they should have seen.
async fn play(scene: Scene, client: Party, server: Party) {
    let log = Log::default();
    let idle = (scene == Scene::Quiet).then_some(IDLE);
    let (mut house, port) = House::open(server, idle, &log).await;
    let seen = tokio::time::timeout(SCENE_MAX, visit(client, scene, port, &log)).await;
    let expected = expected::of(scene, client, server);
    let mut reports = Vec::new();
    for _ in 0..expected.server.len() {
        reports.extend(house.report(&log).await);
    }
    let (seen, reports) = (json!(seen.unwrap_or_default()), json!(reports));
    let (wanted, wanted_reports) = (expected.client, json!(expected.server));
    let story = || format!("{client:?} calls {server:?}, {scene:?}. The end of what was seen:\n{}", log.end());
    assert!(seen == wanted, "the client saw\n{seen:#}\ninstead of\n{wanted:#}\n{}", story());
    assert!(reports == wanted_reports, "the server saw\n{reports:#}\ninstead of\n{wanted_reports:#}\n{}", story());
}

/// The four scenes between two parties, a test each.
macro_rules! plays {
    ($($name:ident: $client:ident calls $server:ident;)*) => {$(
        mod $name {
            use super::{Party, Scene, play};

            #[tokio::test]
            async fn messages_of_all_sizes_arrive_and_every_verdict_is_told() {
                play(Scene::Work, Party::$client, Party::$server).await;
            }

            #[tokio::test]
            async fn errors_at_every_level_reach_the_other_side_and_end_no_more() {
                play(Scene::Errors, Party::$client, Party::$server).await;
            }

            #[tokio::test]
            async fn a_quiet_connection_is_kept_alive() {
                play(Scene::Quiet, Party::$client, Party::$server).await;
            }

            #[tokio::test]
            async fn who_may_enter_enters_by_any_door() {
                play(Scene::Doors, Party::$client, Party::$server).await;
            }
        }
    )*};
}

plays! {
    we_call_ourselves: Ours calls Ours;
    we_call_rhea: Ours calls Rhea;
    we_call_proton: Ours calls Proton;
    we_call_fe2o3: Ours calls Fe2o3;
    rhea_calls_us: Rhea calls Ours;
    proton_calls_us: Proton calls Ours;
    fe2o3_calls_us: Fe2o3 calls Ours;
    rhea_calls_proton: Rhea calls Proton;
    proton_calls_rhea: Proton calls Rhea;
    fe2o3_calls_rhea: Fe2o3 calls Rhea;
}
