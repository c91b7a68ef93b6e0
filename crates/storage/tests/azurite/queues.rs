//! The predecessor's queues, read and emptied.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use queue::blobs::FailureKind;
use storage::{Messages, TAKE_MAX};

use crate::emulator::{Emulator, means, now};
use crate::rights::sas;

const MINUTE: Duration = Duration::from_secs(60);

async fn messages(azurite: &Emulator) -> Messages {
    let messages = Messages::new(&azurite.owner(), "uplinks", &means()).unwrap();
    assert!(messages.create().await.result.unwrap());
    messages
}

#[tokio::test]
async fn every_message_is_taken_once_whatever_it_was_written_in() {
    let azurite = Emulator::start().await;
    let messages = messages(&azurite).await;
    assert!(!messages.create().await.result.unwrap(), "it is there already");
    let text = |nth: usize| format!(r#"{{"app_id":"a<b>&c","dev_id":"dévice-{nth}"}}"#);
    for nth in 0..40 {
        let written = if nth % 2 == 0 { STANDARD.encode(text(nth)) } else { text(nth) };
        messages.put(&written).await.result.unwrap();
    }
    assert_eq!(messages.count().await.result.unwrap(), 40);
    let seen = messages.peek().await.result.unwrap();
    assert!(seen.len() == TAKE_MAX && seen[0] == text(0), "looking takes nothing: {seen:?}");

    let first = messages.take(MINUTE).await.result.unwrap();
    let second = messages.take(MINUTE).await.result.unwrap();
    assert_eq!((first.len(), second.len()), (TAKE_MAX, 8));
    let read: BTreeSet<String> =
        first.iter().chain(&second).map(|taken| String::from_utf8(taken.body.to_vec()).unwrap()).collect();
    assert_eq!(read, (0..40).map(text).collect());
    for taken in first.iter().chain(&second) {
        assert_eq!(taken.takes, 1);
        assert!((now() - 60_000..=now()).contains(&taken.put_at), "{}", taken.put_at);
    }
    assert_eq!(messages.take(MINUTE).await.result.unwrap(), [], "what is hidden is not taken");
    for taken in first.iter().chain(&second) {
        assert!(messages.delete(&taken.receipt).await.result.unwrap());
    }
    assert_eq!(messages.count().await.result.unwrap(), 0);
    assert!(!messages.delete(&first[0].receipt).await.result.unwrap(), "it is gone");
}

#[tokio::test]
async fn a_receipt_is_good_until_somebody_else_takes() {
    let azurite = Emulator::start().await;
    let messages = messages(&azurite).await;
    messages.put("{}").await.result.unwrap();
    let [slow] = &messages.take(Duration::from_secs(1)).await.result.unwrap()[..] else { panic!("one was put") };
    let again = tokio::time::timeout(MINUTE, async {
        loop {
            match messages.take(MINUTE).await.result.unwrap().pop() {
                Some(again) => break again,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let again = again.await.expect("it comes again");
    assert_eq!((again.takes, &again.body), (2, &slow.body));
    assert!(!messages.delete(&slow.receipt).await.result.unwrap());
    assert_eq!(messages.count().await.result.unwrap(), 1, "and it is still there");
    assert!(messages.delete(&again.receipt).await.result.unwrap());
}

#[tokio::test]
async fn a_queue_that_is_not_there_and_one_that_is_shut_are_told_apart() {
    let azurite = Emulator::start().await;
    let missing = Messages::new(&azurite.owner(), "uplinks", &means()).unwrap();
    for failure in [
        missing.count().await.result.unwrap_err(),
        missing.take(MINUTE).await.result.unwrap_err(),
        missing.put("{}").await.result.unwrap_err(),
    ] {
        assert_eq!(failure.kind, FailureKind::NoPlace, "{failure}");
        assert!(failure.cause.contains("\"uplinks\": 404 QueueNotFound (request "), "{failure}");
    }
    let failure = missing.take(Duration::ZERO).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Odd, "{failure}");

    let messages = messages(&azurite).await;
    messages.put("{}").await.result.unwrap();
    let by = |rights: &str| {
        let account = azurite.account(&format!("SharedAccessSignature={}", sas(rights)));
        Messages::new(&account, "uplinks", &means()).unwrap()
    };
    assert_eq!(by("rp").count().await.result.unwrap(), 1);
    let failure = by("r").take(MINUTE).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
    let [taken] = &by("rp").take(MINUTE).await.result.unwrap()[..] else { panic!("one was put") };
    assert!(messages.delete(&taken.receipt).await.result.unwrap());
}
