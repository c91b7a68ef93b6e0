//! The post over restarts: from steps, and to the fewest of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Post, PostRules, Pushed, Step, weight};

impl Post {
    /// The post that these steps led to.
    pub(crate) fn restored(rules: PostRules, steps: impl IntoIterator<Item = Step>, now_ms: i64) -> Self {
        let mut post = Self::new(rules);
        let mut records = BTreeMap::new();
        for step in steps {
            match step {
                Step::Pushed(pushed) => post.push(pushed),
                Step::Abandoned { device, sequence, times } => post.abandoned(&device, sequence, times),
                Step::Gone { device, sequence, .. } => post.gone(&device, sequence),
                Step::Feedback { number, record } => drop(records.insert(number, record)),
                Step::FeedbackGone(numbers) => numbers.iter().for_each(|number| drop(records.remove(number))),
            }
        }
        for (number, record) in records {
            post.record = post.record.max(number);
            // No more than there were before: none has to go.
            let _ = post.feedback.push(number, record, now_ms);
        }
        post
    }

    fn abandoned(&mut self, device: &str, sequence: u64, times: u8) {
        let entry = self.queues.get_mut(device).and_then(|queue| queue.line.entry_mut(sequence));
        if let Some(entry) = entry {
            entry.abandoned = times;
        }
    }

    fn gone(&mut self, device: &str, sequence: u64) {
        let entry = self.queues.get_mut(device).and_then(|queue| queue.line.remove(sequence));
        self.bytes = self.bytes.saturating_sub(entry.map_or(0, |entry| weight(&entry.content)));
        self.changed(device);
    }

    /// The fewest steps that lead here.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        let messages = self.queues.values().flat_map(|queue| {
            queue.line.entries().map(|entry| {
                Step::Pushed(Pushed {
                    owner: queue.owner.clone(),
                    sequence: entry.sequence,
                    enqueued_ms: entry.enqueued_ms,
                    expiry_ms: entry.expiry_ms,
                    abandoned: entry.abandoned,
                    message: Arc::clone(&entry.content),
                })
            })
        });
        let records = self.feedback.records();
        messages.chain(records.map(|(number, record)| Step::Feedback { number: *number, record: record.clone() }))
    }
}
