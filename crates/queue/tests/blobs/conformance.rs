//! What each carrying out of `Blobs` has to do, whoever it is: the double that this crate's tests run on, and a real account.
//!
//! Whoever includes this file calls [`conformance`] with storage in which no blob's name begins as [`PREFIX`] says.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use queue::blobs::{Asked, Blobs, FailureKind, LIST_MAX, LeaseId, Listed, New, Over, Reply};

/// What all names begin with.
pub(crate) const PREFIX: &str = "conformance/";
/// The shortest lease.
const LENGTH: Duration = Duration::from_secs(15);
/// Until one of [`LENGTH`] has run out, by the service's clock as well as by ours.
const RUN_OUT: Duration = Duration::from_secs(16);

/// Lets time pass.
pub(crate) type Wait<'a> = &'a (dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Sync);

/// Tests everything that the trait promises. What a lease does when its time is over takes 16 s, and is left out without `wait`.
pub(crate) async fn conformance(blobs: &dyn Blobs, wait: Option<Wait<'_>>) {
    nothing_is_there(blobs).await;
    a_name_is_taken_once(blobs).await;
    bodies_come_back_as_they_were(blobs).await;
    a_blob_is_put_over(blobs).await;
    a_lease_shuts_others_out(blobs).await;
    a_lease_that_was_broken_is_nobodys(blobs).await;
    a_lease_goes_with_its_blob(blobs).await;
    lists_are_by_name_and_by_prefix(blobs).await;
    if let Some(wait) = wait {
        a_lease_runs_out(blobs, wait).await;
    }
}

/// Tests that a list longer than a page comes in pages. Puts more than [`LIST_MAX`] blobs.
pub(crate) async fn long_lists_come_in_pages(blobs: &dyn Blobs) {
    let names: Vec<String> = (0..=LIST_MAX).map(|nth| name(&format!("pages/{nth:012}"))).collect();
    for some in names.chunks(16) {
        let putting = some.iter().map(|name| blobs.put_new(name, Bytes::new()));
        for put in all(putting.collect()).await {
            assert_eq!(put.result.unwrap(), New::Put);
        }
    }
    let first = done(blobs.list(&name("pages/"), None)).await;
    assert_eq!(first.blobs.len(), LIST_MAX);
    let next = first.next.expect("there is more");
    let last = done(blobs.list(&name("pages/"), Some(&next))).await;
    assert_eq!((last.blobs.len(), last.next), (1, None));
    let listed: Vec<String> = first.blobs.into_iter().chain(last.blobs).map(|blob| blob.name).collect();
    assert_eq!(listed, names);
}

/// All of them at once.
async fn all<T>(mut asked: Vec<Asked<'_, T>>) -> Vec<Reply<T>> {
    let mut replies: Vec<Option<Reply<T>>> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (asked, reply) in asked.iter_mut().zip(&mut replies) {
            if reply.is_none()
                && let std::task::Poll::Ready(ready) = asked.as_mut().poll(context)
            {
                *reply = Some(ready);
            }
        }
        if replies.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    replies.into_iter().flatten().collect()
}

fn name(rest: &str) -> String {
    format!("{PREFIX}{rest}")
}

fn body(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// A decision, and the time at which it was made.
async fn done<T>(asked: Asked<'_, T>) -> T {
    let reply = asked.await;
    assert!(reply.date.is_some_and(|date| date > 0 && date % 1_000 == 0), "in whole seconds: {:?}", reply.date);
    reply.result.unwrap()
}

async fn failed<T: std::fmt::Debug>(asked: Asked<'_, T>) -> FailureKind {
    asked.await.result.unwrap_err().kind
}

async fn leased(blobs: &dyn Blobs, name: &str) -> LeaseId {
    done(blobs.acquire(name, LENGTH)).await.expect("nobody holds it")
}

async fn listed(blobs: &dyn Blobs, prefix: &str) -> Vec<Listed> {
    let page = done(blobs.list(prefix, None)).await;
    assert_eq!(page.next, None);
    page.blobs
}

/// Not asked: a put over what is not there, with a lease. It should be refused, and Azurite makes the blob.
async fn nothing_is_there(blobs: &dyn Blobs) {
    let (none, nobody) = (name("none"), LeaseId("00000000-0000-4000-8000-000000000000".into()));
    assert_eq!(done(blobs.get(&none)).await, None);
    assert_eq!(done(blobs.acquire(&none, LENGTH)).await, None);
    assert!(!done(blobs.renew(&none, &nobody)).await);
    assert!(!done(blobs.release(&none, &nobody)).await);
    assert!(!done(blobs.delete(&none)).await);
    assert_eq!(failed(blobs.break_lease(&none)).await, FailureKind::Odd);
    assert_eq!(done(blobs.get(&none)).await, None, "none of it made one");
    assert_eq!(listed(blobs, &none).await, []);
}

async fn a_name_is_taken_once(blobs: &dyn Blobs) {
    let taken = name("door/0001/00000002/000000000003");
    assert_eq!(done(blobs.put_new(&taken, body("first"))).await, New::Put);
    assert_eq!(done(blobs.put_new(&taken, body("first"))).await, New::Taken, "the same bytes as well");
    assert_eq!(done(blobs.put_new(&taken, body("second"))).await, New::Taken);
    assert_eq!(done(blobs.get(&taken)).await, Some(body("first")));
    let lease = leased(blobs, &taken).await;
    assert_eq!(done(blobs.put_new(&taken, body("third"))).await, New::Taken, "also while it is leased");
    assert!(done(blobs.release(&taken, &lease)).await);
    assert!(done(blobs.delete(&taken)).await);
    assert_eq!(done(blobs.put_new(&taken, body("fourth"))).await, New::Put, "a name is free when its blob is gone");
    assert_eq!(done(blobs.get(&taken)).await, Some(body("fourth")));

    let raced = name("raced");
    let putting = (0..8u8).map(|nth| blobs.put_new(&raced, Bytes::from(vec![nth; 100])));
    let ends = all(putting.collect()).await;
    let won: Vec<_> = ends.iter().map(|reply| reply.result.clone().unwrap() == New::Put).collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "of many one, whatever they put: {won:?}");
    let winner = u8::try_from(won.iter().position(|won| *won).unwrap()).unwrap();
    assert_eq!(done(blobs.get(&raced)).await, Some(Bytes::from(vec![winner; 100])));
}

