//! A queue at work: messages come on sixteen lanes, and whatever comes out is settled, retried or buried. What it was told is said
//! as it is known, a line each: `acked NAME POSITION`, `settling NAME`, `refused`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use queue::{Leases, Options, Place, Put, Queue, Reason, Retry, Settle};

/// Hears what is said.
pub(crate) type Say = Arc<dyn Fn(String) + Send + Sync>;

const NOW: i64 = 1_780_000_000_000;

pub(crate) fn options(dir: &Path) -> Options {
    Options::on_disk(dir, Arc::new(|| NOW))
}

pub(crate) fn open(dir: &Path) -> Queue {
    Queue::open(options(dir)).unwrap()
}

/// Until it is dropped. Names of another round are other names.
pub(crate) async fn work(queue: Queue, round: u64, say: Say) {
    let puts: Vec<_> =
        (0..16).map(|lane| tokio::spawn(put_for_ever(queue.clone(), lane, round, say.clone()))).collect();
    let _ending = Ending(puts.iter().map(tokio::task::JoinHandle::abort_handle).collect());
    end_leases(queue.leases(8), &say).await;
}

struct Ending(Vec<tokio::task::AbortHandle>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::AbortHandle::abort);
    }
}

/// An outcome that is refused is tried again when the message comes again.
async fn end_leases(mut leases: Leases, say: &Say) {
    while let Some(lease) = leases.next().await {
        let name = name(&lease.message().body);
        let reason = Reason { code: "refused".into(), detail: "no".into() };
        let ended = match (lease.message().seq.0 % 4, lease.message().attempts) {
            (0, 0) => lease.retry(Retry { wait: Duration::ZERO, cause: "busy".into(), freeze: None }).await,
            (1, _) => lease.bury(reason, Settle::default()).await,
            _ => {
                say(format!("settling {name}"));
                lease.settle(Settle::default()).await
            }
        };
        if ended.is_err() {
            say("refused".into());
        }
    }
}

async fn put_for_ever(queue: Queue, lane: u64, round: u64, say: Say) {
    let mut number = round * 1_000_000;
    loop {
        match queue.put(put(lane, number)).await {
            Ok(receipt) => say(format!("acked {lane}:{number} {}", receipt.seq.0)),
            Err(_) => {
                say("refused".into());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        number += 1;
    }
}

pub(crate) fn put(lane: u64, number: u64) -> Put {
    Put {
        lane: format!("device-{lane}"),
        kind: "uplink_message".into(),
        head: Vec::new(),
        body: format!("{lane}:{number}:{}", "x".repeat(900)).into_bytes(),
        accepted_at: NOW,
        place: Place::Lane,
    }
}

/// Its lane and number.
pub(crate) fn name(body: &[u8]) -> String {
    String::from_utf8_lossy(body).rsplit_once(':').unwrap().0.to_owned()
}
