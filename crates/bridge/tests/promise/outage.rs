//! Promise: while Azure is away, in whichever way, the door stays open and says so; afterwards everything arrives in order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::http;
use crate::network::{Campaign, quantile, seed, worst};
use crate::oracle::Obligations;
use crate::processes::{LOOK, until};
use crate::proxy::Proxy;
use crate::site::Site;

/// 100 devices, two uplinks a second each.
const DEVICES: u32 = 100;
const PACE: Duration = Duration::from_millis(500);
/// 3 s of peace, the outage, 5 s of peace.
const UPLINKS: u32 = 56;
const OUTAGE: Duration = Duration::from_secs(20);
/// What the door promises.
const ANSWER: Duration = Duration::from_secs(4);
/// From the end of the traffic to the last delivery.
const DRAIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_refused_connections_costs_nothing() {
    let mut weather = Weather::start("outage-refused", false).await;
    weather.site.simulator().kill();
    weather.pass().await;
    weather.site.start_simulator().await;
    weather.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_a_frozen_azure_costs_nothing() {
    let mut weather = Weather::start("outage-frozen", false).await;
    weather.site.simulator().signal("STOP");
    weather.pass().await;
    weather.site.simulator().signal("CONT");
    weather.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_a_black_hole_costs_nothing() {
    let mut weather = Weather::start("outage-silent", true).await;
    weather.network.iter().for_each(Proxy::fall_silent);
    weather.pass().await;
    weather.network.iter().for_each(Proxy::speak_again);
    weather.judge().await;
}

/// Traffic that goes on whatever happens to Azure.
struct Weather {
    site: Site,
    /// Before HTTPS and AMQP, where it was asked for.
    network: Vec<Proxy>,
    obligations: Arc<Obligations>,
    posting: Option<crate::network::Posting>,
}

impl Weather {
    /// Up to the moment at which the outage begins.
    async fn start(name: &str, behind_proxy: bool) -> Self {
        seed();
        let mut site = Site::empty(name);
        site.start_simulator().await;
        let mut network = Vec::new();
        if behind_proxy {
            network = vec![Proxy::start(site.ports.https).await, Proxy::start(site.ports.amqp).await];
            site.settings.azure_ports = Some((network[0].port, network[1].port));
        }
        site.start_bridge().await;
        let obligations = Arc::new(Obligations::default());
        let campaign =
            Campaign { pace: Some(PACE), insist: false, ..Campaign::new(site.ports.webhook, DEVICES, UPLINKS) };
        let posting = campaign.start(&obligations);
        let mut record = site.record();
        until("every device has delivered something", Duration::from_secs(20), async || {
            (record.lines().len() >= 3 * DEVICES as usize).then_some(())
        })
        .await;
        Self { site, network, obligations, posting: Some(posting) }
    }

    /// The outage. The door must be ready at every look, and tell of a hub that is not open at some.
    async fn pass(&mut self) {
        let end = Instant::now() + OUTAGE;
        let delivered = self.site.record().lines().len();
        let (mut looks, mut told) = (0, 0);
        while Instant::now() < end {
            let reply = http::get(self.site.ports.admin, "/readyz").await.expect("the admin listener answers");
            assert_eq!(reply.status, 200, "Azure's trouble is not the door's: {}", reply.text());
            looks += 1;
            told += u32::from(is_a_hub_down(&reply.json()));
            sleep_until(Instant::now() + 10 * LOOK).await;
        }
        let more = self.site.record().lines().len() - delivered;
        println!("outage: {looks} looks at /readyz, {told} told of it, {more} messages slipped through");
        assert!(more <= DEVICES as usize, "that was no outage");
        assert!(told > 0, "/readyz never told of the hub that is away");
    }

    async fn judge(&mut self) {
        let answers = self.posting.take().expect("it was started").finish().await;
        let begin = Instant::now();
        let verdict = self.site.settled(&self.obligations, DRAIN).await;
        let (slowest, refused) = worst(&answers);
        let p99 = quantile(&answers, 0.99);
        println!("{} answers, {refused} not 2xx, p99 {p99:?}, slowest {slowest:?}", answers.len());
        println!("drained {:?} after the last answer: {verdict}", begin.elapsed());
        assert_eq!(refused, 0, "every webhook is answered 202");
        assert!(slowest < ANSWER, "within {ANSWER:?}");
        assert!(begin.elapsed() < DRAIN, "drained within {DRAIN:?}");
        // What was under way when the network fell silent may come twice, under the same id.
        verdict.holds(DEVICES as usize);
        assert_eq!(self.site.dead_letter_reasons().await, [""; 0], "an outage buries nothing");
        let body = self.site.admin("/readyz").await.json();
        assert!(!is_a_hub_down(&body), "the hub is open again: {body}");
    }
}

fn is_a_hub_down(body: &Value) -> bool {
    body["hubs"].as_array().is_some_and(|hubs| hubs.iter().any(|hub| hub["open"] == false))
}
