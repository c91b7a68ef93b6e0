//! A damaged file is written anew: what that saves, what it says, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::{Lease, Leases, OpenError, Options, Place, Put, Queue, Reason, Settle};

const PAGE: u64 = 16_384;
const MESSAGES: u64 = 400;
/// Rows of `waiting` on one page.
const PAGE_ROWS: u64 = PAGE / 60;

/// A directory that goes with the test, in memory where there is such a place.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let fast = Path::new("/dev/shm");
        let base = if fast.is_dir() { fast } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        let dir = base.join(format!("queue-rescued-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        Self(dir)
    }

    /// 400 messages in 40 lanes, all of them in the file.
    async fn filled(name: &str) -> Self {
        let dir = Self::new(name);
        let queue = dir.open();
        fill(&queue, MESSAGES).await;
        queue.close().await;
        dir.open().close().await;
        dir
    }

    fn open(&self) -> Queue {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Queue, OpenError> {
        Queue::open(Options::on_disk(&self.0, Arc::new(|| 1_780_000_000_000)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) {
        let file = std::fs::File::options().write(true).open(self.path(name)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    fn read(&self, name: &str, at: u64, bytes: usize) -> Vec<u8> {
        let mut found = vec![0; bytes];
        std::fs::File::open(self.path(name)).unwrap().read_exact_at(&mut found, at).unwrap();
        found
    }

    /// Pages of a table: inner ones, or leaves.
    fn pages(&self, table: &str, kind: &str) -> Vec<u64> {
        let file = rusqlite::Connection::open(self.path("queue.db")).unwrap();
        let mut select = file.prepare("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ?").unwrap();
        select.query_map([table, kind], |row| row.get::<_, u32>(0)).unwrap().map(|page| page.unwrap().into()).collect()
    }

    fn kept(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut kept: Vec<_> = names.filter(|name| name.contains("damaged") && !name.ends_with("-wal")).collect();
        kept.sort();
        kept
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn fill(queue: &Queue, messages: u64) {
    for n in 0..messages {
        let lane = format!("t/network/application/device-{}", n % 40);
        let (kind, head, body) = ("uplink_message".to_owned(), n.to_le_bytes().to_vec(), vec![n as u8; 1_200]);
        queue.put(Put { lane, kind, head, body, accepted_at: 0, place: Place::Lane }).await.unwrap();
    }
}

async fn next(leases: &mut Leases) -> Lease {
    tokio::time::timeout(Duration::from_secs(10), leases.next()).await.unwrap().unwrap()
}

/// What comes out until nothing waits any more.
async fn drain(queue: &Queue) -> BTreeSet<u64> {
    let mut leases = queue.leases(64);
    let mut out = BTreeSet::new();
    while !queue.stats().loaded || queue.stats().waiting > 0 {
        let Ok(Some(lease)) = tokio::time::timeout(Duration::from_millis(200), leases.next()).await else { continue };
        assert_eq!(lease.message().body, vec![(lease.message().seq.0 - 1) as u8; 1_200]);
        assert!(out.insert(lease.message().seq.0), "{:?} twice", lease.message().seq);
        lease.settle(Settle::default()).await.unwrap();
    }
    out
}

fn trouble(queue: &Queue) -> String {
    queue.stats().trouble.unwrap_or_default()
}

#[tokio::test]
async fn a_broken_inner_page_hides_nothing() {
    for (table, rows_on_it) in [("messages", 0), ("waiting", 8)] {
        for garbage in [0x00, 0xff, 0x05] {
            let dir = Dir::filled("inner").await;
            let inner = dir.pages(table, "internal");
            assert!(!inner.is_empty(), "{table} has inner pages");
            for page in inner {
                dir.write("queue.db", (page - 1) * PAGE, &[garbage; PAGE as usize]);
            }
            let queue = dir.open();
            let missing = MESSAGES - drain(&queue).await.len() as u64;
            assert!(missing <= rows_on_it, "{missing} behind a broken page of {table}: {}", trouble(&queue));
            let told = trouble(&queue);
            let kept = dir.kept();
            assert_eq!(kept.len(), 1, "{told}");
            assert!(told.contains("written anew") && told.contains(&kept[0]), "{told}");
            assert!(queue.stats().writable, "it takes messages all the same");
            fill(&queue, 40).await;
            for name in ["queue.db", "queue.db-wal", &kept[0]] {
                assert_eq!(dir.path(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            }
            queue.close().await;
            let report = Queue::verify_files(&dir.0).unwrap();
            assert!(report.structure.is_empty() && report.counted == report.checked, "{report:?}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_lost_takes_nothing_else_with_it() {
    for table in ["messages", "waiting"] {
        let whole = Dir::filled("leaf-whole").await;
        for page in whole.pages(table, "leaf") {
            let dir = Dir::new("leaf");
            std::fs::create_dir_all(&dir.0).unwrap();
            std::fs::copy(whole.path("queue.db"), dir.path("queue.db")).unwrap();
            dir.write("queue.db", (page - 1) * PAGE, &[0; PAGE as usize]);
            let queue = dir.open();
            let missing = MESSAGES - drain(&queue).await.len() as u64;
            assert!((1..=PAGE_ROWS).contains(&missing), "{missing} with page {page} of {table}");
            assert!(queue.stats().dead_letters >= missing || trouble(&queue).contains("lost"), "{}", trouble(&queue));
            queue.close().await;
            let file = rusqlite::Connection::open(dir.path("queue.db")).unwrap();
            let unnamed = "SELECT count(*) FROM messages WHERE seq NOT IN (SELECT seq FROM dead_letters)";
            let unnamed: i64 = file.query_row(unnamed, [], |row| row.get(0)).unwrap();
            assert_eq!(unnamed, 0, "messages that nobody can get at and that take room");
        }
    }
}

#[tokio::test]
async fn what_is_leased_stays_leased_while_the_file_is_written_anew() {
    let dir = Dir::filled("leased").await;
    // The way to the later messages is broken, not that to the first ones.
    let [inner] = dir.pages("messages", "internal")[..] else { panic!("one inner page") };
    for number in 10..20 {
        let cell = dir.read("queue.db", (inner - 1) * PAGE + 12 + 2 * number, 2);
        let cell = u64::from(u16::from_be_bytes([cell[0], cell[1]]));
        dir.write("queue.db", (inner - 1) * PAGE + cell, &[0x7f, 0, 0, 0]);
    }
    let queue = dir.open();
    assert_eq!(queue.stats().trouble, None);
    let mut leases = queue.leases(64);
    let mut held = Vec::new();
    while held.len() < 40 {
        held.push(next(&mut leases).await);
    }
    assert_eq!(queue.stats().trouble, None, "the first of each lane can be read");
    let mut out: BTreeSet<u64> = held.iter().map(|lease| lease.message().seq.0).collect();
    assert_eq!(out, (1..=40).collect());
    let last = held.pop().unwrap();
    last.settle(Settle::default()).await.unwrap();
    let mut lane = BTreeSet::new();
    while lane.len() < 9 {
        let lease = next(&mut leases).await;
        assert!(out.insert(lease.message().seq.0), "{:?} is leased already", lease.message().seq);
        lane.insert(lease.message().lane.clone() + &lease.message().seq.0.to_string());
        lease.settle(Settle::default()).await.unwrap();
    }
    assert!(trouble(&queue).contains("written anew"), "{}", trouble(&queue));
    assert_eq!(queue.stats().leased, 39);
    for lease in held {
        lease.settle(Settle::default()).await.unwrap();
    }
    drop(leases);
    out.extend(drain(&queue).await);
    assert_eq!(out.len() as u64, MESSAGES);
}

#[tokio::test]
async fn what_cannot_be_written_anew_stays_as_it_is_and_is_told() {
    let dir = Dir::filled("stays").await;
    let inner = dir.pages("messages", "internal")[0];
    dir.write("queue.db", (inner - 1) * PAGE, &[0; 8]);
    // Where the new file would be.
    std::fs::create_dir_all(dir.path("queue.db.rescue/something")).unwrap();
    let queue = dir.open();
    let mut leases = queue.leases(1);
    while !trouble(&queue).contains("cannot be written anew") {
        let _ = tokio::time::timeout(Duration::from_millis(20), leases.next()).await;
    }
    assert_eq!(dir.kept(), Vec::<String>::new());
    assert!(queue.stats().writable);
    queue.close().await;
}

#[tokio::test]
async fn a_row_that_claims_the_number_of_a_dead_letter_holds_nobody_up() {
    let dir = Dir::new("claims");
    let queue = dir.open();
    fill(&queue, 40).await;
    let mut leases = queue.leases(1);
    let reason = Reason { code: "rejected".into(), detail: "the hub answered 400".into() };
    next(&mut leases).await.bury(reason.clone(), Settle::default()).await.unwrap();
    drop(leases);
    queue.close().await;
    let file = rusqlite::Connection::open(dir.path("queue.db")).unwrap();
    file.execute("UPDATE waiting SET seq = 1 WHERE seq = 33", []).unwrap();
    drop(file);
    let queue = dir.open();
    let out = drain(&queue).await;
    assert_eq!(out.len(), 38, "2 to 40 without 33");
    let letters = queue.dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|letter| &letter.reason).collect::<Vec<_>>(), [&reason]);
    assert!(trouble(&queue).contains("damaged"));
    fill(&queue, 1).await;
}

#[tokio::test]
async fn a_check_ends_whatever_the_keys_say() {
    let dir = Dir::new("keys");
    let queue = dir.open();
    fill(&queue, 40).await;
    let mut leases = queue.leases(40);
    let reason = Reason { code: "rejected".into(), detail: "the hub answered 400".into() };
    for _ in 0..40 {
        next(&mut leases).await.bury(reason.clone(), Settle::default()).await.unwrap();
    }
    drop(leases);
    queue.close().await;
    dir.open().close().await;
    let [letters] = dir.pages("dead_letters", "leaf")[..] else { panic!("one page") };
    let cell = dir.read("queue.db", (letters - 1) * PAGE + 8 + 2 * 30, 2);
    let cell = (letters - 1) * PAGE + u64::from(u16::from_be_bytes([cell[0], cell[1]]));
    assert_eq!(dir.read("queue.db", cell, 2)[1], 31, "the key, after one byte of length");
    dir.write("queue.db", cell + 1, &[3]);
    let queue = dir.open();
    let mut after = None;
    let (mut checked, mut pieces) = (0, 0);
    while pieces < 20 {
        pieces += 1;
        let Ok(verified) = queue.verify(after.clone()).await else { continue };
        checked += verified.checked;
        after = verified.next;
        if after.is_none() {
            break;
        }
    }
    assert!(after.is_none() && checked <= 41, "{checked} rows in {pieces} pieces");
    assert!(trouble(&queue).contains("written anew"), "{}", trouble(&queue));
    let letters = queue.dead_letters(None, 100).await.unwrap();
    assert_eq!(letters.iter().filter(|letter| letter.is_whole).count(), 39);
}

#[tokio::test]
async fn a_log_that_is_broken_in_the_middle_is_told() {
    let dir = Dir::new("log");
    let running = Dir::new("log-running");
    let queue = running.open();
    fill(&queue, 50).await;
    std::fs::create_dir_all(&dir.0).unwrap();
    let copy = || {
        for name in ["queue.db", "queue.db-wal"] {
            std::fs::copy(running.path(name), dir.path(name)).unwrap();
        }
    };
    copy();
    let salts = dir.read("queue.db-wal", 16, 8);
    let frames = (0..).take_while(|frame| dir.read("queue.db-wal", 32 + frame * (24 + PAGE) + 8, 8) == salts).count();
    let frame = |number: u64| 32 + number * (24 + PAGE);
    assert!(frames > 40, "{frames} frames");

    dir.write("queue.db-wal", frame(frames as u64 / 2) + 200, &[0xa5; 300]);
    let broken = dir.open();
    assert!(trouble(&broken).contains("its log is broken"), "{}", trouble(&broken));
    assert_eq!(dir.kept().len(), 1, "what was cut off is kept");
    let out = drain(&broken).await;
    assert!(!out.is_empty() && out.len() < 50, "{} before the broken place", out.len());
    broken.close().await;

    // The last commit alone: as a power cut tears it, which nobody was promised anything of.
    copy();
    dir.write("queue.db-wal", frame(frames as u64 - 1) + 200, &[0xa5; 300]);
    let torn = dir.open();
    assert_eq!(torn.stats().trouble, None);
    assert!(drain(&torn).await.len() == 49);
    torn.close().await;
    queue.close().await;
}

#[tokio::test]
async fn positions_go_on_when_nobody_says_which_is_next() {
    let dir = Dir::filled("positions").await;
    let [totals] = dir.pages("totals", "leaf")[..] else { panic!("one page") };
    dir.write("queue.db", (totals - 1) * PAGE, &[0; PAGE as usize]);
    let queue = dir.open();
    assert_eq!(queue.stats().waiting, MESSAGES);
    let (kind, head, body) = ("uplink_message".to_owned(), Vec::new(), Vec::new());
    let put = Put { lane: "another".into(), kind, head, body, accepted_at: 0, place: Place::Lane };
    let seq = queue.put(put).await.unwrap().seq.0;
    assert!((MESSAGES + 1_000_000..MESSAGES + 2_000_000).contains(&seq), "{seq}");
}

#[tokio::test]
#[ignore = "how long it takes, for docs/queue-format.md; run by hand"]
async fn a_gibibyte_is_written_anew() {
    let dir = Dir::new("gibibyte");
    dir.open().close().await;
    let file = rusqlite::Connection::open(dir.path("queue.db")).unwrap();
    let rows = "BEGIN;
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 680000)
            INSERT INTO messages SELECT n, 'uplink_message', 0, n, zeroblob(90), randomblob(1400) FROM n;
        INSERT INTO waiting SELECT 't/network/application/device-' || (seq % 5000), seq, 0, 1490, 0, 0, NULL, NULL, NULL, 0, NULL, 0
            FROM messages;
        COMMIT; PRAGMA wal_checkpoint(TRUNCATE);";
    file.execute_batch(rows).unwrap();
    drop(file);
    let [totals] = dir.pages("totals", "leaf")[..] else { panic!("one page") };
    dir.write("queue.db", (totals - 1) * PAGE, &[0; PAGE as usize]);
    let began = tokio::time::Instant::now();
    let queue = dir.open();
    let bytes = dir.path(&dir.kept()[0]).metadata().unwrap().len();
    eprintln!("{} MiB in {:?}: {}", bytes >> 20, began.elapsed(), trouble(&queue));
    assert_eq!(queue.stats().waiting, 680_000);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let like_ours = "PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;";
    for settings in ["", like_ours] {
        let dir = Dir::new("another");
        std::fs::create_dir_all(&dir.0).unwrap();
        let file = rusqlite::Connection::open(dir.path("queue.db")).unwrap();
        let tables = "CREATE TABLE messages (theirs TEXT); INSERT INTO messages VALUES ('mine');";
        file.execute_batch(&format!("{settings} PRAGMA user_version = 2; {tables}")).unwrap();
        drop(file);
        assert!(matches!(dir.try_open(), Err(OpenError::Store { .. })));
        assert_eq!(dir.kept(), Vec::<String>::new());
        let file = rusqlite::Connection::open(dir.path("queue.db")).unwrap();
        let theirs: String = file.query_row("SELECT theirs FROM messages", [], |row| row.get(0)).unwrap();
        assert_eq!(theirs, "mine");
    }
}
