//! The promises of the queue in real files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::{Note, OpenError, Options, Place, Put, PutError, Queue, Reason, Retry, Seen, Settle};

const START: i64 = 1_780_000_000_000;

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn open(&self) -> Queue {
        Queue::open(self.options()).unwrap()
    }

    fn options(&self) -> Options {
        Options::on_disk(&self.0, Arc::new(|| START))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn put(lane: &str, body: &[u8]) -> Put {
    let (lane, kind, head) = (lane.to_owned(), "uplink_message".to_owned(), b"{\"device\":\"d\"}".to_vec());
    Put { lane, kind, head, body: body.into(), accepted_at: START, place: Place::Lane }
}

fn reason() -> Reason {
    Reason { code: "refused".into(), detail: "unknown device".into() }
}

/// Takes the next message within ten seconds.
async fn next(leases: &mut queue::Leases) -> queue::Lease {
    tokio::time::timeout(Duration::from_secs(10), leases.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = Dir::new("restart");
    let queue = dir.open();
    for (lane, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("d", "5")] {
        queue.put(put(lane, body.as_bytes())).await.unwrap();
    }
    let seen = Seen { key: [9; 16], at: START };
    let note = |value: Option<&[u8]>| Note { space: "s".into(), key: "k".into(), value: value.map(Into::into) };
    let mut leases = queue.leases(10);
    for _ in 0..4 {
        let lease = next(&mut leases).await;
        let settle = Settle { seen: Some(seen), notes: vec![note(Some(b"v"))] };
        let retry = Retry { wait: Duration::ZERO, cause: "throttled".into(), freeze: Some(b"f".to_vec()) };
        match lease.message().lane.as_str() {
            "a" => lease.settle(settle).await.unwrap(),
            "b" => lease.bury(reason(), settle).await.unwrap(),
            "c" => lease.keep().await.unwrap(),
            _ => lease.retry(retry).await.unwrap(),
        }
    }
    drop(leases);
    queue.close().await;

    let queue = dir.open();
    let stats = queue.stats();
    assert_eq!((stats.waiting, stats.dead_letters, stats.kept, stats.waiting_bytes), (2, 1, 1, 2 * 15));
    assert_eq!(queue.seen("a").await.unwrap(), [seen]);
    assert_eq!(queue.notes("s").await.unwrap(), [("k".to_owned(), b"v".to_vec())]);
    queue.write_notes("a", vec![note(None)]).await.unwrap();
    assert_eq!(queue.notes("s").await.unwrap(), []);
    let dead = queue.dead_letters(None, 10).await.unwrap();
    assert_eq!((dead[0].message.body.as_slice(), &dead[0].reason), (b"2".as_slice(), &reason()));
    let mut leases = queue.leases(10);
    let (first, second) = (next(&mut leases).await, next(&mut leases).await);
    assert_eq!(first.message().body, b"3");
    let message = second.message();
    assert_eq!((message.body.as_slice(), message.attempts), (b"5".as_slice(), 1));
    assert_eq!((message.frozen.as_deref(), message.last_cause.as_deref()), (Some(&b"f"[..]), Some("throttled")));
}

#[tokio::test]
async fn any_bytes_come_back_as_they_were() {
    let dir = Dir::new("bytes");
    let queue = dir.open();
    let every: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for body in [&every[..], b"", b"\0\0", "\u{fffd}\u{1F600}".as_bytes(), &[0xff, 0xfe, 0x80]] {
        queue.put(put("läne/\u{0}\u{1F600}", body)).await.unwrap();
        let mut leases = queue.leases(1);
        let lease = next(&mut leases).await;
        assert!(lease.message().body == body && lease.message().lane == "läne/\u{0}\u{1F600}");
        lease.settle(Settle::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_position_is_never_used_again() {
    let dir = Dir::new("positions");
    let mut last = 0;
    for _ in 0..4 {
        let queue = dir.open();
        let mut leases = queue.leases(1);
        let seq = queue.put(put("a", b"x")).await.unwrap().seq.0;
        assert!(seq > last, "{seq} after {last}");
        next(&mut leases).await.settle(Settle::default()).await.unwrap();
        last = seq;
        queue.close().await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused_at_once_and_told_where() {
    let dir = Dir::new("lock");
    let queue = dir.open();
    let error = Queue::open(dir.options()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains(&dir.0.display().to_string()));
    queue.close().await;
    dir.open();
}

#[tokio::test]
async fn nobody_else_can_read_the_files() {
    let dir = Dir::new("private");
    dir.open().close().await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.0), 0o700);
    for file in std::fs::read_dir(&dir.0).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let dir = Dir::new("newer");
    dir.open().close().await;
    let file = rusqlite::Connection::open(dir.0.join("queue.db")).unwrap();
    file.pragma_update(None, "user_version", 3).unwrap();
    drop(file);
    assert!(matches!(Queue::open(dir.options()), Err(OpenError::Newer { found: 3, known: 2, .. })));
}

#[tokio::test]
async fn a_file_of_format_1_is_taken_over_whole() {
    const WRITTEN: i64 = 1_763_899_200_000;
    let dir = Dir::new("format-1");
    std::fs::create_dir_all(&dir.0).unwrap();
    let file = rusqlite::Connection::open(dir.0.join("queue.db")).unwrap();
    file.execute_batch(include_str!("format_1.sql")).unwrap();
    drop(file);
    for _ in 0..2 {
        let queue = dir.open();
        let mut leases = queue.leases(10);
        let (a, d) = (next(&mut leases).await, next(&mut leases).await);
        let text = |message: &queue::Message| String::from_utf8(message.body.clone()).unwrap();
        assert_eq!((text(a.message()), text(d.message())), ("waits behind".to_owned(), "retried".to_owned()));
        assert_eq!((d.message().attempts, d.message().first_attempt_at), (1, Some(WRITTEN)));
        assert_eq!(d.message().frozen.as_deref(), Some(b"frozen".as_slice()));
        let dead = queue.dead_letters(None, 10).await.unwrap();
        let dead = dead.iter().map(|letter| (text(&letter.message), letter.message.attempts));
        assert_eq!(dead.collect::<Vec<_>>(), [("buried".to_owned(), 0), ("retried and buried".to_owned(), 1)]);
        let stats = queue.stats();
        assert_eq!((stats.waiting, stats.dead_letters, stats.kept, stats.trouble), (3, 2, 1, None));
        assert_eq!(queue.notes("claims").await.unwrap(), [("k".to_owned(), b"v".to_vec())]);
        assert_eq!(queue.seen("a").await.unwrap(), [Seen { key: [9; 16], at: WRITTEN }]);
        drop((a, d, leases));
        queue.close().await;
    }
}

#[tokio::test]
async fn what_is_not_what_was_written_is_named() {
    let dir = Dir::new("verified");
    let queue = dir.open();
    for (lane, body) in [("a", "waits"), ("b", "is buried"), ("c", "is kept"), ("d", "is damaged")] {
        queue.put(put(lane, body.as_bytes())).await.unwrap();
    }
    let mut leases = queue.leases(10);
    for _ in 0..4 {
        let lease = next(&mut leases).await;
        match lease.message().lane.as_str() {
            "b" => lease.bury(reason(), Settle::default()).await.unwrap(),
            "c" => lease.keep().await.unwrap(),
            _ => lease.release_for(std::time::Duration::MAX),
        }
    }
    let verified = queue.verify(None).await.unwrap();
    assert_eq!((verified.checked, verified.damaged, verified.next), (4, vec![], None));
    drop(leases);
    assert!(matches!(Queue::verify_files(&dir.0), Err(OpenError::Locked { .. })));
    queue.close().await;
    let report = Queue::verify_files(&dir.0).unwrap();
    assert!(report.is_whole() && report.checked == 4, "{report:?}");
    let copy = dir.0.join("copy");
    assert!(Queue::copy_files(&dir.0, &copy).unwrap() > 0);
    assert_eq!(Queue::verify_files(&copy).unwrap(), report);

    let file = rusqlite::Connection::open(dir.0.join("queue.db")).unwrap();
    file.execute("UPDATE messages SET body = 'is otherwise' WHERE seq = 4", []).unwrap();
    drop(file);
    let report = Queue::verify_files(&dir.0).unwrap();
    assert_eq!((report.is_whole(), report.damaged.as_slice()), (false, [queue::Seq(4)].as_slice()));
    let queue = dir.open();
    assert_eq!(queue.verify(None).await.unwrap().damaged, [queue::Seq(4)]);
    queue.close().await;
    assert!(matches!(Queue::verify_files(&dir.0.join("nowhere")), Err(OpenError::Missing { .. })));
    assert!(matches!(Queue::copy_files(&dir.0, &copy), Err(OpenError::Copy { .. })), "it is there already");
}

#[tokio::test]
async fn a_file_of_another_program_is_refused() {
    let dir = Dir::new("foreign");
    std::fs::create_dir_all(&dir.0).unwrap();
    std::fs::write(dir.0.join("queue.db"), "not a database ".repeat(9_000)).unwrap();
    assert!(matches!(Queue::open(dir.options()), Err(OpenError::Store { .. })));
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_stays_where_and_what_it_is() {
    let as_ours = "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;";
    for (name, settings) in [("foreign-default", ""), ("foreign-alike", as_ours)] {
        let dir = Dir::new(name);
        std::fs::create_dir_all(&dir.0).unwrap();
        let open = || rusqlite::Connection::open(dir.0.join("queue.db")).unwrap();
        let accounts = "CREATE TABLE accounts (owner TEXT); INSERT INTO accounts VALUES ('somebody');";
        open().execute_batch(&format!("{settings}{accounts}")).unwrap();
        for _ in 0..2 {
            let refused = Queue::open(dir.options());
            assert!(matches!(refused, Err(OpenError::Store { .. })), "{name}");
        }
        let all = "SELECT (SELECT group_concat(name) FROM sqlite_schema), owner FROM accounts";
        let found: (String, String) = open().query_row(all, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(found, ("accounts".to_owned(), "somebody".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn max_bytes_refuses_puts_and_drains() {
    let dir = Dir::new("max-bytes");
    let queue = Queue::open(Options { max_bytes: 16 << 20, ..dir.options() }).unwrap();
    let mut kept = 0;
    let refused = loop {
        match queue.put(put(&format!("lane-{}", kept % 50), &[7; 60_000])).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, PutError::Full(why) if why.contains("max_bytes")), "{refused}");
    assert!(kept > 50, "{kept}");
    let mut leases = queue.leases(10);
    for _ in 0..kept {
        next(&mut leases).await.settle(Settle::default()).await.unwrap();
    }
    let soon = tokio::time::Instant::now() + Duration::from_secs(5);
    while queue.put(put("a", b"x")).await.is_err() {
        assert!(tokio::time::Instant::now() < soon, "{:?}", queue.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn buried(body: &[u8]) -> Put {
    Put { place: Place::DeadLetters(reason()), ..put("unknown", body) }
}

#[tokio::test]
async fn dead_letters_never_close_the_door() {
    let dir = Dir::new("door");
    // Also when their bound is more than the file, as after an earlier backlog.
    for dead_letters_bytes_max in [None, Some(u64::MAX)] {
        let queue = Queue::open(Options { max_bytes: 16 << 20, dead_letters_bytes_max, ..dir.options() }).unwrap();
        for n in 0..30 {
            let refused = queue.put(buried(&vec![n; 1_000_000])).await;
            refused.unwrap_or_else(|error| panic!("letter {n}: {error}; {:?}", queue.stats()));
        }
        queue.put(put("a", &[7; 1_000_000])).await.unwrap();
        let stats = queue.stats();
        assert!(stats.writable && stats.dead_letters > 0 && stats.dead_letters_gone > 20, "{stats:?}");
        assert_eq!(stats.waiting, 1);
        let newest = queue.dead_letters(None, 100).await.unwrap().pop().unwrap();
        assert_eq!((newest.message.body[0], newest.reason), (29, reason()), "the newest are there, whole");
        next(&mut queue.leases(1)).await.settle(Settle::default()).await.unwrap();
        queue.close().await;
    }
}

#[tokio::test]
async fn kept_events_go_before_dead_letters_and_what_waits_never_goes() {
    let dir = Dir::new("order");
    let unbounded = Some(u64::MAX);
    let bounds = Options { dead_letters_bytes_max: unbounded, kept_bytes_max: unbounded, ..dir.options() };
    let queue = Queue::open(Options { max_bytes: 16 << 20, ..bounds }).unwrap();
    let mut leases = queue.leases(1);
    for n in 0..20_u8 {
        queue.put(put("k", &[n; 100_000])).await.unwrap();
        next(&mut leases).await.keep().await.unwrap();
        queue.put(buried(&[n; 100_000])).await.unwrap();
    }
    drop(leases);
    let (mut waiting, mut first_letter_gone_at) = (0, None);
    while queue.put(put(&format!("lane-{waiting}"), &[7; 100_000])).await.is_ok() {
        waiting += 1;
        let stats = queue.stats();
        if stats.dead_letters_gone > 0 && first_letter_gone_at.is_none() {
            first_letter_gone_at = Some(stats.kept);
        }
    }
    let stats = queue.stats();
    assert_eq!(first_letter_gone_at, Some(0), "all kept events went first");
    assert_eq!((stats.kept, stats.kept_gone, stats.dead_letters, stats.dead_letters_gone), (0, 20, 0, 20));
    assert_eq!(stats.waiting, waiting);
    let mut leases = queue.leases(100);
    for _ in 0..waiting {
        next(&mut leases).await.settle(Settle::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_put_that_can_never_fit_costs_no_dead_letters() {
    let dir = Dir::new("never");
    let queue = Queue::open(Options { max_bytes: 16 << 20, ..dir.options() }).unwrap();
    queue.put(buried(&[1; 100_000])).await.unwrap();
    assert!(matches!(queue.put(put("a", &vec![7; 20 << 20])).await, Err(PutError::Full(_))));
    assert_eq!((queue.stats().dead_letters, queue.stats().dead_letters_gone), (1, 0));
}

#[tokio::test]
async fn a_drained_queue_gives_its_room_back() {
    let dir = Dir::new("room");
    let queue = dir.open();
    for n in 0..60 {
        queue.put(put(&format!("lane-{n}"), &[7; 600_000])).await.unwrap();
    }
    let size = || dir.0.join("queue.db").metadata().unwrap().len() >> 20;
    let full = size();
    let mut leases = queue.leases(60);
    for _ in 0..60 {
        next(&mut leases).await.settle(Settle::default()).await.unwrap();
    }
    let soon = tokio::time::Instant::now() + Duration::from_secs(240);
    let mut small = 0;
    // And does not buy it back with the next commit.
    while small < 5 {
        assert!(tokio::time::Instant::now() < soon, "{full} MiB, then {} MiB", size());
        small = if size() > 24 { 0 } else { small + 1 };
        // The file is cut when the log is emptied, and the log is emptied as it grows.
        queue
            .write_notes("a", vec![Note { space: "s".into(), key: "k".into(), value: Some(vec![1; 40_000]) }])
            .await
            .unwrap();
    }
    assert!(full > 30, "{full} MiB");
}
