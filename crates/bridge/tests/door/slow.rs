//! Slow clients are cut, each in its phase, and nobody else notices.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bridge::cli::send;
use bridge::events::Events;
use bridge::webhook::accept::{self, Options};
use bridge::webhook::pace::Limits;
use bridge::world::{Random, SystemClock, World};
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Frame};
use prometheus_client::registry::Registry;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::site::{Client, PATIENCE, Plan, Site, UPLINK, post};

const SHORT: Duration = Duration::from_millis(150);

/// A client that sends this much and no more is cut in `phase`, after its time and not before.
async fn cut(limits: Limits, sent: &[u8], phase: &str) {
    let site = Site::open(Plan { limits, ..Plan::default() }).await;
    let mut client = site.client().await;
    client.send(sent).await;
    let began = Instant::now();
    if phase == "idle" {
        assert_eq!(client.reply().await.status, 202);
    }
    assert!(client.is_closed_within(Duration::from_secs(3)).await, "{phase}");
    assert!(began.elapsed() >= SHORT - Duration::from_millis(20), "{phase}: {:?}", began.elapsed());
    site.counts(&format!("slow_clients_total{{phase=\"{phase}\"}}"), 1).await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_cut() {
    cut(Limits { first_byte: SHORT, ..Limits::default() }, b"", "first_byte").await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_header_is_cut() {
    cut(Limits { header: SHORT, ..Limits::default() }, b"POST /tts HTTP/1.1\r\nhost:", "header").await;
}

#[tokio::test]
async fn a_client_that_stops_in_the_body_is_cut() {
    let sent = b"POST /tts HTTP/1.1\r\nhost: door\r\ncontent-length: 100\r\n\r\n{";
    cut(Limits { body: SHORT, ..Limits::default() }, sent, "body").await;
}

#[tokio::test]
async fn a_client_that_stays_idle_is_cut_after_the_longer_time() {
    cut(Limits { idle: SHORT, ..Limits::default() }, &post("/tts", "", UPLINK.as_bytes()), "idle").await;
}

#[tokio::test]
async fn dripping_does_not_lengthen_the_time() {
    let limits = Limits { header: SHORT, ..Limits::default() };
    let site = Site::open(Plan { limits, ..Plan::default() }).await;
    let mut client = site.client().await;
    let began = Instant::now();
    while client.0.write_all(b"P").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(3), "dripping keeps the connection open");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
    let events = Events::new(&mut Registry::default(), &world);
    let limits = Limits { write: SHORT, ..Limits::default() };
    let leaving = tokio::sync::watch::channel(false).1;
    let options = Options { max_connections: 10, limits, tls: None, events, world, leaving };
    let listener = accept::listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    // More than the kernel's buffers on both sides.
    let page = Bytes::from(vec![b'x'; 64 << 20]);
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    let ended = Arc::new(Mutex::new(Some(ended)));
    let answer = move |_| {
        let (page, ended) = (page.clone(), ended.lock().expect("no panic").take());
        async move { Response::new(Watched { body: Full::new(page), _ended: ended }) }
    };
    tokio::spawn(accept::serve(listener, answer, options, std::future::pending()));
    let mut client = Client(TcpStream::connect(address).await.expect("it listens"));
    client.send(b"GET / HTTP/1.1\r\nhost: door\r\n\r\n").await;
    assert!(timeout(PATIENCE, end).await.expect("the answer is given up").is_err());
}

/// A body whose end can be waited for.
struct Watched {
    body: Full<Bytes>,
    _ended: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// 500 of each kind of slow client, and 200 uplinks a second beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_clients_cost_nobody_else_time() {
    const SLOW: usize = 2_000;
    let second = Duration::from_secs(1);
    let limits = Limits { first_byte: 4 * second, header: 4 * second, body: 5 * second, ..Limits::default() };
    let site = Site::open(Plan { limits, ..Plan::default() }).await;
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let mut client: Client = site.client().await;
        slow.spawn(async move {
            let body = b"POST /tts HTTP/1.1\r\nhost: door\r\ncontent-length: 100000\r\n\r\n{";
            match number % 4 {
                0 => {}
                1 => client.send(b"POST /tts HTTP/1.1\r\nhost: ").await,
                2 => client.send(body).await,
                _ => {
                    client.send(body).await;
                    for _ in 0..4 {
                        sleep(Duration::from_millis(500)).await;
                        client.send(b" ").await;
                    }
                }
            }
            assert!(client.is_closed_within(Duration::from_secs(15)).await, "client {number} was not cut");
        });
    }
    let options = send::Options {
        url: format!("http://{}", site.address),
        devices: 50,
        rate: Some(200.0),
        count: Some(600),
        ..send::Options::default()
    };
    let world = World::new(Arc::new(SystemClock), Random::from_seed(1));
    let summary = send::run(options, world, Arc::new(|_| {})).await.expect("a site");
    println!("beside {SLOW} slow clients: {summary}");
    assert!(summary.is_clean() && summary.sent == 600, "{summary}");
    assert!(summary.latencies.at(0.99) < Duration::from_millis(250), "{summary}");
    while let Some(outcome) = slow.join_next().await {
        outcome.expect("a slow client that was cut");
    }
}
