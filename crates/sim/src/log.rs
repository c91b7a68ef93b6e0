//! What happened, line by line, by true time. The same seed writes the same bytes.
//!
//! Its fingerprint is always taken; the lines themselves are kept when somebody wants to read them.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::clock::Clock;

/// What is kept of a story's lines at the most: what an hour of the loudest seed says, four times over.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// See the module. Clones write to the same log.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    began_ms: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    fingerprint: Sha256,
    /// One line, to be hashed whole.
    line: String,
    kept: Option<String>,
}

impl Log {
    pub(crate) fn new(clock: Arc<Clock>, keep: bool) -> Self {
        let state = State { fingerprint: Sha256::new(), line: String::new(), kept: keep.then(String::new) };
        Self(Arc::new(Shared { began_ms: clock.true_now(), clock, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line, which it must be.
    pub(crate) fn line(&self, what: std::fmt::Arguments<'_>) {
        let at = Moment(self.0.clock.true_now() - self.0.began_ms);
        let mut state = self.state();
        let State { fingerprint, line, kept } = &mut *state;
        line.clear();
        let _ = writeln!(line, "{at} {what}");
        fingerprint.update(line.as_bytes());
        if let Some(kept) = kept.as_mut().filter(|kept| kept.len() < KEPT_BYTES_MAX) {
            kept.push_str(line);
        }
    }

    /// SHA-256 of all lines, as far as it is needed to tell two logs apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        let hash = self.state().fingerprint.clone().finalize();
        u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))
    }

    /// What the product logs in this thread stands in here too, as long as the guard lives.
    pub(crate) fn hear(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The lines, if they were to be kept.
    pub(crate) fn take(&self) -> Option<String> {
        self.state().kept.take()
    }

    /// Of the story, in milliseconds.
    pub(crate) fn elapsed_ms(&self) -> i64 {
        self.0.clock.true_now() - self.0.began_ms
    }
}

/// Milliseconds since the story began, as hours, minutes, seconds.
pub(crate) struct Moment(pub(crate) i64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        write!(f, "{}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
    }
}

/// So that what the bridge logs stands where it happened.
impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.lines() {
            self.line(format_args!("  {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
