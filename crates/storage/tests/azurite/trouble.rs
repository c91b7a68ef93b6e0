//! What goes wrong between here and the account, and within which time it is known.

use std::time::Duration;

use bytes::Bytes;
use queue::blobs::{Blobs, CALL_MAX, Failure, FailureKind, LARGE_CALL_MAX, LeaseId};
use storage::{Account, Container};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::emulator::{Emulator, KEY, NAME, means};

/// For a machine that does other things as well.
const SLACK: Duration = Duration::from_secs(2);

/// What whoever stands in for the account says to each request.
enum Answer {
    Nothing,
    /// These bytes, and then it hangs up.
    Bytes(&'static str),
    /// These bytes, and then silence.
    Begin(&'static str),
}

/// A container of an account in whose place somebody else answers.
async fn instead(answer: Answer) -> Container {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (Answer::Bytes(bytes) | Answer::Begin(bytes)) = &answer else {
                held.push(stream);
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(bytes.as_bytes()).await.unwrap();
            if matches!(answer, Answer::Begin(_)) {
                held.push(stream);
            }
        }
    };
    tokio::spawn(serve);
    at(port)
}

pub(crate) fn at(port: u16) -> Container {
    let text = format!("AccountName={NAME};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/{NAME}");
    Container::new(&Account::from_connection_string(&text).unwrap(), "longhaul", &means()).unwrap()
}

/// Every call but the large put, at once; each fails.
async fn each(container: &Container) -> Vec<(Duration, Failure)> {
    async fn one<T: std::fmt::Debug>(asked: queue::blobs::Asked<'_, T>) -> (Duration, Failure) {
        let begun = Instant::now();
        let reply = asked.await;
        (begun.elapsed(), reply.result.unwrap_err())
    }
    let (lease, length) = (LeaseId("00000000-0000-4000-8000-000000000000".into()), Duration::from_secs(15));
    let (new, over, get, list, delete, acquire, renew, release, broken) = tokio::join!(
        one(container.put_new("a", Bytes::from_static(b"1"))),
        one(container.put_over("a", Bytes::from_static(b"1"), Some(&lease))),
        one(container.get("a")),
        one(container.list("a", None)),
        one(container.delete("a")),
        one(container.acquire("a", length)),
        one(container.renew("a", &lease)),
        one(container.release("a", &lease)),
        one(container.break_lease("a")),
    );
    vec![new, over, get, list, delete, acquire, renew, release, broken]
}

async fn all_are(container: &Container, kind: FailureKind, says: &str) {
    for (took, failure) in each(container).await {
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.cause.contains(says), "{failure}");
        assert!(took < CALL_MAX + SLACK, "{failure} after {took:?}");
    }
}

#[tokio::test]
async fn a_container_that_is_not_there_is_no_place_for_anything() {
    let azurite = Emulator::start().await;
    let container = Container::new(&azurite.owner(), "longhaul", &means()).unwrap();
    all_are(&container, FailureKind::NoPlace, "404 ContainerNotFound (request ").await;
    assert!(container.create().await.result.unwrap());
    assert!(!container.create().await.result.unwrap(), "it is there already");
    assert_eq!(container.get("a").await.result.unwrap(), None);
}

#[tokio::test]
async fn an_account_that_went_away_passes() {
    let mut azurite = Emulator::start().await;
    let container = azurite.container("longhaul").await;
    assert_eq!(container.get("a").await.result.unwrap(), None, "over a connection that is kept");
    azurite.stop().await;
    all_are(&container, FailureKind::Passing, "cannot reach 127.0.0.1:").await;
    assert_eq!(container.get("a").await.date, None);
}

#[tokio::test]
async fn an_account_that_says_nothing_passes_in_time() {
    let container = instead(Answer::Nothing).await;
    all_are(&container, FailureKind::Passing, "no answer").await;
}

#[tokio::test]
async fn a_large_body_has_more_time_and_no_more_than_that() {
    let container = instead(Answer::Nothing).await;
    let begun = Instant::now();
    let failure = container.put_new("a", Bytes::from(vec![0; 1 << 20])).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Passing, "{failure}");
    assert!((LARGE_CALL_MAX..LARGE_CALL_MAX + SLACK).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn half_a_body_is_no_body() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ndate: Fri, 26 Jun 2015 23:39:12 GMT\r\n\r\nhalf";
    let failure = instead(Answer::Bytes(half)).await.get("a").await.result.unwrap_err();
    assert!(failure.kind == FailureKind::Passing && failure.cause.contains("not whole"), "{failure}");
    let begun = Instant::now();
    let failure = instead(Answer::Begin(half)).await.get("a").await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Passing, "{failure}");
    assert!((CALL_MAX..LARGE_CALL_MAX + SLACK).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whoever_asks_to_be_left_alone_is_heard() {
    let busy = "HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nx-ms-request-id: 1f2e-33\r\nretry-after: 7\r\n\
                date: Fri, 26 Jun 2015 23:39:12 GMT\r\ncontent-length: 0\r\n\r\n";
    let reply = instead(Answer::Bytes(busy)).await.put_new("door/1", Bytes::new()).await;
    let failure = reply.result.unwrap_err();
    assert_eq!((reply.date, failure.kind), (Some(1_435_361_952_000), FailureKind::Passing), "{failure}");
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert!(
        failure.cause.starts_with("cannot put the new blob \"door/1\": 503 ServerBusy (request 1f2e-33)"),
        "{failure}"
    );
}

#[tokio::test]
async fn what_no_account_would_say_decides_nothing() {
    for answer in [
        // A proxy's, for each of which there is a decision by status alone.
        "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnope!",
        "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: https://login.example/\r\ncontent-length: 0\r\n\r\n",
    ] {
        all_are(&instead(Answer::Bytes(answer)).await, FailureKind::Odd, "without a code (no request id)").await;
    }
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    let failure = instead(Answer::Bytes(page)).await.list("a", None).await.result.unwrap_err();
    assert!(failure.kind == FailureKind::Odd && failure.cause.contains("cannot be read"), "{failure}");
    let failure = instead(Answer::Bytes(page)).await.put_new("a", Bytes::new()).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Odd, "a put is answered with 201: {failure}");
}

#[tokio::test]
async fn names_that_no_blob_can_have_are_not_asked_for() {
    let container = instead(Answer::Nothing).await;
    for name in ["", ".", "..", &"a".repeat(1_025)] {
        let failure = container.delete(name).await.result.unwrap_err();
        assert!(failure.kind == FailureKind::Odd && failure.cause.contains("no blob can be called that"), "{failure}");
    }
}
