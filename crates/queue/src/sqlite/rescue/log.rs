//! SQLite's write-ahead log, read by its own rules: frames with salts and a running sum, up to the last commit.
//!
//! Promises: nothing that was not committed is read; one flipped bit in a frame or in the head is found and named, and what
//! follows is read as if it had not happened (SQLite would drop it all without a word); any bytes end in an answer. Does not
//! know what is on the pages.

use std::collections::BTreeMap;
use std::io;

use super::pages::{self, Bytes, FIRST_HEAD, PAGE, be32};

const HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
const FRAME: usize = FRAME_HEAD + PAGE;

const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// A bit that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) at: u64,
    pub(super) mask: u8,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    /// Where the newest committed content of a page is.
    pub(super) pages: BTreeMap<u32, u64>,
    /// Of the whole file, as the last commit says; `None` when nothing is committed here.
    pub(super) page_count: Option<u32>,
    /// To be put right, before SQLite reads it.
    pub(super) flips: Vec<Flip>,
    /// It ends in the middle of what was flushed: commits were cut off that had been promised.
    pub(super) is_cut: bool,
}

/// The running sum: two words, over pairs of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn over(self, bytes: &[u8], is_big: bool) -> Self {
        let word = |bytes: [u8; 4]| if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let mut sum = self;
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            sum.0 = sum.0.wrapping_add(word([a, b, c, d])).wrapping_add(sum.1);
            sum.1 = sum.1.wrapping_add(word([e, f, g, h])).wrapping_add(sum.0);
        }
        sum
    }

    fn at(bytes: &[u8], at: usize) -> Self {
        Self(be32(bytes, at), be32(bytes, at + 4))
    }
}

/// What every frame is judged by.
struct Head {
    salts: [u8; 8],
    sum: Sum,
    is_big: bool,
}

impl Head {
    fn of(bytes: &[u8; HEAD]) -> Option<Self> {
        let magic = be32(bytes, 0);
        let is_big = magic == MAGIC | 1;
        let sum = Sum(0, 0).over(&bytes[..24], is_big);
        let is_whole = magic & !1 == MAGIC && be32(bytes, 4) == VERSION && be32(bytes, 8) == PAGE as u32;
        let salts = bytes[16..].first_chunk::<8>().copied()?;
        (is_whole && sum == Sum::at(bytes, 24)).then_some(Self { salts, sum, is_big })
    }
}

pub(super) fn read(log: &impl Bytes) -> io::Result<Log> {
    let mut found = Log::default();
    let mut bytes = [0; HEAD];
    if !log.fill(0, &mut bytes)? || bytes == [0; HEAD] {
        return Ok(found);
    }
    let Some(head) = Head::of(&bytes).or_else(|| mended_head(&mut bytes, &mut found.flips)) else { return Ok(found) };
    let mut frame = vec![0; FRAME];
    let mut sum = head.sum;
    let mut since_commit = Log { flips: std::mem::take(&mut found.flips), ..Log::default() };
    let mut at = HEAD as u64;
    while log.fill(at, &mut frame)? {
        if !is_whole(&frame, &head, sum) {
            let follows = |before| follows(log, at + FRAME as u64, &head, before);
            let Some(flip) = flipped(&frame, &head, sum, follows)? else { break };
            since_commit.flips.push(Flip { at: at + flip.at, ..flip });
            if let Some(byte) = frame.get_mut(flip.at as usize) {
                *byte ^= flip.mask;
            }
        }
        sum = Sum::at(&frame, 16);
        since_commit.pages.insert(be32(&frame, 0), at + FRAME_HEAD as u64);
        let page_count = be32(&frame, 4);
        if page_count != 0 {
            found.pages.append(&mut since_commit.pages);
            found.flips.append(&mut since_commit.flips);
            found.page_count = Some(page_count);
        }
        at += FRAME as u64;
    }
    found.is_cut = goes_on(log, at, &head)?;
    Ok(found)
}

fn mended_head(bytes: &mut [u8; HEAD], flips: &mut Vec<Flip>) -> Option<Head> {
    for at in 0..HEAD {
        for mask in bits() {
            bytes[at] ^= mask;
            if let Some(head) = Head::of(bytes) {
                flips.push(Flip { at: at as u64, mask });
                return Some(head);
            }
            bytes[at] ^= mask;
        }
    }
    None
}

fn is_whole(frame: &[u8], head: &Head, sum: Sum) -> bool {
    frame.get(8..16) == Some(&head.salts) && be32(frame, 0) != 0 && summed(frame, head, sum) == Sum::at(frame, 16)
}

fn summed(frame: &[u8], head: &Head, sum: Sum) -> Sum {
    let (covered, content) = (frame.get(..8).unwrap_or_default(), frame.get(FRAME_HEAD..).unwrap_or_default());
    sum.over(covered, head.is_big).over(content, head.is_big)
}

