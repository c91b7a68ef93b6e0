//! SQLite's file format, as much of it as is needed to read rows without the way that leads to them: pages, cells, records.
//!
//! Promises: pure; any bytes end in an answer, none in a panic, and no answer is larger than what was read. Only cells that a
//! page's list names are read, so that nothing deleted comes back. The parts of a page add up exactly; where they do not, the
//! one bit of its head and list that makes them do is put right. Does not know tables.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rusqlite::types::ValueRef;

/// Nothing is reserved at the end of our pages, so all of it is used.
pub(super) const PAGE: usize = 16_384;

/// Where the first page's tree begins, behind the file's own head; that of all others begins at 0.
pub(super) const FIRST_HEAD: usize = 100;

/// Something that can be read from anywhere.
pub(super) trait Bytes {
    /// False when it ends before `into` is full.
    fn fill(&self, at: u64, into: &mut [u8]) -> io::Result<bool>;
}

impl Bytes for File {
    fn fill(&self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        match self.read_exact_at(into, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Numbers beyond the end are 0.
pub(super) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_be_bytes(*four))
}

fn be16(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |two| u16::from_be_bytes(*two).into())
}

/// 7 bits a byte, the ninth has 8. And its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    TableLeaf,
    TableInner,
    IndexLeaf,
    /// Its cells are rows too.
    IndexInner,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0x0d => Some(Self::TableLeaf),
            0x05 => Some(Self::TableInner),
            0x0a => Some(Self::IndexLeaf),
            0x02 => Some(Self::IndexInner),
            _ => None,
        }
    }

    fn head(self) -> usize {
        match self {
            Self::TableLeaf | Self::IndexLeaf => 8,
            Self::TableInner | Self::IndexInner => 12,
        }
    }
}

#[derive(Debug)]
pub(super) struct Cell<'a> {
    /// In tables.
    pub(super) key: i64,
    /// All of the record, also what is not on this page.
    pub(super) length: u64,
    pub(super) local: &'a [u8],
    /// The page on which it goes on.
    pub(super) more: Option<u32>,
    size: usize,
}

/// What is on a page.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub(super) kind: Kind,
    pub(super) cells: Vec<Cell<'a>>,
}

/// `head` is where the page's head begins.
pub(super) fn read(page: &[u8], head: usize) -> Option<Page<'_>> {
    let kind = Kind::of(*page.get(head)?)?;
    let cells = pointers(page, head, kind).filter_map(|at| cell(page, at, kind)).collect();
    Some(Page { kind, cells })
}

fn pointers(page: &[u8], head: usize, kind: Kind) -> impl Iterator<Item = usize> {
    // More do not fit on a page: each is two bytes, and names four at the least.
    let count = be16(page, head + 3).min(PAGE / 6);
    (0..count).map(move |cell| be16(page, head + kind.head() + 2 * cell))
}

fn cell(page: &[u8], start: usize, kind: Kind) -> Option<Cell<'_>> {
    let mut at = start + if matches!(kind, Kind::TableInner | Kind::IndexInner) { 4 } else { 0 };
    let mut next = || {
        let (value, length) = varint(page.get(at..)?)?;
        at += length;
        Some(value)
    };
    let length = if kind == Kind::TableInner { 0 } else { next()? };
    let key = if matches!(kind, Kind::TableInner | Kind::TableLeaf) { next()? as i64 } else { 0 };
    let here = here(length, kind);
    let local = page.get(at..at.checked_add(here)?)?;
    at += here;
    let more = (length > here as u64).then(|| be32(page, at));
    at += if more.is_some() { 4 } else { 0 };
    let size = (at - start).max(4);
    (start + size <= page.len()).then_some(Cell { key, length, local, more, size })
}

/// Of a record of `length` bytes, how many are on its own page.
fn here(length: u64, kind: Kind) -> usize {
    let most = if kind == Kind::TableLeaf { PAGE - 35 } else { (PAGE - 12) * 64 / 255 - 23 };
    if length <= most as u64 {
        return length as usize;
    }
    let least = (PAGE - 12) * 32 / 255 - 23;
    let rest = least + ((length - least as u64) % (PAGE as u64 - 4)) as usize;
    if rest <= most { rest } else { least }
}

/// Whether cells, gaps and what is free are the whole page, each byte once.
pub(super) fn adds_up(page: &[u8], head: usize) -> bool {
    page.get(head).copied().and_then(Kind::of).is_some_and(|kind| adds_up_as(page, head, kind).is_some())
}

