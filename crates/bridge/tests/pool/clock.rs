//! Promise: a machine whose clock is wrong signs its tokens by the hub's.

use std::sync::Arc;

use azure::hub::{Telemetry, Why};
use azure::net::{Dial, Tls};
use bridge::config;
use bridge::events::Events;
use bridge::pool::{self, Pool};
use bridge::world::{Clock, Random, World};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use queue::memory::Disk;
use queue::{Queue, UnixMillis};

use crate::site::{Site, now_ms};

/// Beyond the life of a token, which is an hour.
const BEHIND: UnixMillis = 2 * 3600 * 1000;

#[derive(Debug)]
struct Behind;

impl Clock for Behind {
    fn now(&self) -> UnixMillis {
        now_ms() - BEHIND
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_two_hours_behind_costs_one_refusal_and_no_message() {
    let site = Site::start(2).await;
    let pool = pool(&site);
    let hub = pool.hub("localhost").await;
    let send = async |number: usize, id: &str| {
        let telemetry =
            Telemetry { body: Bytes::from_static(b"{}"), message_id: id.to_owned(), ..Telemetry::default() };
        let device = &site.devices[number];
        pool.send(&hub, &device.id, &device.key, &telemetry).await
    };
    let refused = send(0, "first").await.expect_err("the token has run out by the hub's clock");
    assert_eq!(refused.why, Why::Unauthorized, "{refused}");
    send(0, "again").await.expect("the hub's clock was looked at");
    send(1, "other").await.expect("and counts for all of its devices");
    let taken: Vec<_> = site.simulator.messages(10).into_iter().map(|message| message.message_id).collect();
    assert_eq!(taken, [Some("again".to_owned()), Some("other".to_owned())]);
    pool.close().await;
}

fn pool(site: &Site) -> Pool {
    let world = World::new(Arc::new(Behind), Random::from_seed(site.seed));
    let text = format!(
        "[azure]\nports = {{ https = {}, amqp = {} }}\n[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00000001\"\n\
         group_key = \"{}\"\n[[routes]]\ntarget = \"main\"\n",
        site.https_port(),
        site.amqp_port(),
        site.simulator.started().group_key
    );
    let read = config::read(&text, &[], std::path::Path::new("."), &|path| std::fs::read_to_string(path));
    let azure = read.expect("it can be used").config.azure;
    let tls = Tls::new(Some(&site.simulator.started().ca_file)).expect("the simulator's CA is a CA");
    let clock = world.clone();
    let options = queue::Options::in_memory(&Disk::default(), Arc::new(move || clock.now()));
    let queue = Queue::open(options).expect("memory is there");
    let dial: Arc<dyn Dial> = Arc::new(tls);
    let options = pool::Options::of(&azure, &world.random);
    let events = Events::new(&mut Registry::default(), &world);
    Pool::new(options, dial, queue, world, events)
}
