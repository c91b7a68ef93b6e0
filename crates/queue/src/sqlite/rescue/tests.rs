//! The readers against files that SQLite wrote, and against any bytes.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use proptest::prelude::*;
use rusqlite::Connection;

use super::copied::Table;
use super::image::Image;
use super::pages::{self, FIRST_HEAD, PAGE};
use super::{log, prepare};

/// A file with its log, that goes with the test: rows of every table, some longer than a page, and the pages of many that are
/// gone.
struct Real {
    dir: PathBuf,
    connection: Connection,
}

impl Real {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("queue-rescue-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let connection = Connection::open(dir.join("queue.db")).unwrap();
        prepare(&connection).unwrap();
        connection
            .execute_batch(
                "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)
                 INSERT INTO messages SELECT n, 'uplink', n * 7, n, x'7b7d',
                    randomblob(900 + n % 700 + CASE WHEN n % 20 = 0 THEN 40000 ELSE 0 END) FROM n;
                 INSERT INTO waiting SELECT 'lane-' || (seq % 50), seq, 0, 1, 0, 0, NULL, 'cause', randomblob(5000 * (seq % 90 = 0)),
                    1, NULL, 0 FROM messages WHERE seq <= 500;
                 INSERT INTO dead_letters SELECT seq, 'lane', 0, 'code', 'detail', 1, NULL, NULL, x'00', 1, NULL, 0 FROM messages
                    WHERE seq > 500 AND seq <= 550;
                 INSERT INTO kept SELECT seq, 'lane', 0, 1 FROM messages WHERE seq > 550;
                 INSERT INTO seen SELECT 'lane-' || seq, zeroblob(1536) FROM messages;
                 INSERT INTO notes SELECT 'space', 'key-' || seq, randomblob(200) FROM messages;
                 INSERT INTO reserve (filler) VALUES (zeroblob(61440));
                 DELETE FROM messages WHERE seq <= 300;
                 DELETE FROM waiting WHERE seq <= 300;
                 DELETE FROM seen WHERE lane < 'lane-3';",
            )
            .unwrap();
        Self { dir, connection }
    }

    fn image(&self) -> Image {
        Image::open(&self.dir.join("queue.db"), &self.dir.join("queue.db-wal")).unwrap()
    }

    fn checkpoint(&self) {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    }

