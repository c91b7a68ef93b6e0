//! Messages that break whoever reads them: an innocent one must not be buried with them, and none of them may have the process
//! end again and again.
//!
//! Before a message is read (decoded, turned into what is sent), its position is written to a file; afterwards it is taken out.
//! A process that dies meanwhile leaves it there, and who finds it counts: such a *suspect* is read alone from then on, so that the
//! next death is its own, and after the third it is buried. A panic counts as a death.
//!
//! Reading takes microseconds, so whoever kills the process by other means hits nobody in it, or a different one each time. What
//! waits for Azure is in no file: an answer that never comes breaks nobody.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use queue::Seq;

/// The file, beside the queue's.
const NAME: &str = "being-read";
/// Messages that may be read at once, more than a machine has threads; and as many suspects as are remembered. Who finds no room
/// is read all the same.
const SLOTS: usize = 64;
/// Position, deaths, checksum of both.
const SLOT_BYTES: usize = 16;
/// Deaths over a message after which it is buried.
pub const DEATHS_MAX: u32 = 3;

/// What is being read, and what died of it.
#[derive(Debug)]
pub struct Suspects {
    file: Option<File>,
    state: Mutex<State>,
    /// Held for reading by whoever reads, for writing by whoever must be alone.
    alone: RwLock<()>,
}

#[derive(Debug)]
struct State {
    /// Of the first half of the file.
    free: Vec<usize>,
    deaths: HashMap<Seq, u32>,
}

/// One message is being read. Dropped in a panic, it is a suspect.
#[derive(Debug)]
pub struct Reading<'a> {
    suspects: &'a Suspects,
    seq: Seq,
    slot: Option<usize>,
    _alone: Alone<'a>,
}

#[derive(Debug)]
enum Alone<'a> {
    No { _guard: RwLockReadGuard<'a, ()> },
    Yes { _guard: RwLockWriteGuard<'a, ()> },
}

/// The process has died over it too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("longhaul broke {0} times while it read this message")]
pub struct Deadly(pub u32);

impl Suspects {
    /// Remembers nothing beyond this process.
    pub fn in_memory() -> Self {
        Self::with(None, HashMap::new())
    }

    /// Begins with what the last process left in the queue's directory.
    ///
    /// # Errors
    /// When the file cannot be made or read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(NAME))?;
        file.set_len((2 * SLOTS * SLOT_BYTES) as u64)?;
        let mut deaths = HashMap::new();
        for slot in 0..2 * SLOTS {
            let mut bytes = [0; SLOT_BYTES];
            file.read_exact_at(&mut bytes, at(slot))?;
            if let Some((seq, before)) = read(&bytes) {
                let died = u32::from(slot < SLOTS);
                let sum = deaths.entry(seq).or_insert(0);
                *sum = before.saturating_add(died).max(*sum);
            }
        }
        for slot in 0..SLOTS {
            file.write_all_at(&[0; SLOT_BYTES], at(slot))?;
        }
        let suspects = Self::with(Some(file), deaths);
        suspects.remember(&suspects.state());
        Ok(suspects)
    }

    fn with(file: Option<File>, deaths: HashMap<Seq, u32>) -> Self {
        let state = State { free: (0..SLOTS).rev().collect(), deaths };
        Self { file, state: Mutex::new(state), alone: RwLock::new(()) }
    }

    /// Begins to read a message; a suspect waits until nobody else reads. Not to be held over an `await`.
    ///
    /// # Errors
    /// When the process has died over it [`DEATHS_MAX`] times: bury it, and say so by [`Suspects::forget`].
    pub fn read(&self, seq: Seq) -> Result<Reading<'_>, Deadly> {
        let deaths = self.state().deaths.get(&seq).copied().unwrap_or(0);
        if deaths >= DEATHS_MAX {
            return Err(Deadly(deaths));
        }
        let alone = match deaths {
            0 => Alone::No { _guard: self.alone.read().unwrap_or_else(PoisonError::into_inner) },
            _ => Alone::Yes { _guard: self.alone.write().unwrap_or_else(PoisonError::into_inner) },
        };
        let slot = self.state().free.pop();
        if let Some(slot) = slot {
            self.write(slot, &slot_of(seq, deaths));
        }
        Ok(Reading { suspects: self, seq, slot, _alone: alone })
    }

    /// It is buried, and may come back.
    pub fn forget(&self, seq: Seq) {
        let mut state = self.state();
        if state.deaths.remove(&seq).is_some() {
            self.remember(&state);
        }
    }

    fn ended(&self, seq: Seq, slot: Option<usize>, died: bool) {
        let mut state = self.state();
        if died {
            *state.deaths.entry(seq).or_insert(0) += 1;
            self.remember(&state);
        } else if state.deaths.remove(&seq).is_some() {
            self.remember(&state);
        }
        if let Some(slot) = slot {
            self.write(slot, &[0; SLOT_BYTES]);
            state.free.push(slot);
        }
    }

    /// The second half of the file: suspects that are not being read.
    fn remember(&self, state: &State) {
        let mut known: Vec<_> = state.deaths.iter().collect();
        known.sort();
        let known = known.into_iter().map(|(seq, deaths)| slot_of(*seq, *deaths));
        for (slot, bytes) in known.chain(std::iter::repeat([0; SLOT_BYTES])).take(SLOTS).enumerate() {
            self.write(SLOTS + slot, &bytes);
        }
    }

    /// What cannot be written is not counted, which costs a restart more.
    fn write(&self, slot: usize, bytes: &[u8; SLOT_BYTES]) {
        if let Some(file) = &self.file
            && let Err(cause) = file.write_all_at(bytes, at(slot))
        {
            tracing::debug!(%cause, "what is being read cannot be noted");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.suspects.ended(self.seq, self.slot, std::thread::panicking());
    }
}

