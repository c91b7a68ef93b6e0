//! The accept loop: its bound, and its end.

use std::time::Duration;

use bridge::config::Webhook;
use bridge::webhook::pace::Limits;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::{PATIENCE, Plan, Site, UPLINK, post};

#[tokio::test]
async fn a_connection_over_the_bound_is_closed_and_the_others_stay() {
    let webhook = Webhook { max_connections: 2, ..Plan::default().webhook };
    let site = Site::open(Plan { webhook, ..Plan::default() }).await;
    let mut first = site.client().await;
    let mut second = site.client().await;
    for client in [&mut first, &mut second] {
        client.send(&post("/tts", "", UPLINK.as_bytes())).await;
        assert_eq!(client.reply().await.status, 202);
    }
    for _ in 0..20 {
        assert!(site.client().await.is_closed_within(Duration::from_secs(1)).await);
    }
    assert_eq!(site.count("connections_full_total"), 20);
    first.send(&post("/tts", "", UPLINK.as_bytes())).await;
    assert_eq!(first.reply().await.status, 202);
    drop(first);
    let freed = async {
        loop {
            let mut client = site.client().await;
            client.send(&post("/tts", "", UPLINK.as_bytes())).await;
            if !client.is_closed_within(Duration::from_millis(20)).await {
                return;
            }
        }
    };
    assert!(timeout(PATIENCE, freed).await.is_ok(), "the place was not given back");
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let mut site = Site::plain().await;
    let mut idle = site.client().await;
    idle.send(&post("/tts", "", UPLINK.as_bytes())).await;
    assert_eq!(idle.reply().await.status, 202);
    site.disk.stall();
    let mut busy = site.client().await;
    let request = post("/tts", "", UPLINK.as_bytes());
    let (head, rest) = request.split_at(request.len() - 10);
    busy.send(head).await;
    site.counts("connections_taken_total", 2).await;
    site.stop();
    assert!(idle.is_closed_within(PATIENCE).await);
    busy.send(rest).await;
    site.disk.resume();
    let reply = busy.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (202, Some("close")));
    timeout(PATIENCE, &mut site.serving).await.expect("an end").expect("no panic");
    assert!(TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn a_door_that_is_about_to_go_takes_all_and_keeps_no_connection() {
    let site = Site::plain().await;
    let mut kept = site.client().await;
    kept.send(&post("/tts", "", UPLINK.as_bytes())).await;
    assert_eq!(kept.reply().await.header("connection"), None);
    site.leaves();
    for mut client in [kept, site.client().await] {
        client.send(&post("/tts", "", UPLINK.as_bytes())).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (202, Some("close")));
        assert!(client.is_closed_within(PATIENCE).await);
    }
}

#[tokio::test]
async fn a_stop_serves_whoever_is_connected_already() {
    let mut site = Site::plain().await;
    // On one thread nothing of this is accepted before the first await that waits.
    let early = std::net::TcpStream::connect(site.address).expect("it listens");
    early.set_nonblocking(true).expect("a socket");
    site.stop();
    let mut early = crate::site::Client(TcpStream::from_std(early).expect("a socket"));
    early.send(&post("/tts", "", UPLINK.as_bytes())).await;
    assert_eq!(early.reply().await.status, 202);
    timeout(PATIENCE, &mut site.serving).await.expect("an end").expect("no panic");
}

#[tokio::test]
async fn whoever_came_while_a_handed_over_listener_had_no_server_is_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let mut early = crate::site::Client(TcpStream::connect(address).await.expect("the kernel accepts"));
    early.send(&post("/tts", "", UPLINK.as_bytes())).await;
    let listener = Some(listener);
    let site = Site::open(Plan { listener, ..Plan::default() }).await;
    assert_eq!(early.reply().await.status, 202);
    site.holds(1).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let limits = Limits { drain: Duration::from_millis(100), ..Limits::default() };
    let mut site = Site::open(Plan { limits, ..Plan::default() }).await;
    let mut slow = site.client().await;
    slow.send(b"POST /tts HTTP/1.1\r\n").await;
    site.counts("connections_taken_total", 1).await;
    site.stop();
    timeout(PATIENCE, &mut site.serving).await.expect("an end").expect("no panic");
    assert!(slow.is_closed_within(Duration::from_secs(1)).await);
}