async fn bodies_come_back_as_they_were(blobs: &dyn Blobs) {
    let large: Bytes = (0..5_u32 << 18).flat_map(u32::to_le_bytes).collect();
    assert_eq!(large.len(), 5 << 20);
    for (of, body) in [("empty", Bytes::new()), ("one", body("x")), ("large", large)] {
        let name = name(&format!("bodies/{of}"));
        assert_eq!(done(blobs.put_new(&name, body.clone())).await, New::Put);
        // By hand: five megabytes are no message.
        assert!(done(blobs.get(&name)).await == Some(body), "{of}");
    }
    for odd in
        ["bodies/a b", "bodies/ä", "bodies/100%25", "bodies/a+b", "bodies/a?b#c", "bodies/a/../b", "bodies/-~_.(1)"]
    {
        let name = name(odd);
        assert_eq!(done(blobs.put_new(&name, body("odd"))).await, New::Put, "{odd}");
        assert_eq!(done(blobs.get(&name)).await, Some(body("odd")), "{odd}");
        assert_eq!(listed(blobs, &name).await.iter().map(|blob| &blob.name).collect::<Vec<_>>(), [&name]);
    }
}

async fn a_blob_is_put_over(blobs: &dyn Blobs) {
    let name = name("over");
    assert_eq!(done(blobs.put_over(&name, body("made"), None)).await, Over::Put);
    assert_eq!(done(blobs.put_over(&name, body("longer than it was"), None)).await, Over::Put);
    assert_eq!(done(blobs.put_over(&name, body("short"), None)).await, Over::Put);
    assert_eq!(done(blobs.get(&name)).await, Some(body("short")));
}

async fn a_lease_shuts_others_out(blobs: &dyn Blobs) {
    let name = name("p/000/owner");
    assert_eq!(done(blobs.put_new(&name, body("1"))).await, New::Put);
    assert_eq!(failed(blobs.acquire(&name, Duration::from_secs(14))).await, FailureKind::Odd, "too short");
    assert_eq!(failed(blobs.acquire(&name, Duration::from_secs(61))).await, FailureKind::Odd, "too long");
    let ours = leased(blobs, &name).await;
    let others = LeaseId("00000000-0000-4000-8000-000000000000".into());
    assert_eq!(done(blobs.acquire(&name, LENGTH)).await, None);
    assert!(listed(blobs, &name).await[0].is_leased);
    assert!(!done(blobs.renew(&name, &others)).await);
    assert!(!done(blobs.release(&name, &others)).await);
    assert_eq!(done(blobs.put_over(&name, body("no"), None)).await, Over::NotOurs);
    assert_eq!(done(blobs.put_over(&name, body("no"), Some(&others))).await, Over::NotOurs);
    assert_eq!(failed(blobs.delete(&name)).await, FailureKind::Odd);
    assert_eq!(done(blobs.get(&name)).await, Some(body("1")), "it is read by everybody, and none of it was written");

    assert!(done(blobs.renew(&name, &ours)).await);
    assert_eq!(done(blobs.put_over(&name, body("2"), Some(&ours))).await, Over::Put);
    assert_eq!(done(blobs.acquire(&name, LENGTH)).await, None, "a put does not end it");
    assert!(done(blobs.release(&name, &ours)).await);
    assert!(!done(blobs.release(&name, &ours)).await);
    assert!(!listed(blobs, &name).await[0].is_leased);
    assert_eq!(
        done(blobs.put_over(&name, body("no"), Some(&ours))).await,
        Over::NotOurs,
        "what was given up is not ours"
    );
    let next = leased(blobs, &name).await;
    assert_ne!(next, ours, "each has its own");
    assert!(!done(blobs.renew(&name, &ours)).await);
    assert!(done(blobs.release(&name, &next)).await);
    assert_eq!(done(blobs.get(&name)).await, Some(body("2")));
}