fn adds_up_as(page: &[u8], head: usize, kind: Kind) -> Option<()> {
    let content = be16(page, head + 5);
    let list_end = head + kind.head() + 2 * be16(page, head + 3);
    let mut parts = free(page, head)?;
    for at in pointers(page, head, kind) {
        parts.push((at, cell(page, at, kind)?.size));
    }
    parts.sort_unstable();
    let mut end = content;
    for (at, size) in &parts {
        if *at < end {
            return None;
        }
        end = at + size;
    }
    let used: usize = parts.iter().map(|(_, size)| size).sum();
    let fragments: usize = (*page.get(head + 7)?).into();
    (list_end <= content && content + used + fragments == PAGE).then_some(())
}

/// The chain of what is free between the cells.
fn free(page: &[u8], head: usize) -> Option<Vec<(usize, usize)>> {
    let mut blocks = Vec::new();
    let mut at = be16(page, head + 1);
    while at != 0 {
        let (next, size) = (be16(page, at), be16(page, at + 2));
        if at + size > PAGE || size < 4 || (next != 0 && next < at + size) {
            return None;
        }
        blocks.push((at, size));
        at = next;
    }
    Some(blocks)
}

/// Puts the one bit right by which head and list differ from one that adds up. Whether there was one.
pub(super) fn mend(page: &mut [u8], head: usize) -> bool {
    // Both kinds of head, and all of what it says is its list, which is the longest of them when the count was changed.
    let bits_of_head = head * 8..(head + 12) * 8;
    if try_each(page, head, bits_of_head) {
        return true;
    }
    let Some(kind) = page.get(head).copied().and_then(Kind::of) else { return false };
    let sizes: Vec<_> = pointers(page, head, kind).map(|at| cell(page, at, kind).map(|cell| cell.size)).collect();
    let unread = sizes.iter().filter(|size| size.is_none()).count();
    let Some(free) = free(page, head) else { return false };
    let free: usize = free.iter().map(|(_, size)| size).sum();
    let others: usize = sizes.iter().flatten().sum();
    let rest = be16(page, head + 5) + free + usize::from(page.get(head + 7).copied().unwrap_or(0));
    for (index, size) in sizes.iter().enumerate() {
        if unread > usize::from(size.is_none()) {
            continue;
        }
        // Each of the list's bits, where the sum comes out: so no page costs more than a few thousand looks.
        let at = head + kind.head() + 2 * index;
        let fits = |bit: usize| {
            let pointer = be16(page, at) ^ (0x8000 >> bit);
            let size = cell(page, pointer, kind).map(|cell| cell.size);
            size.is_some_and(|size| rest + others - sizes[index].unwrap_or(0) + size == PAGE)
        };
        let fitting: Vec<usize> = (0..16).filter(|bit| fits(*bit)).map(|bit| at * 8 + bit).collect();
        if fitting.into_iter().any(|bit| try_each(page, head, bit..bit + 1)) {
            return true;
        }
    }
    false
}

fn try_each(page: &mut [u8], head: usize, mut bits: std::ops::Range<usize>) -> bool {
    bits.any(|bit| {
        flip(page, bit);
        let is_right = adds_up(page, head);
        if !is_right {
            flip(page, bit);
        }
        is_right
    })
}

fn flip(page: &mut [u8], bit: usize) {
    if let Some(byte) = page.get_mut(bit / 8) {
        *byte ^= 0x80 >> (bit % 8);
    }
}

/// The columns of a record. What is beyond its end is nothing, so that a broken column costs no other before it.
pub(super) fn columns(record: &[u8]) -> Option<Vec<ValueRef<'_>>> {
    let (head, mut at) = varint(record)?;
    let head = usize::try_from(head).ok()?;
    let mut body = record.get(head..)?;
    let mut columns = Vec::new();
    while at < head {
        let (serial, length) = varint(record.get(at..head)?)?;
        at += length;
        let length = match serial {
            0 | 8 | 9 => 0,
            1..=4 => serial as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((serial - 12) / 2).ok()?,
        };
        let Some((value, rest)) = body.split_at_checked(length) else {
            columns.push(ValueRef::Null);
            body = &[];
            continue;
        };
        body = rest;
        columns.push(match serial {
            0 => ValueRef::Null,
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            1..=6 => ValueRef::Integer(integer(value)),
            7 => ValueRef::Real(f64::from_bits(integer(value) as u64)),
            _ if serial % 2 == 0 => ValueRef::Blob(value),
            _ => ValueRef::Text(value),
        });
    }
    Some(columns)
}

/// Two's complement, highest byte first.
fn integer(bytes: &[u8]) -> i64 {
    let sign = bytes.first().map_or(0, |first| if first & 0x80 != 0 { -1 } else { 0 });
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}