/// A bit by which this frame differs from a whole one. What was there before, or a write that was torn, differs by more: of the
/// 130 000 bits of a frame none fits 64 bits of a sum by chance but once in 10^14.
/// Where the sum itself and something that it covers may be the one, the next frame knows: it `follows` what was written.
fn flipped(
    frame: &[u8],
    head: &Head,
    before: Sum,
    follows: impl Fn(Sum) -> io::Result<bool>,
) -> io::Result<Option<Flip>> {
    let (found, stored) = (summed(frame, head, before), Sum::at(frame, 16));
    let salts = frame.get(8..16).unwrap_or_default();
    let single = |one: &[u8], other: &[u8], at: u64| {
        let mut differing = one.iter().zip(other).zip(at..).filter(|((a, b), _)| a != b);
        let ((a, b), at) = differing.next()?;
        ((a ^ b).is_power_of_two() && differing.next().is_none()).then_some(Flip { at, mask: a ^ b })
    };
    if found == stored {
        return Ok(single(salts, &head.salts, 8));
    }
    if salts != head.salts {
        return Ok(None);
    }
    let bytes = |sum: Sum| [sum.0.to_be_bytes(), sum.1.to_be_bytes()].concat();
    let in_sum = single(&bytes(found), &bytes(stored), 16);
    if in_sum.is_some() && !follows(stored)? {
        return Ok(in_sum);
    }
    let missing = Sum(stored.0.wrapping_sub(found.0), stored.1.wrapping_sub(found.1));
    let possible = flipped_in_content(frame, head.is_big, missing);
    let mut mended = frame.to_vec();
    let mut adds_up = |flip: &Flip| {
        let Some(byte) = mended.get_mut(flip.at as usize) else { return false };
        *byte ^= flip.mask;
        let head = if be32(&mended, 0) == 1 { FIRST_HEAD } else { 0 };
        let adds_up = pages::adds_up(mended.get(FRAME_HEAD..).unwrap_or_default(), head);
        if let Some(byte) = mended.get_mut(flip.at as usize) {
            *byte ^= flip.mask;
        }
        adds_up
    };
    Ok(possible.iter().copied().find(|flip| adds_up(flip)).or(possible.first().copied()))
}

/// Whether the frame at `at` was written after one with this sum.
fn follows(log: &impl Bytes, at: u64, head: &Head, before: Sum) -> io::Result<bool> {
    let mut frame = vec![0; FRAME];
    Ok(log.fill(at, &mut frame)? && is_whole(&frame, head, before))
}

/// The bits that may be the one. The sum is linear: one more in a word adds to it what only the number of pairs behind it
/// decides. Of the upper bits of a word little is left of that, so that of those there may be hundreds: a wrong one is a second
/// flipped bit on the page, and found like any other.
fn flipped_in_content(frame: &[u8], is_big: bool, missing: Sum) -> Vec<Flip> {
    let mut possible = Vec::new();
    let word_at = |word: usize| if word < 2 { word * 4 } else { FRAME_HEAD + (word - 2) * 4 };
    let words = 2 + PAGE / 4;
    let (mut first, mut second) = (Sum(1, 1), Sum(0, 1));
    for pair in (0..words / 2).rev() {
        for (weight, word) in [(first, pair * 2), (second, pair * 2 + 1)] {
            for bit in 0..32_u32 {
                let at = word_at(word) + if is_big { 3 - bit as usize / 8 } else { bit as usize / 8 };
                let mask = 1 << (bit % 8);
                let is_set = frame.get(at).is_some_and(|byte| byte & mask != 0);
                let change = if is_set { (1_u32 << bit).wrapping_neg() } else { 1 << bit };
                if Sum(weight.0.wrapping_mul(change), weight.1.wrapping_mul(change)) == missing {
                    possible.push(Flip { at: at as u64, mask });
                }
            }
        }
        for weight in [&mut first, &mut second] {
            weight.0 = weight.0.wrapping_add(weight.1);
            weight.1 = weight.1.wrapping_add(weight.0);
        }
    }
    possible
}

/// Whether frames of this log follow a commit behind its end. A commit is flushed before the next is written: what a power cut
/// tore is the last one, and nothing follows it.
fn goes_on(log: &impl Bytes, mut at: u64, head: &Head) -> io::Result<bool> {
    let mut frame = [0; FRAME_HEAD];
    let mut has_commit = false;
    while log.fill(at, &mut frame)? {
        if frame[8..16] == head.salts {
            if has_commit {
                return Ok(true);
            }
            has_commit = be32(&frame, 4) != 0;
        }
        at += FRAME as u64;
    }
    Ok(false)
}

fn bits() -> impl Iterator<Item = u8> {
    (0..8).map(|bit| 1 << bit)
}
