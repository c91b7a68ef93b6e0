//! Promise: with a listener that is handed over, nobody is refused while the bridge is restarted or killed.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::http;
use crate::network::seed;
use crate::site::Site;
use crate::uplinks;

const RESTARTS: usize = 4;
/// Several, so that the queue drains as fast as it fills.
const DEVICES: usize = 50;
/// The network gives up after five seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_behind_a_handed_over_listener_refuses_nobody() {
    seed();
    let mut site = Site::empty("handover");
    site.start_simulator().await;
    let listener = TcpListener::bind(("127.0.0.1", site.ports.webhook)).expect("the port was free a moment ago");
    site.start_bridge_on(&listener).await;

    let stop = Arc::new(AtomicBool::new(false));
    let posting = tokio::spawn(post_until(site.ports.webhook, stop.clone()));
    for restart in 0..RESTARTS {
        site.bridge().signal("TERM");
        let status = site.bridge().exit_within(Duration::from_secs(10)).await;
        assert!(status.success(), "restart {restart}: {status}");
        site.start_bridge_on(&listener).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (posted, longest) = posting.await.expect("nobody was refused");
    println!("{posted} uplinks over {RESTARTS} restarts, the longest wait {longest:?}");
    assert!(longest < ANSWER_WITHIN, "{longest:?}");
    site.drained(Duration::from_secs(30)).await;
    assert_eq!(site.record().lines().len(), posted, "each came once");
}

/// One connection for each uplink, as a network without keep-alive posts them.
async fn post_until(port: u16, stop: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut posted, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let (device, counter) = (format!("handover-{}", posted % DEVICES), u32::try_from(posted).expect("few"));
        let body = uplinks::tts("building", &device, counter);
        let begin = Instant::now();
        let reply = http::post(port, "/tts", &[], &body).await.unwrap_or_else(|e| panic!("uplink {posted}: {e}"));
        assert_eq!(reply.status, 202, "uplink {posted}: {}", reply.text());
        longest = longest.max(begin.elapsed());
        posted += 1;
    }
    (posted, longest)
}
