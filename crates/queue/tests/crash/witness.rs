//! What was said against what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use queue::{Options, Queue, Settle};

use super::load::name;

/// How it went.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) acked: usize,
    pub(crate) settled: usize,
    pub(crate) found: usize,
    /// Acknowledged, not being settled, and not there.
    pub(crate) lost: Vec<String>,
}

/// Compares, and takes everything out of the queue.
///
/// # Panics
/// When something is there at another position than was said, or out of order.
pub(crate) fn look(dir: &Path, said: &[String]) -> Findings {
    let (mut acked, mut settling) = (BTreeMap::new(), BTreeSet::new());
    for line in said {
        match *line.split(' ').collect::<Vec<_>>() {
            ["acked", name, seq] => drop(acked.insert(name, seq.parse::<u64>().unwrap())),
            ["settling", name] => drop(settling.insert(name)),
            _ => {}
        }
    }
    let found = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(everything(dir));
    for (name, seq) in &found {
        assert!(acked.get(name.as_str()).is_none_or(|acked| acked == seq), "{name} at {seq}");
    }
    let is_there = |name: &str| found.contains_key(name) || settling.contains(name);
    let lost = acked.keys().filter(|name| !is_there(name)).map(|name| (*name).to_owned()).collect();
    Findings { acked: acked.len(), settled: settling.len(), found: found.len(), lost }
}

/// Name and position of everything that is still in the queue or buried. Checks the order on the way.
async fn everything(dir: &Path) -> BTreeMap<String, u64> {
    // Months later, so that all are due; the letters are counted, and must not have expired.
    let later = Options::on_disk(dir, Arc::new(|| 1_790_000_000_000));
    let queue = Queue::open(Options { dead_letters_age_ms_max: i64::MAX, ..later }).unwrap();
    let mut found = BTreeMap::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    let mut leases = queue.leases(64);
    let mut settling = tokio::task::JoinSet::new();
    for _ in 0..queue.stats().waiting {
        let lease = leases.next().await.unwrap();
        let message = lease.message();
        let before = last.insert(message.lane.clone(), message.seq.0);
        assert!(before.is_none_or(|before| before < message.seq.0), "{} out of order", message.lane);
        found.insert(name(&message.body), message.seq.0);
        settling.spawn(lease.settle(Settle::default()));
    }
    while let Some(settled) = settling.join_next().await {
        settled.unwrap().unwrap();
    }
    loop {
        let letters = queue.dead_letters(None, 100).await.unwrap();
        if letters.is_empty() {
            break;
        }
        found.extend(letters.iter().map(|letter| (name(&letter.message.body), letter.message.seq.0)));
        queue.discard(letters.iter().map(|letter| letter.message.seq).collect()).await.unwrap();
    }
    queue.close().await;
    found
}