fn at(slot: usize) -> u64 {
    (slot * SLOT_BYTES) as u64
}

fn slot_of(seq: Seq, deaths: u32) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&seq.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&deaths.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// A slot that is empty, or half written, is nobody's.
fn read(bytes: &[u8; SLOT_BYTES]) -> Option<(Seq, u32)> {
    let seq = u64::from_le_bytes(bytes[..8].try_into().ok()?);
    let deaths = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
    (seq != 0 && slot_of(Seq(seq), deaths) == *bytes).then_some((Seq(seq), deaths))
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("suspects-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("it can be made");
        dir
    }

    /// As a process that dies: nothing is taken out.
    fn die(suspects: Suspects, seqs: &[u64]) {
        for seq in seqs {
            std::mem::forget(suspects.read(Seq(*seq)).expect("it is read"));
        }
        drop(suspects);
    }

    #[test]
    fn a_message_that_three_processes_died_of_is_named_and_no_other() {
        let dir = scratch("three");
        die(Suspects::open(&dir).expect("it opens"), &[7, 8]);
        let second = Suspects::open(&dir).expect("it opens");
        // Suspects are read alone, and whoever comes through is none any more.
        drop(second.read(Seq(8)).expect("it is read"));
        die(second, &[7]);
        die(Suspects::open(&dir).expect("it opens"), &[7]);
        let fourth = Suspects::open(&dir).expect("it opens");
        assert_eq!(fourth.read(Seq(7)).expect_err("it is deadly"), Deadly(3));
        fourth.forget(Seq(7));
        drop(fourth);
        let fifth = Suspects::open(&dir).expect("it opens");
        assert!(fifth.state().deaths.is_empty(), "{fifth:?}");
        let _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn a_suspect_that_nobody_has_read_since_is_remembered() {
        let dir = scratch("remembered");
        die(Suspects::open(&dir).expect("it opens"), &[7]);
        die(Suspects::open(&dir).expect("it opens"), &[9]);
        let third = Suspects::open(&dir).expect("it opens");
        assert_eq!(third.state().deaths, HashMap::from([(Seq(7), 1), (Seq(9), 1)]));
        let _ = std::fs::remove_dir_all(dir);
    }

    #[test]
    fn a_panic_is_a_death_and_ends_no_others_reading() {
        let suspects = Suspects::in_memory();
        for _ in 0..DEATHS_MAX {
            let panics = catch_unwind(AssertUnwindSafe(|| {
                let _reading = suspects.read(Seq(1)).expect("it is read");
                panic!("over it");
            }));
            assert!(panics.is_err());
            drop(suspects.read(Seq(2)).expect("it is read"));
        }
        assert_eq!(suspects.read(Seq(1)).expect_err("it is deadly"), Deadly(3));
        assert_eq!(suspects.state().free.len(), SLOTS);
    }
}
