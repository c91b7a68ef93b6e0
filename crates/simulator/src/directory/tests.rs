//! Who is told what, by hand.

use bytes::Bytes;

use super::*;

/// Nobody is here.
pub(in crate::directory) fn directory() -> Directory {
    Directory::new(Arc::new(Time::new(Arc::new(|| 0))))
}

fn d1() -> Endpoint {
    Endpoint::device(HubId(0), "d1")
}

fn taken(mailbox: &Mailbox) -> Notes {
    mailbox.take()
}

#[test]
fn the_newer_connection_owns_a_device_and_the_older_is_told_once() {
    let directory = directory();
    let ((a, at_a), (b, at_b)) = (directory.join(), directory.join());
    let first = directory.own(&d1(), a);
    directory.own(&d1(), a);
    assert!(taken(&at_a).stolen.is_empty(), "from itself");
    let second = directory.own(&d1(), b);
    assert!(second > first && taken(&at_a).stolen.get(&d1()) == Some(&second));
    directory.give_up(&d1(), a);
    directory.tell_owner(&d1());
    assert!(taken(&at_b).changed.contains(&d1()), "who lost it cannot give it up");
    assert!(taken(&at_a).changed.is_empty());
}

#[test]
fn a_connection_that_is_gone_owns_nothing() {
    let directory = directory();
    let ((a, _), (b, _)) = (directory.join(), directory.join());
    directory.own(&d1(), a);
    directory.leave(a);
    directory.own(&d1(), b);
    assert_eq!((directory.counts(Protocol::Amqp), directory.inner().owners.len()), ((1, 2), 1));
}

#[test]
fn only_what_is_taken_from_a_connection_that_is_still_there_is_stolen() {
    let directory = directory();
    let [(a, _), (b, _), (c, _)] = [directory.join(), directory.join(), directory.join()];
    directory.own(&d1(), a);
    directory.own(&d1(), a);
    directory.leave(a);
    directory.own(&d1(), b);
    assert_eq!(directory.thefts(), BTreeMap::new());
    directory.give_up(&d1(), b);
    directory.own(&d1(), c);
    assert_eq!(directory.thefts(), BTreeMap::new());
    directory.own(&d1(), b);
    assert_eq!(directory.thefts(), BTreeMap::from([("d1".to_owned(), 1)]));
    let (ever, newest) = directory.newest_thefts();
    assert_eq!((ever, newest.len()), (1, 1));
    assert_eq!((newest[0].from.connection, newest[0].to.connection), (c, b));
}

#[tokio::test]
async fn notes_are_merged_and_found_later() {
    let directory = directory();
    let (a, at_a) = directory.join();
    directory.own(&d1(), a);
    for _ in 0..3 {
        directory.tell_owner(&d1());
        directory.tell_all(|_| None);
        directory.tell_time();
    }
    let notes = at_a.notes().await;
    assert!(notes.changed.len() == 1 && notes.faults && notes.all.is_none() && notes.time);
}

#[test]
fn only_the_owner_is_told_and_only_what_it_listens_to() {
    let directory = directory();
    let ((a, at_a), (b, at_b)) = (directory.join(), directory.join());
    let call = || Call { request_id: [7; 16], name: "reboot".to_owned(), payload: Bytes::new() };
    assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "nobody is there");
    directory.own(&d1(), a);
    directory.tell_c2d(&d1());
    assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "it does not listen");
    directory.listen(&d1(), b, Ears { methods: true, ..Ears::default() });
    assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "another does");
    directory.listen(&d1(), a, Ears { c2d: true, methods: true, desired: true });
    assert!(taken(&at_a).c2d.is_empty(), "it did not listen then");
    directory.tell_c2d(&d1());
    for _ in 0..CALLS_MAX {
        assert_eq!(directory.call(&d1(), call()), Ok(()));
    }
    assert_eq!(directory.call(&d1(), call()), Err(CallFailed::TooMany));
    for version in 0..=DESIRED_MAX as u64 {
        directory.tell_desired(&d1(), DesiredChange { patch: Bytes::new(), version });
    }
    let notes = taken(&at_a);
    assert_eq!((notes.calls.len(), notes.c2d.len()), (CALLS_MAX, 1));
    assert_eq!(notes.desired.front().map(|(_, change)| change.version), Some(1), "the oldest is gone");
    directory.own(&d1(), b);
    assert_eq!(directory.call(&d1(), call()), Err(CallFailed::NotOnline), "ears do not pass on");
    assert!(directory.is_connected(&d1()) && directory.connected(HubId(0)) == 1 && directory.connected(HubId(1)) == 0);
    assert!(taken(&at_b).calls.is_empty());
}
