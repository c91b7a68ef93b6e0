//! Bridge, simulator and senders.

use std::path::Path;
use std::sync::Arc;

use bridge::app::{App, Listeners, Role};
use bridge::cli::send::post::{Connection, Target};
use bridge::cli::send::uplinks::{self, Style, Uplinks};
use bridge::cli::send::{self};
use bridge::config;
use bridge::world::{Random, SystemClock, World};
use bytes::Bytes;
use simulator::Simulator;
use tokio::time::Instant;

use crate::books::Books;
use crate::moment;

/// As The Things Stack's workers: side by side, each waiting for its answer.
const CONNECTIONS: u32 = 64;

pub(crate) struct Site {
    simulator: Simulator,
    app: App,
    target: Target,
    world: World,
    books: Arc<Books>,
}

impl Site {
    pub(crate) async fn start(dir: &Path, books: Arc<Books>, transport: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
        let (clock, told) = (world.clone(), books.clone());
        let options = simulator::Options {
            dir: Some(dir.join("azure")),
            record: Some(dir.join("record.jsonl")),
            assigning_polls: 0,
            retry_after_s: 0,
            on_message: Some(Arc::new(move |recorded| told.recorded(recorded))),
            ..simulator::Options::new(Arc::new(move || clock.now()))
        };
        let simulator = simulator::start(options).await.unwrap();
        let config = config(dir, &simulator, transport);
        let app = App::start(config, Role::All, world.clone(), Listeners::default()).await.unwrap();
        let url = format!("http://{}", app.webhook.unwrap());
        let target = Target::new(&send::Options { url, ..send::Options::default() }).unwrap();
        Self { simulator, app, target, world, books }
    }

    /// Posts `each` messages of every device, from counter `first` on, a device's one after another.
    pub(crate) async fn post(&self, devices: u32, first: u32, each: u32, rate: Option<f64>) {
        let lanes = CONNECTIONS.min(devices);
        let began = Instant::now();
        let senders: Vec<_> = (0..lanes)
            .map(|lane| {
                let (books, world) = (self.books.clone(), self.world.clone());
                let mut connection = Connection::new(self.target.clone());
                tokio::spawn(async move {
                    let uplinks = Uplinks { style: Style::TtsV3, application: "building".to_owned() };
                    for turn in 0..each {
                        for index in (lane..devices).step_by(lanes as usize) {
                            let at = moment(began, turn * devices + index, rate).await;
                            let (device, counter) = (uplinks::device_id(index), first + turn);
                            books.posted(&device, counter, at);
                            let body = Bytes::from(uplinks.body(&device, counter, world.now()));
                            let status = connection.post(body, "application/json").await;
                            assert_eq!(status, Ok(202));
                            books.answered(at.elapsed());
                        }
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.await.unwrap();
        }
    }

    pub(crate) async fn stop(self) {
        self.app.drain().await;
        self.simulator.stop().await.unwrap();
    }
}

/// What somebody would write who has this hub, with registrations unpaced.
fn config(dir: &Path, simulator: &Simulator, transport: &str) -> config::Config {
    let s = simulator.started();
    let text = format!(
        "[webhook]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[queue]\ndir = {dir:?}\n\
         [azure]\nca_file = {ca:?}\nports = {{ https = {https}, amqp = {amqp} }}\n\
         transport = \"{transport}\"\nregistrations_per_minute = 0\nattaches_per_second = 0\n\
         [targets.hub]\nkind = \"dps\"\nendpoint = \"{dps}\"\nid_scope = \"{scope}\"\ngroup_key = \"{key}\"\n\
         [[routes]]\ntarget = \"hub\"\n",
        dir = dir.join("queue"),
        ca = s.ca_file,
        https = s.https,
        amqp = s.amqp,
        dps = s.dps_endpoint,
        scope = s.id_scope,
        key = s.group_key,
    );
    config::read(&text, &[], dir, &|path| std::fs::read_to_string(path)).map_err(|_| "a mistake").unwrap().config
}
