//! Promise: when a thousand devices wait for an answer and the hub goes away, each of them is told in time, and sent again
//! nothing is lost, nothing is out of order, and only what may have arrived arrives twice, under the same name.
//!
//! Half of the messages stand in the record and are not answered yet; the other half was thrown away unrecorded. No caller
//! can tell one from the other.

use std::collections::BTreeMap;
use std::time::Duration;

use azure::hub::Telemetry;
use azure::hub::amqp::{AmqpHub, AmqpOptions};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::azure_sim::AzureSim;
use crate::caller::{Doubts, Fate, deliver_all, finish, message, send_all};
use crate::ledger::{Ledger, Taken};
use crate::processes::until;
use crate::proxy::{Mood, Proxy};
use crate::site::{Device, client, name, unpaced};

const DEVICES: usize = 1_000;
/// Of each device: one before the storm, one in it, two after it.
const MESSAGES: u32 = 4;
/// The size of a usual uplink.
const BYTES: usize = 600;
/// "At once" on a machine that does other things as well.
const AT_ONCE: Duration = Duration::from_secs(2);
/// On top of a timer, likewise.
const SLACK: Duration = Duration::from_secs(2);
/// How long answers are held back. All sends are under way before the first comes.
const ANSWERED_AFTER: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_hub_is_told_to_all_thousand_at_once() {
    let mut storm = Storm::gather("killed", None).await;
    storm.azure.kill();
    storm.all_are_told("the hub's process is killed", AT_ONCE).await;
    storm.azure.start_again().await;
    storm.the_rest_arrives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_connection_is_told_to_all_thousand_at_once() {
    let mut storm = Storm::gather("reset", Some(Duration::ZERO)).await;
    storm.proxy().reset();
    storm.all_are_told("the connections are reset", AT_ONCE).await;
    storm.azure.set_faults(json!({})).await;
    storm.the_rest_arrives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_is_told_to_all_thousand_within_the_answer_timeout() {
    let mut storm = Storm::gather("swallowed", Some(Duration::ZERO)).await;
    storm.proxy().be(Mood::Swallowing);
    let bound = storm.options.answer_timeout + SLACK;
    storm.all_are_told("the network swallows everything", bound).await;
    storm.azure.set_faults(json!({})).await;
    storm.proxy().be(Mood::Fair);
    // What was swallowed stays so, and with it each answer on the old connections, until they are given up.
    storm.the_rest_arrives().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_hub_is_told_to_all_thousand_within_the_answer_timeout() {
    let mut storm = Storm::gather("stopped", None).await;
    storm.azure.signal("STOP");
    let bound = storm.options.answer_timeout + SLACK;
    storm.all_are_told("the hub's process is stopped", bound).await;
    storm.azure.signal("CONT");
    // Its late answers are for messages that nobody waits for any more.
    storm.azure.set_faults(json!({})).await;
    storm.the_rest_arrives().await;
}

struct Storm {
    azure: AzureSim,
    proxy: Option<Proxy>,
    options: AmqpOptions,
    hub: AmqpHub,
    devices: Vec<Device>,
    under_way: JoinSet<Fate>,
    /// What the client said of the sends in the storm, and of those after it.
    doubts: Doubts,
}

impl Storm {
    /// All devices are attached, and each has a message under way.
    async fn gather(name_of_test: &str, distance: Option<Duration>) -> Self {
        let azure = AzureSim::start(name_of_test).await;
        let ids: Vec<String> = (0..DEVICES).map(name).collect();
        let devices = azure.enrol(&ids).await;
        let proxy = match distance {
            Some(delay) => Some(Proxy::start(azure.port("amqp"), delay).await),
            None => None,
        };
        let (options, port) = (unpaced(), proxy.as_ref().map_or(azure.port("amqp"), |proxy| proxy.port));
        let hub = client(port, azure.dial(), options.clone());
        deliver_all(&hub, &devices, &[message("m", 0, BYTES)]).await;
        azure.set_faults(held_back(&ids)).await;
        let under_way = send_all(&hub, &devices, &message("m", 1, BYTES));
        until("all messages are at the hub", ANSWERED_AFTER, async || {
            let acted = azure.faults_that_acted().await;
            let half = Some((DEVICES / 2) as u64);
            (acted["delay"].as_u64() == half && acted["no_disposition"].as_u64() == half).then_some(())
        })
        .await;
        let links = hub.standing();
        println!("{links:?}");
        assert_eq!((links.attached, links.unsettled), (DEVICES, DEVICES), "nothing is answered yet");
        Self { azure, proxy, options, hub, devices, under_way, doubts: Doubts::new() }
    }

    fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("there is a network in between")
    }

    /// From now on nobody is answered. Each send ends within the bound all the same, counted from its own begin or from
    /// the blow, whichever came later.
    async fn all_are_told(&mut self, blow: &str, bound: Duration) {
        let struck = Instant::now();
        let fates = finish(std::mem::take(&mut self.under_way)).await;
        let mut times: Vec<Duration> = fates.iter().map(|fate| fate.ended - fate.begun.max(struck)).collect();
        times.sort_unstable();
        let (min, median, max) = (times[0], times[times.len() / 2], times[times.len() - 1]);
        println!("{blow}: {} sends told after min {min:.1?}, median {median:.1?}, max {max:.1?}", times.len());
        assert_eq!(times.len(), DEVICES);
        assert!(max <= bound, "{max:?} is more than {bound:?}");
        for Fate { index, outcome, .. } in fates {
            let error = outcome.expect_err("nobody was answered");
            assert!(error.why.may_have_arrived(), "it was at the hub: {error}");
            self.doubts.insert((self.devices[index].id.to_string(), "m-1".to_owned()), 1);
        }
    }

    /// The peer is back: what was not accepted is sent again, and what follows it.
    async fn the_rest_arrives(mut self) {
        let back = Instant::now();
        let rest: Vec<Telemetry> = (1..MESSAGES).map(|number| message("m", number, BYTES)).collect();
        for (which, doubtful) in deliver_all(&self.hub, &self.devices, &rest).await {
            *self.doubts.entry(which).or_default() += doubtful;
        }
        println!("through {:.1?} after the peer was back; {:?}", back.elapsed(), self.hub.standing());
        self.hub.close().await;
        self.judge();
    }

    fn judge(&self) {
        let (ledger, mut copies) = (Ledger::default(), BTreeMap::<_, usize>::new());
        for line in self.azure.record() {
            let text = |name: &str| line[name].as_str().expect("it has a name").to_owned();
            let (device, message) = (text("device_id"), text("message_id"));
            assert_eq!(message, format!("m-{}", line["body"]["n"]), "one name, one message");
            *copies.entry((device.clone(), message.clone())).or_default() += 1;
            ledger.all().push(Taken { at: Instant::now(), device, message });
        }
        let sent = self.devices.iter().map(|device| (device.id.to_string(), MESSAGES)).collect();
        let verdict = ledger.judge("m", &sent);
        let doubts: usize = self.doubts.values().sum();
        println!("{verdict}; {doubts} sends may have arrived");
        verdict.holds(doubts);
        for (which, copies) in &copies {
            let doubtful = self.doubts.get(which).copied().unwrap_or_default();
            assert!(*copies <= 1 + doubtful, "{which:?} came {copies} times, {doubtful} sends were doubtful");
        }
        for device in self.devices.iter().step_by(2) {
            let copies = copies[&(device.id.to_string(), "m-1".to_owned())];
            assert!(copies >= 2, "{} stood in the record before the storm and was sent again", device.id);
        }
    }
}

/// Every second device's message is recorded and answered late; the others' are thrown away.
fn held_back(ids: &[String]) -> Value {
    let some = |first: usize| ids.iter().skip(first).step_by(2).collect::<Vec<_>>();
    let later = json!({"delay": {"ms": ANSWERED_AFTER.as_millis()}});
    json!({"amqp": {"faults": [
        {"devices": some(0), "state": "unsettled", "when": "always", "action": later},
        {"devices": some(1), "state": "mid_transfer", "when": "always", "action": "no_disposition"},
    ]}})
}
