//! What the simulator took, in its order, and the judge of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use simulator::{OnMessage, Recorded};
use tokio::sync::watch;
use tokio::time::Instant;

/// All that was recorded.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    taken: Mutex<Vec<Taken>>,
    count: watch::Sender<usize>,
}

/// One message, when the hub had it.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) at: Instant,
    pub(crate) device: String,
    pub(crate) message: String,
}

/// What the record shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) messages: usize,
    /// Told as delivered and not there, or twice, or not in their order.
    pub(crate) lost: Vec<String>,
    pub(crate) twice: Vec<String>,
    pub(crate) disordered: Vec<String>,
}

impl Ledger {
    /// For the simulator to write into.
    pub(crate) fn writer(self: &Arc<Self>) -> OnMessage {
        let ledger = self.clone();
        Arc::new(move |recorded: &Recorded| {
            let message = recorded.message_id.clone().expect("each of our messages has a name");
            ledger.all().push(Taken { at: Instant::now(), device: recorded.device_id.clone(), message });
            ledger.count.send_modify(|count| *count += 1);
        })
    }

    pub(crate) fn all(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there are so many.
    pub(crate) async fn reach(&self, count: usize) {
        self.count.subscribe().wait_for(|there| *there >= count).await.expect("we hold the other end");
    }

    /// Each device sent messages `{sender}-0`, `{sender}-1`, … one after another, and was told of so many that they are
    /// delivered.
    pub(crate) fn judge(&self, sender: &str, delivered: &BTreeMap<String, u32>) -> Verdict {
        let mut verdict = Verdict::default();
        // The next number of each device that was not there yet.
        let mut next: BTreeMap<String, u32> = BTreeMap::new();
        for Taken { device, message, .. } in self.all().iter() {
            let Some(number) = message.strip_prefix(sender).and_then(|rest| rest.strip_prefix('-')) else { continue };
            let number: u32 = number.parse().expect("a name of ours ends with a number");
            let due = next.entry(device.clone()).or_default();
            verdict.messages += 1;
            match number.cmp(due) {
                std::cmp::Ordering::Equal => *due += 1,
                std::cmp::Ordering::Less => verdict.twice.push(format!("{device} {message}")),
                std::cmp::Ordering::Greater => {
                    verdict.disordered.push(format!("{device} {message} before {due}"));
                    *due = number + 1;
                }
            }
        }
        for (device, count) in delivered {
            let there = next.get(device).copied().unwrap_or_default();
            verdict.lost.extend((there..*count).map(|number| format!("{device} {number}")));
        }
        verdict
    }
}

impl Verdict {
    /// Nothing lost, nothing out of order, and at most so many twice.
    pub(crate) fn holds(&self, twice_max: usize) {
        assert_eq!(self.lost, [""; 0], "lost");
        assert_eq!(self.disordered, [""; 0], "out of order, or lost in between");
        assert!(self.twice.len() <= twice_max, "{} came twice, at most {twice_max} may", self.twice.len());
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, lost, twice, disordered } = self;
        write!(f, "{messages} recorded, {} lost, {} twice, {} out of order", lost.len(), twice.len(), disordered.len())
    }
}
