//! Promise: a hub without a provisioning service takes a fleet by one shared access policy, and new devices appear there
//! by themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::network::{Campaign, seed};
use crate::oracle::Obligations;
use crate::site::Site;

const DEVICES: u32 = 20;
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_devices_of_a_hub_appear_by_themselves_and_share_a_connection() {
    seed();
    for transport in ["amqp", "https"] {
        let mut site = Site::start(&format!("policy-{transport}")).await;
        let policy = site.azure["service_connection_string"].as_str().expect("the simulator says it").to_owned();
        site.settings.targets = Some(format!(
            "[targets.hub]\nkind = \"iot-hub\"\nconnection_string = \"{policy}\"\n[[routes]]\ntarget = \"hub\"\n"
        ));
        site.settings.more = format!("transport = \"{transport}\"\nattaches_per_second = 0\n");
        site.bridge().signal("TERM");
        site.bridge().exit_within(PATIENCE).await;
        site.start_bridge().await;

        let obligations = Arc::new(Obligations::default());
        Campaign::new(site.ports.webhook, DEVICES, 3).start(&obligations).finish().await;
        let verdict = site.settled(&obligations, PATIENCE).await;
        println!("{transport}: {verdict}");
        verdict.holds(0);
        let names: BTreeSet<String> = site
            .record()
            .lines()
            .iter()
            .map(|line| line["device_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(names.len(), DEVICES as usize);
        if transport == "amqp" {
            let amqp = site.azure_state().await["counts"]["amqp"].clone();
            assert_eq!(amqp["connections_ever"], 1, "all share one: {amqp}");
        }
    }
}