async fn a_lease_that_was_broken_is_nobodys(blobs: &dyn Blobs) {
    let name = name("broken");
    assert_eq!(done(blobs.put_new(&name, body("1"))).await, New::Put);
    done(blobs.break_lease(&name)).await;
    let lost = leased(blobs, &name).await;
    done(blobs.break_lease(&name)).await;
    assert!(!listed(blobs, &name).await[0].is_leased);
    assert!(!done(blobs.renew(&name, &lost)).await);
    assert_eq!(done(blobs.put_over(&name, body("no"), Some(&lost))).await, Over::NotOurs);
    let next = leased(blobs, &name).await;
    assert!(!done(blobs.renew(&name, &lost)).await);
    assert!(!done(blobs.release(&name, &lost)).await);
    assert_eq!(done(blobs.put_over(&name, body("no"), Some(&lost))).await, Over::NotOurs);
    assert_eq!(done(blobs.put_over(&name, body("2"), Some(&next))).await, Over::Put);
    assert_eq!(done(blobs.get(&name)).await, Some(body("2")));
}

async fn a_lease_goes_with_its_blob(blobs: &dyn Blobs) {
    let name = name("gone");
    assert_eq!(done(blobs.put_new(&name, body("1"))).await, New::Put);
    let lease = leased(blobs, &name).await;
    done(blobs.break_lease(&name)).await;
    assert!(done(blobs.delete(&name)).await, "what is broken holds nothing");
    assert_eq!(done(blobs.put_new(&name, body("2"))).await, New::Put);
    assert!(!done(blobs.renew(&name, &lease)).await, "another blob of that name is another blob");
}

async fn lists_are_by_name_and_by_prefix(blobs: &dyn Blobs) {
    for rest in [
        "p/001/e2/000000000010",
        "p/001/e2/000000000009",
        "p/001/e2/000000000100",
        "p/001/e1/000000000200",
        "p/002/e1/1",
    ] {
        assert_eq!(done(blobs.put_new(&name(&format!("list/{rest}")), body("abc"))).await, New::Put);
    }
    let names = async |prefix: &str| {
        let listed = listed(blobs, &name(&format!("list/{prefix}"))).await;
        listed.into_iter().map(|blob| blob.name[PREFIX.len() + "list/".len()..].to_owned()).collect::<Vec<_>>()
    };
    let epoch = ["p/001/e2/000000000009", "p/001/e2/000000000010", "p/001/e2/000000000100"];
    assert_eq!(names("p/001/e2/").await, epoch);
    assert_eq!(names("p/001/").await, [&["p/001/e1/000000000200"], &epoch[..]].concat());
    assert_eq!(names("p/001/e2/0000000000").await, epoch[..2], "a prefix ends anywhere");
    assert_eq!(names("p/003").await, [""; 0]);
    let put = &listed(blobs, &name("list/p/002")).await[0];
    let now = blobs.get(&put.name).await.date.unwrap();
    assert_eq!((put.bytes, put.is_leased), (3, false));
    assert!((now - 60_000..=now).contains(&put.put_at), "put lately, by the service's clock: {} of {now}", put.put_at);
}

async fn a_lease_runs_out(blobs: &dyn Blobs, wait: Wait<'_>) {
    let (name, kept) = (name("runs out"), name("is renewed"));
    for name in [&name, &kept] {
        assert_eq!(done(blobs.put_new(name, body("1"))).await, New::Put);
    }
    let (lost, held) = (leased(blobs, &name).await, leased(blobs, &kept).await);
    wait(RUN_OUT / 2).await;
    assert!(done(blobs.renew(&kept, &held)).await);
    assert_eq!(done(blobs.acquire(&name, LENGTH)).await, None, "not yet");
    wait(RUN_OUT / 2).await;
    assert_eq!(done(blobs.acquire(&kept, LENGTH)).await, None, "from its renewal it has its whole length");
    assert_eq!(done(blobs.put_over(&kept, body("2"), Some(&held))).await, Over::Put);
    assert!(!listed(blobs, &name).await[0].is_leased);
    assert_eq!(
        done(blobs.put_over(&name, body("no"), Some(&lost))).await,
        Over::NotOurs,
        "also while nobody else has it"
    );
    let next = leased(blobs, &name).await;
    assert!(!done(blobs.renew(&name, &lost)).await);
    assert_eq!(done(blobs.put_over(&name, body("no"), Some(&lost))).await, Over::NotOurs);
    assert_eq!(done(blobs.put_over(&name, body("2"), Some(&next))).await, Over::Put);
    assert_eq!(done(blobs.get(&name)).await, Some(body("2")));
}
