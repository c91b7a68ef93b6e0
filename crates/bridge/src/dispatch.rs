//! From the queue to the right device worker. Leases are bounded; a worker is started when its device has something and
//! ends by itself.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use queue::{Lease, Leases};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::device::{Happening, Shared, Worker};
use crate::lane::Lane;

/// A device has two lanes, each with at most one lease out; a mailbox of this size is never full. What is in it is boxed, because a
/// channel has room for 32 from its first message on: 7 KiB a device, and 15 for one that is busy.
const MAILBOX: usize = 4;

/// Hands out leases until `stop` says so, then waits for the workers to finish what they hold.
pub async fn run(mut leases: Leases, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut workers = Workers { shared, mailboxes: HashMap::new(), tasks: JoinSet::new() };
    loop {
        tokio::select! {
            biased; // a stream of leases must not hide the stop
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = workers.tasks.join_next() => workers.forget(ended),
            lease = leases.next() => match lease {
                Some(lease) => workers.hand_over(lease),
                None => break,
            },
        }
    }
    leases.stop();
    // Closes them: each worker ends when it has nothing left. In the same order in every run.
    let mailboxes: BTreeMap<_, _> = workers.mailboxes.drain().collect();
    mailboxes.into_values().for_each(drop);
    while workers.tasks.join_next().await.is_some() {}
}

struct Workers {
    shared: Arc<Shared>,
    mailboxes: HashMap<String, mpsc::Sender<Box<Happening>>>,
    tasks: JoinSet<String>,
}

impl Workers {
    fn hand_over(&mut self, lease: Lease) {
        let (device, happening) = match Lane::parse(&lease.message().lane) {
            Some(Lane::Telemetry(owner)) => (owner.to_string(), Happening::Telemetry(lease)),
            Some(Lane::News(owner)) => (owner.to_string(), Happening::NetworkEvent(lease)),
            Some(Lane::Unsorted { .. }) | None => (lease.message().lane.clone(), Happening::Unsorted(lease)),
        };
        let happening = Box::new(happening);
        let happening = match self.mailboxes.get(&device) {
            Some(mailbox) => match mailbox.try_send(happening) {
                Ok(()) => return,
                Err(mpsc::error::TrySendError::Closed(h) | mpsc::error::TrySendError::Full(h)) => h,
            },
            None => happening,
        };
        self.start(device, happening);
    }

    /// A new worker, also when the old one has just decided to end.
    fn start(&mut self, device: String, first: Box<Happening>) {
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        sender.try_send(first).expect("an empty mailbox has room");
        self.mailboxes.insert(device.clone(), sender);
        let worker = Worker::new(self.shared.clone());
        self.tasks.spawn(async move {
            worker.run(mailbox).await;
            device
        });
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(device) if self.mailboxes.get(&device).is_some_and(mpsc::Sender::is_closed) => {
                self.mailboxes.remove(&device);
            }
            Ok(_) => {}
            // Its lease went back to the queue as it unwound; the mailbox is closed and found so by the next lease.
            Err(panic) => tracing::error!(%panic, "a device worker ended badly"),
        }
    }
}
