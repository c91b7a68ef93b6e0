//! The pages of a damaged file as the last commit left them: the file, and over it the log.
//!
//! Promises: only pages in use are read as parts of a tree; a disk that does not answer is an error, never a page that is not
//! there; every walk ends. Of the first page nothing is trusted but what is checked against what this program writes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::log::{self, Log};
use super::pages::{self, Bytes, Cell, FIRST_HEAD, PAGE, Page, be32};

/// Entries of five bytes on a page that says what the pages behind it are.
const MAP_ENTRIES: u32 = (PAGE / 5) as u32;

/// The page with the byte that others lock is left out by SQLite; a map that would be there is on the next one.
const LOCK_PAGE: u32 = (0x4000_0000 / PAGE) as u32 + 1;

/// Pages whose head or list is put right, at a millisecond each: damage that is wider is no single bits any more.
const MENDED_MAX: u32 = 256;

/// What the first 100 bytes always are in a file of this program: where, and what. Not among them: counts, the format, and the
/// version of SQLite.
const FIXED: [(usize, &[u8]); 5] = [
    (0, b"SQLite format 3\0\x40\x00\x02\x02\x00\x40\x20\x20"),
    (44, &[0, 0, 0, 4]),
    (56, &[0, 0, 0, 1]),
    (64, &[0, 0, 0, 1]),
    (68, &[0; 24]),
];

/// More bits than this are another program's file. The least that one of another kind differs by are seven: two for another
/// size of pages, four for no log, one for no pages given back.
const FIXED_BITS_MAX: u32 = 2;

pub(super) struct Image {
    file: File,
    log: Option<File>,
    committed: Log,
    page_count: u32,
    first: Vec<u8>,
}

impl Image {
    /// The log must have been mended.
    pub(super) fn open(file: &Path, log: &Path) -> io::Result<Self> {
        let file = File::open(file)?;
        let log = match File::open(log) {
            Ok(log) => Some(log),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let committed = log.as_ref().map_or_else(|| Ok(Log::default()), log::read)?;
        // With an empty log nothing is behind the last page but zeros, whatever the first page says of their number.
        let length = u32::try_from(file.metadata()?.len() / PAGE as u64).unwrap_or(u32::MAX);
        let page_count = committed.page_count.unwrap_or(length);
        let mut image = Self { file, log, committed, page_count, first: Vec::new() };
        image.first = image.page(1)?.unwrap_or_default();
        Ok(image)
    }

    /// How many bits of its fixed fields are not what this program writes; `None` when it is not one of its files.
    pub(super) fn strange_bits(&self) -> Option<u32> {
        let mut bits = 0;
        for (at, fixed) in FIXED {
            let found = self.first.get(at..at + fixed.len())?;
            bits += found.iter().zip(fixed).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
        }
        (bits <= FIXED_BITS_MAX).then_some(bits)
    }

    /// Whether something is behind the last page that the file counts. It would be written over.
    pub(super) fn is_short_of_pages(&self) -> io::Result<bool> {
        let counted = be32(&self.first, 28);
        if self.committed.page_count.is_some() {
            return Ok(false);
        }
        let mut start = [0; 64];
        for page in u64::from(counted)..u64::from(self.page_count) {
            if self.file.fill(page * PAGE as u64, &mut start)? && start != [0; 64] {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Commits are lost that had been promised.
    pub(super) fn is_cut(&self) -> bool {
        self.committed.is_cut
    }

    fn page(&self, number: u32) -> io::Result<Option<Vec<u8>>> {
        if number == 0 || number > self.page_count {
            return Ok(None);
        }
        let mut page = vec![0; PAGE];
        let is_there = match (self.committed.pages.get(&number), &self.log) {
            (Some(at), Some(log)) => log.fill(*at, &mut page)?,
            _ => self.file.fill(u64::from(number - 1) * PAGE as u64, &mut page)?,
        };
        Ok(is_there.then_some(page))
    }

    /// Each page that is part of a tree and in use, in the order of the file. Its errors end the walk.
    pub(super) fn each<E: From<io::Error>>(&self, mut visit: impl FnMut(&Page<'_>) -> Result<(), E>) -> Result<(), E> {
        let free = self.free()?;
        let (mut map, mut map_at, mut mended) = (None, 0, 0);
        for number in 1..=self.page_count {
            if number == LOCK_PAGE {
                continue;
            }
            if number == map_of(number) {
                (map, map_at) = (self.page(number)?, number);
                continue;
            }
            let head = if number == 1 { FIRST_HEAD } else { 0 };
            let entry = map.as_ref().and_then(|map| map.get(5 * (number - map_at - 1) as usize));
            let is_tree = match entry.copied() {
                _ if number == 1 => true,
                Some(1 | 5) => true,
                Some(2..=4) => false,
                // No flipped bit makes a free page's entry that of a tree, or the other way round. One that says nothing leaves
                // it to the list of what is free.
                _ => !free.contains(&number),
            };
            let Some(mut page) = (if is_tree { self.page(number)? } else { None }) else { continue };
            if !pages::adds_up(&page, head) && mended < MENDED_MAX && page.iter().any(|byte| *byte != 0) {
                mended += 1;
                pages::mend(&mut page, head);
            }
            if let Some(page) = pages::read(&page, head) {
                visit(&page)?;
            }
        }
        Ok(())
    }

    /// The list of free pages, as far as it can be followed.
    fn free(&self) -> io::Result<BTreeSet<u32>> {
        let mut free = BTreeSet::new();
        let mut next = be32(&self.first, 32);
        while let Some(trunk) = self.page(next)?.filter(|_| !free.contains(&next)) {
            free.insert(next);
            let count = (be32(&trunk, 4) as usize).min(PAGE / 4 - 2);
            free.extend((0..count).map(|leaf| be32(&trunk, 8 + 4 * leaf)));
            next = be32(&trunk, 0);
        }
        Ok(free)
    }

    /// All of a record, as far as its pages can be followed to its end.
    pub(super) fn record<'a>(&self, cell: &Cell<'a>) -> io::Result<Option<Cow<'a, [u8]>>> {
        let Some(mut next) = cell.more else { return Ok(Some(Cow::Borrowed(cell.local))) };
        if cell.length > u64::from(self.page_count) * PAGE as u64 {
            return Ok(None);
        }
        let length = cell.length as usize;
        let mut record = cell.local.to_vec();
        while record.len() < length {
            let Some(page) = self.page(next)? else { return Ok(None) };
            next = be32(&page, 0);
            let rest = (length - record.len()).min(PAGE - 4);
            record.extend_from_slice(page.get(4..4 + rest).unwrap_or_default());
        }
        Ok(Some(Cow::Owned(record)))
    }
}

/// The page on which it stands what `number` is: itself when it is such a page.
fn map_of(number: u32) -> u32 {
    if number < 2 {
        return 0;
    }
    let map = (number - 2) / (MAP_ENTRIES + 1) * (MAP_ENTRIES + 1) + 2;
    if map == LOCK_PAGE { map + 1 } else { map }
}
