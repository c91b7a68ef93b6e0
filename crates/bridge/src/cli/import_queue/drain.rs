//! One storage queue, emptied into a bridge.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use storage::{Messages, Receipt};
use tokio::task::JoinSet;

use super::super::admin_api::AdminApi;
use super::outcome::{Found, Outcome};
use crate::admin::takeover::{self, AT_ONCE, Batch, Foreign, GONE_MAX, Taken};

/// Messages that are taken before the first is handed over, so that they can be put in order: 64 KiB each, 64 MiB. With a commit of
/// 20 ms each they are through in 20 s, long before they are shown to others again.
const WINDOW: usize = 1_024;
/// Deletions under way: as many as there are connections to the account.
const DELETIONS: usize = 8;

/// The work on one queue.
pub(super) struct Drain {
    queue: Found,
    buries: bool,
    hide: Duration,
    kept: usize,
    buried: usize,
    known: usize,
    not_json: usize,
    undeleted: usize,
    /// Deleted over there, and the bridge was not told yet.
    gone: Vec<String>,
}

impl Drain {
    pub(super) fn new(queue: Found, buries: bool, hide: Duration) -> Self {
        let (kept, buried, known, not_json, undeleted) = (0, 0, 0, 0, 0);
        Self { queue, buries, hide, kept, buried, known, not_json, undeleted, gone: Vec::new() }
    }

    /// Until the queue gives nothing more.
    ///
    /// # Errors
    /// What the bridge or the account says. What was not handed over is shown again when the time for which it is hidden is over.
    pub(super) async fn run(&mut self, bridge: &AdminApi) -> Result<(), String> {
        while self.queue.is_there {
            let window = self.window().await?;
            if window.is_empty() {
                break;
            }
            for batch in window.chunks(AT_ONCE) {
                self.hand_over(batch, bridge).await?;
            }
        }
        self.tell_gone(bridge).await
    }

    /// The oldest first.
    async fn window(&self) -> Result<Vec<storage::Taken>, String> {
        let mut window = Vec::new();
        while window.len() < WINDOW {
            let taken = self.queue.messages.take(self.hide).await.result.map_err(|failure| failure.to_string())?;
            if taken.is_empty() {
                break;
            }
            window.extend(taken);
        }
        window.sort_by_key(|taken| taken.put_at); // stable: those of one second stay as they came
        Ok(window)
    }

    async fn hand_over(&mut self, batch: &[storage::Taken], bridge: &AdminApi) -> Result<(), String> {
        let messages = batch.iter().map(|taken| self.foreign(taken)).collect();
        let gone = std::mem::take(&mut self.gone);
        let Taken { outcomes } = bridge.post("/api/v1/queue/takeover", &Batch { messages, gone }).await?;
        if outcomes.len() != batch.len() {
            return Err("the bridge does not say what became of each message: is it another version?".to_owned());
        }
        let mut here = Vec::with_capacity(batch.len());
        for (taken, outcome) in batch.iter().zip(outcomes) {
            let count = match outcome {
                takeover::Outcome::Kept => &mut self.kept,
                takeover::Outcome::Buried { .. } => &mut self.buried,
                takeover::Outcome::Known => &mut self.known,
                takeover::Outcome::NotJson => {
                    self.not_json += 1;
                    continue;
                }
            };
            *count += 1;
            here.push(taken.receipt.clone());
        }
        self.delete(here).await;
        Ok(())
    }

    fn foreign(&self, taken: &storage::Taken) -> Foreign {
        Foreign {
            id: taken.receipt.message_id().to_owned(),
            put_at: taken.put_at,
            poison: self.buries,
            body_base64: BASE64_STANDARD.encode(&taken.body),
        }
    }

    /// What the bridge has. One that cannot be deleted comes again, and the bridge knows it then.
    async fn delete(&mut self, receipts: Vec<Receipt>) {
        let mut waiting = receipts.into_iter();
        let mut deletions = JoinSet::new();
        loop {
            while deletions.len() < DELETIONS
                && let Some(receipt) = waiting.next()
            {
                deletions.spawn(delete(self.queue.messages.clone(), receipt));
            }
            match deletions.join_next().await {
                None => return,
                Some(Ok(Some(id))) => self.gone.push(id),
                Some(Ok(None) | Err(_)) => self.undeleted += 1,
            }
        }
    }

    async fn tell_gone(&mut self, bridge: &AdminApi) -> Result<(), String> {
        for gone in std::mem::take(&mut self.gone).chunks(GONE_MAX) {
            let batch = Batch { messages: Vec::new(), gone: gone.to_vec() };
            let _: Taken = bridge.post("/api/v1/queue/takeover", &batch).await?;
        }
        Ok(())
    }

    /// What came of it, and what still stands there.
    pub(super) async fn outcome(self) -> Outcome {
        let left = match self.queue.is_there {
            true => self.queue.messages.count().await.result.ok(),
            false => Some(0),
        };
        Outcome {
            queue: self.queue.name,
            is_poison: self.queue.is_poison,
            found: self.queue.count,
            kept: self.kept,
            buried: self.buried,
            known: self.known,
            not_json: self.not_json,
            undeleted: self.undeleted,
            left,
            trouble: None,
        }
    }
}

/// The id of what is gone.
async fn delete(messages: Arc<Messages>, receipt: Receipt) -> Option<String> {
    let is_gone = messages.delete(&receipt).await.result.unwrap_or(false);
    is_gone.then(|| receipt.message_id().to_owned())
}