    /// What SQLite says is in each table.
    fn counts(&self) -> BTreeMap<String, u64> {
        let tables = ["messages", "waiting", "dead_letters", "kept", "seen", "notes", "totals", "reserve"];
        let count = |table: &str| {
            let count =
                self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
            (table.replace('_', ""), count.unwrap().unsigned_abs())
        };
        tables.map(count).into()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn rows(image: &Image) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    let read = image.each(|page| {
        for cell in &page.cells {
            let Some(record) = image.record(cell)? else { continue };
            let Some(columns) = pages::columns(&record) else { continue };
            if let Some(table) = Table::of(page.kind, &columns) {
                *rows.entry(format!("{table:?}").to_lowercase()).or_default() += 1;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    read.unwrap();
    rows
}

#[test]
fn every_row_is_read_and_none_that_is_gone() {
    let real = Real::new("rows");
    assert!(real.image().strange_bits() == Some(0) && !real.image().is_cut());
    assert_eq!(rows(&real.image()), real.counts(), "from file and log");
    real.checkpoint();
    let free: i64 = real.connection.pragma_query_value(None, "freelist_count", |row| row.get(0)).unwrap();
    assert!(free > 50, "{free} free pages");
    assert_eq!(rows(&real.image()), real.counts(), "from the file");
    assert!(!real.image().is_short_of_pages().unwrap());
    let file = std::fs::File::options().write(true).open(real.dir.join("queue.db")).unwrap();
    file.write_all_at(&[0, 0, 0, 40], 28).unwrap();
    assert!(real.image().is_short_of_pages().unwrap(), "it would write over its own pages");
    assert_eq!(rows(&real.image()), real.counts());
}

#[test]
fn bytes_are_read_as_sqlite_reads_them() {
    let real = Real::new("bytes");
    let image = real.image();
    let mut compared = 0;
    let read = image.each(|page| {
        for cell in &page.cells {
            let Some(record) = image.record(cell)? else { continue };
            let Some(columns) = pages::columns(&record) else { continue };
            if Table::of(page.kind, &columns) == Some(Table::Messages) {
                let select = "SELECT accepted_at, body FROM messages WHERE seq = ?";
                let row =
                    real.connection.query_row(select, [cell.key], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)));
                let (accepted_at, body): (i64, _) = row.unwrap();
                assert_eq!(
                    (columns[2].as_i64().unwrap(), columns[5].as_blob().unwrap()),
                    (accepted_at, body.as_slice())
                );
                compared += 1;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    read.unwrap();
    assert_eq!(compared, 300);
}

/// The pages of trees in a real file, with where their heads are.
fn trees(real: &Real) -> Vec<(Vec<u8>, usize)> {
    real.checkpoint();
    let select = "SELECT pageno FROM dbstat WHERE pagetype IN ('leaf', 'internal')";
    let mut select = real.connection.prepare(select).unwrap();
    let numbers = select.query_map([], |row| row.get::<_, u32>(0)).unwrap();
    let file = std::fs::read(real.dir.join("queue.db")).unwrap();
    let page =
        |number: usize| (file[(number - 1) * PAGE..number * PAGE].to_vec(), if number == 1 { FIRST_HEAD } else { 0 });
    numbers.map(|number| page(number.unwrap() as usize)).collect()
}

#[test]
fn the_parts_of_every_page_add_up() {
    let trees = trees(&Real::new("parts"));
    assert!(trees.len() > 50);
    assert!(trees.iter().all(|(page, head)| pages::adds_up(page, *head)));
}

#[test]
fn a_flipped_bit_of_head_or_list_is_put_right() {
    let trees = trees(&Real::new("heads"));
    let (mut right, mut all) = (0, 0);
    for (whole, head) in trees.iter().step_by(7) {
        let list = head + 8 + 2 * usize::from(u16::from_be_bytes([whole[head + 3], whole[head + 4]]));
        for bit in head * 8..list.min(head + 200) * 8 {
            let mut page = whole.clone();
            page[bit / 8] ^= 0x80 >> (bit % 8);
            pages::mend(&mut page, *head);
            all += 1;
            right += u64::from(page == *whole);
        }
    }
    // Some can be put right in two ways: a gap that is three bytes less and three fragments more.
    assert!(all > 1_000 && right * 100 >= all * 95, "{right} of {all}");
}

#[test]
fn a_flipped_bit_of_the_log_is_named() {
    let real = Real::new("log");
    let whole = std::fs::read(real.dir.join("queue.db-wal")).unwrap();
    let expected = log::read(&Slice(&whole)).unwrap();
    assert!(expected.pages.len() > 20 && expected.flips.is_empty(), "{}", expected.pages.len());
    let mut seed = 7_u64;
    for _ in 0..300 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let last = *expected.pages.values().max().unwrap() as usize + PAGE;
        let (at, mask) = ((seed >> 20) as usize % last, 1_u8 << (seed >> 60 & 7));
        let mut log = whole.clone();
        log[at] ^= mask;
        let found = log::read(&Slice(&log)).unwrap();
        assert_eq!((&found.pages, found.page_count), (&expected.pages, expected.page_count), "bit {mask} of {at}");
        let [flip] = found.flips[..] else { panic!("{:?} for bit {mask} of {at}", found.flips) };
        // Of the uppermost bits of a word the sum does not say which.
        let is_weak = at % 4 == 3 || (at % 4 == 2 && mask >= 16);
        assert!(is_weak || (flip.at, flip.mask) == (at as u64, mask), "{flip:?} for bit {mask} of {at}");
        log[flip.at as usize] ^= flip.mask;
        assert!(log::read(&Slice(&log)).unwrap().flips.is_empty(), "it is whole again");
    }
}

/// Bytes in memory.
struct Slice<'a>(&'a [u8]);

impl pages::Bytes for Slice<'_> {
    fn fill(&self, at: u64, into: &mut [u8]) -> std::io::Result<bool> {
        let found = self.0.get(at as usize..at as usize + into.len());
        found.inspect(|found| into.copy_from_slice(found));
        Ok(found.is_some())
    }
}

#[test]
fn a_file_with_many_wrong_bytes_ends_in_an_answer() {
    let real = Real::new("hostile");
    let paths = ["queue.db", "queue.db-wal"].map(|name| real.dir.join(name));
    let whole = paths.clone().map(|path| std::fs::read(path).unwrap());
    let mut seed = 3_u64;
    for round in 0..30 {
        for (path, whole) in paths.iter().zip(&whole) {
            let mut bytes = whole.clone();
            for _ in 0..round * 40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Half of them where the heads of pages are.
                let at = (seed >> 20) as usize % bytes.len();
                let at = if seed >> 63 == 0 { at } else { at / PAGE * PAGE + at % 64 };
                bytes[at] = (seed >> 50) as u8;
            }
            std::fs::write(path, bytes).unwrap();
        }
        rows(&real.image());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_page_or_none(mut page in prop::collection::vec(any::<u8>(), PAGE), kind in 0_usize..5, head in 0_usize..2) {
        let head = [0, FIRST_HEAD][head];
        page[head] = [0x0d, 0x0a, 0x05, 0x02, page[head]][kind];
        pages::mend(&mut page, head);
        for cell in pages::read(&page, head).into_iter().flat_map(|page| page.cells) {
            prop_assert!(cell.local.len() <= PAGE);
            let _ = pages::columns(cell.local);
        }
    }

    #[test]
    fn any_bytes_are_a_record_or_none(record in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(columns) = pages::columns(&record) {
            prop_assert!(columns.len() <= record.len());
        }
    }

    #[test]
    fn any_bytes_are_a_log_or_none(log in prop::collection::vec(any::<u8>(), 0..40_000)) {
        let found = super::log::read(&Slice(&log)).unwrap();
        prop_assert!(found.pages.len() <= 2);
    }
}
