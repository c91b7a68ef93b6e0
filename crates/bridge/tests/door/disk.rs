//! What is answered when the disk is slow, full or broken.

use std::time::Duration;

use bridge::config::Webhook;
use queue::memory::Fault;
use tokio::time::Instant;

use crate::site::{Plan, Site, UPLINK, post};

#[tokio::test]
async fn a_stalled_disk_is_answered_in_time_and_the_late_commit_is_kept() {
    let site = Site::plain().await;
    site.disk.stall();
    let began = Instant::now();
    let reply = site.post("/tts", "", UPLINK).await;
    let took = began.elapsed();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("10")));
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
    site.disk.resume();
    site.holds(1).await;
    assert_eq!(site.take().await.body, UPLINK.as_bytes());
    site.counts("committed_late_total", 1).await;
}

#[tokio::test]
async fn a_put_outlives_its_sender() {
    let site = Site::plain().await;
    site.disk.stall();
    let mut client = site.client().await;
    client.send(&post("/tts", "", UPLINK.as_bytes())).await;
    site.counts("connections_taken_total", 1).await;
    drop(client);
    site.disk.resume();
    site.holds(1).await;
}

#[tokio::test]
async fn a_full_or_broken_disk_says_so_and_the_door_recovers() {
    let site = Site::plain().await;
    site.disk.set_full(true);
    let reply = site.post("/tts", "", UPLINK).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("10")));
    assert!(reply.body.contains("full"), "{reply:?}");
    site.disk.set_full(false);
    site.writes_again().await;
    site.disk.fail_next_commit(Fault::Failed);
    let reply = site.post("/tts", "", UPLINK).await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("disk refused"), "{reply:?}");
    assert!(site.is_empty());
    site.writes_again().await;
    assert_eq!(site.post("/tts", "", UPLINK).await.status, 202);
    site.queue.close().await;
    assert_eq!(site.post("/tts", "", UPLINK).await.status, 503);
}

fn narrow(max_waiting: usize, max_waiting_bytes: usize) -> Plan {
    let webhook = Webhook { max_waiting, max_waiting_bytes, ..Plan::default().webhook };
    Plan { webhook, answer_within: Duration::from_secs(20), ..Plan::default() }
}

#[tokio::test]
async fn puts_that_wait_are_bounded_in_number_and_in_bytes() {
    for plan in [narrow(2, 64 << 20), narrow(100, 2 * UPLINK.len() + 10)] {
        let site = Site::open(plan).await;
        site.disk.stall();
        let mut clients = Vec::new();
        for _ in 0..10 {
            let mut client = site.client().await;
            client.send(&post("/tts", "", UPLINK.as_bytes())).await;
            clients.push(client);
        }
        let began = Instant::now();
        site.counts("refused_total{status=\"503\",why=\"too_many_waiting\"}", 8).await;
        assert!(began.elapsed() < Duration::from_secs(1), "the refusal waited for the disk");
        site.disk.resume();
        let mut kept = 0;
        for mut client in clients {
            kept += u32::from(client.reply().await.status == 202);
        }
        assert_eq!(kept, 2);
        assert_eq!(site.post("/tts", "", UPLINK).await.status, 202);
        site.holds(3).await;
    }
}
