use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{advance, sleep, timeout};

use super::*;
use crate::loopback::{Loopback, Reply};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { connections: 3, ..Limits::default() }
}

fn exchange(network: &Loopback) -> Exchange {
    let endpoint = Endpoint { host: "hub1.azure-devices.net".into(), port: 443 };
    Exchange::new(endpoint, Arc::new(network.clone()), limits())
}

fn request(target: &str) -> Request<Full<Bytes>> {
    Request::post(target).header("host", "hub1").body(Full::new(Bytes::from_static(b"body"))).unwrap()
}

fn always(status: u16) -> Loopback {
    Loopback::answering(move |_| async move { Reply::status(status) })
}

/// Lets every task run until it waits for something. Under paused time the clock moves by a millisecond.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_carries_many_requests() {
    let network = always(204);
    let exchange = exchange(&network);
    for n in 0..10 {
        assert_eq!(exchange.ask(request(&format!("/{n}"))).await.unwrap().status, 204);
    }
    assert_eq!((network.dials(), network.seen().len()), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn connections_never_exceed_their_bound() {
    let gate = Arc::new(Semaphore::new(0));
    let network = Loopback::answering({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Reply::status(204)
            }
        }
    });
    let exchange = exchange(&network);
    let asks: Vec<_> = (0..20)
        .map(|n| {
            let exchange = exchange.clone();
            tokio::spawn(async move { exchange.ask(request(&format!("/{n}"))).await })
        })
        .collect();
    settle().await;
    assert_eq!(network.seen().len(), 3);
    gate.add_permits(20);
    for ask in asks {
        assert_eq!(ask.await.unwrap().unwrap().status, 204);
    }
    assert_eq!((network.most_open(), network.dials()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn connection_that_died_idle_costs_nothing() {
    let network = always(204);
    let exchange = exchange(&network);
    exchange.ask(request("/1")).await.unwrap();
    network.hang_up();
    settle().await;
    exchange.ask(request("/2")).await.unwrap();
    assert_eq!((network.dials(), network.seen().len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn connection_that_dies_while_it_is_taken_is_replaced_or_reported_lost() {
    let network = always(204);
    let exchange = exchange(&network);
    exchange.ask(request("/1")).await.unwrap();
    network.hang_up();
    // Without settling: the client has not seen the end yet.
    let outcome = exchange.ask(request("/2")).await;
    let arrived = network.seen().len() - 1;
    match outcome {
        Ok(_) => assert_eq!(arrived, 1),
        Err(trouble) => assert!(trouble.may_have_arrived(), "{trouble}"),
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_lost_and_not_repeated() {
    let network = Loopback::answering(|_| async { Reply::Die });
    let trouble = exchange(&network).ask(request("/1")).await.unwrap_err();
    assert!(matches!(trouble, Trouble::Lost(_)) && trouble.may_have_arrived(), "{trouble}");
    assert_eq!(network.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn lost_answer_on_a_reused_connection_is_not_repeated_either() {
    let network =
        Loopback::answering(|seen| async move { if seen.target == "/2" { Reply::Die } else { Reply::status(204) } });
    let exchange = exchange(&network);
    exchange.ask(request("/1")).await.unwrap();
    assert!(matches!(exchange.ask(request("/2")).await, Err(Trouble::Lost(_))));
    assert_eq!(network.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn silent_server_is_given_up_on_time() {
    let network = Loopback::answering(|_| async { Reply::Hang });
    let exchange = exchange(&network);
    let begun = Instant::now();
    assert_eq!(exchange.ask(request("/1")).await.unwrap_err(), Trouble::TimedOut);
    assert_eq!(begun.elapsed(), limits().answer_timeout);
    settle().await;
    assert_eq!(network.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn server_that_stops_reading_is_given_up_on_time_and_holds_no_connection() {
    let network = always(204);
    network.deafen();
    let exchange = exchange(&network);
    let large = Request::post("/").body(Full::new(Bytes::from(vec![b'x'; 200_000]))).unwrap();
    assert_eq!(exchange.ask(large).await.unwrap_err(), Trouble::TimedOut);
    settle().await;
    assert_eq!(network.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn black_hole_is_given_up_on_time() {
    let network = always(204);
    network.swallow();
    let begun = Instant::now();
    let trouble = exchange(&network).ask(request("/1")).await.unwrap_err();
    assert_eq!(trouble, Trouble::Unreachable("hub1.azure-devices.net:443: did not connect in time".into()));
    assert_eq!(begun.elapsed(), limits().connect_timeout);
}

#[tokio::test(start_paused = true)]
async fn refused_dial_says_why_and_the_next_one_may_work() {
    let network = always(204);
    let exchange = exchange(&network);
    network.refuse(true);
    let trouble = exchange.ask(request("/1")).await.unwrap_err();
    assert_eq!(trouble.to_string(), "cannot reach hub1.azure-devices.net:443: connection refused");
    assert!(!trouble.may_have_arrived());
    network.refuse(false);
    assert!(exchange.ask(request("/1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn idle_connection_is_closed_when_its_time_is_up() {
    let network = always(204);
    let exchange = exchange(&network);
    exchange.ask(request("/1")).await.unwrap();
    advance(59 * SECOND).await;
    settle().await;
    assert_eq!(network.open(), 1);
    advance(2 * SECOND).await;
    settle().await;
    assert_eq!(network.open(), 0);
    exchange.ask(request("/2")).await.unwrap();
    advance(61 * SECOND).await;
    settle().await;
    assert_eq!((network.open(), network.dials()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn little_traffic_lets_surplus_connections_go() {
    let network = Loopback::answering(|_| async {
        sleep(SECOND).await;
        Reply::status(204)
    });
    let exchange = exchange(&network);
    let (a, b) = tokio::join!(exchange.ask(request("/1")), exchange.ask(request("/2")));
    assert!(a.is_ok() && b.is_ok());
    for _ in 0..13 {
        sleep(5 * SECOND).await;
        exchange.ask(request("/")).await.unwrap();
    }
    assert_eq!((network.dials(), network.open()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_ask_closes_its_connection_and_frees_its_place() {
    let network =
        Loopback::answering(
            |seen| async move { if seen.target == "/hang" { Reply::Hang } else { Reply::status(204) } },
        );
    let exchange = exchange(&network);
    for _ in 0..5 {
        let asked = timeout(SECOND, exchange.ask(request("/hang"))).await;
        assert!(asked.is_err());
    }
    settle().await;
    assert_eq!(network.open(), 0);
    assert!(exchange.ask(request("/1")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_ends_unwritten() {
    let network = Loopback::answering(|_| async { Reply::Hang });
    let endpoint = Endpoint { host: "hub1".into(), port: 443 };
    let bounds = Limits { connections: 1, ..limits() };
    let exchange = Exchange::new(endpoint, Arc::new(network.clone()), bounds);
    let asks: Vec<_> = (0..3)
        .map(|n| {
            let exchange = exchange.clone();
            tokio::spawn(async move { exchange.ask(request(&format!("/{n}"))).await.unwrap_err() })
        })
        .collect();
    let mut troubles = Vec::new();
    for ask in asks {
        troubles.push(ask.await.unwrap());
    }
    assert_eq!(troubles.iter().filter(|t| **t == Trouble::Crowded).count() + network.seen().len(), 3);
    assert!(troubles.contains(&Trouble::Crowded) && !Trouble::Crowded.may_have_arrived());
}

#[tokio::test(start_paused = true)]
async fn close_ends_idle_connections_and_lets_the_busy_one_finish() {
    let network = Loopback::answering(|seen| async move {
        if seen.target == "/slow" {
            sleep(5 * SECOND).await;
        }
        Reply::status(204)
    });
    let exchange = exchange(&network);
    exchange.ask(request("/1")).await.unwrap();
    let slow = tokio::spawn({
        let exchange = exchange.clone();
        async move { exchange.ask(request("/slow")).await }
    });
    settle().await;
    exchange.close();
    assert_eq!(exchange.ask(request("/2")).await.unwrap_err(), Trouble::Closed);
    assert_eq!(slow.await.unwrap().unwrap().status, 204);
    settle().await;
    assert_eq!((network.open(), network.seen().len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn server_that_closes_after_each_answer_is_dialled_anew() {
    let network = Loopback::answering(|_| async { Reply::with(204, &[("connection", "close")], "") });
    let exchange = exchange(&network);
    for _ in 0..3 {
        exchange.ask(request("/")).await.unwrap();
    }
    assert_eq!((network.dials(), network.seen().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn endless_body_is_cut_and_its_connection_dropped() {
    let network = Loopback::answering(|_| async { Reply::with(500, &[], &"x".repeat(ANSWER_BYTES_MAX + 1)) });
    let exchange = exchange(&network);
    let answer = exchange.ask(request("/")).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len(), answer.is_whole), (500, ANSWER_BYTES_MAX, false));
    settle().await;
    assert_eq!(network.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn longer_answers_are_read_where_they_are_wanted() {
    let network = Loopback::answering(|_| async { Reply::with(200, &[], &"x".repeat(ANSWER_BYTES_MAX + 1)) });
    let endpoint = Endpoint { host: "hub1".into(), port: 443 };
    let bounds = Limits { answer_bytes: ANSWER_BYTES_MAX + 1, ..limits() };
    let answer = Exchange::new(endpoint, Arc::new(network), bounds).ask(request("/")).await.unwrap();
    assert_eq!((answer.body.len(), answer.is_whole), (ANSWER_BYTES_MAX + 1, true));
}

#[tokio::test(start_paused = true)]
async fn answers_in_chunks_keep_their_connection() {
    let network = Loopback::answering(|_| async { Reply::with(200, &[("transfer-encoding", "chunked")], "in chunks") });
    let exchange = exchange(&network);
    for _ in 0..3 {
        let answer = exchange.ask(request("/")).await.unwrap();
        assert_eq!((&answer.body[..], answer.is_whole), (&b"in chunks"[..], true));
        assert!(!answer.headers.contains_key("content-length"));
    }
    assert_eq!(network.dials(), 1);
}

#[tokio::test(start_paused = true)]
async fn silence_after_a_question_is_known_before_a_long_answer_is_late() {
    let network = Loopback::answering(|_| async { Reply::Hang });
    let endpoint = Endpoint { host: "hub1".into(), port: 443 };
    let exchange = Exchange::new(endpoint, Arc::new(network), Limits { head_timeout: 3 * SECOND, ..limits() });
    let begun = Instant::now();
    let question = Request::get("/").header("host", "hub1").body(Full::default()).unwrap();
    assert_eq!(exchange.ask(question).await.unwrap_err(), Trouble::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(exchange.ask(request("/")).await.unwrap_err(), Trouble::TimedOut, "what carries a body has its time");
    assert_eq!(begun.elapsed().as_secs(), 23);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_exchange_closes_everything() {
    let network = always(204);
    exchange(&network).ask(request("/")).await.unwrap();
    settle().await;
    assert_eq!(network.open(), 0);
}
