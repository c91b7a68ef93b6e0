//! The least that can be durable: records appended to one file, one flush for all that wait. What the queue is compared
//! with; it cannot settle, retry, order or bury anything.
//!
//! Included by `puts.rs` and meant to be included by others that want to compare with it (`#[path]`).

use std::fs::File;
use std::io::Write;
use std::path::Path;

use tokio::sync::{mpsc, oneshot};

/// Records in one flush, as in the queue.
const BATCH_MAX: usize = 512;

type Record = (Vec<u8>, oneshot::Sender<()>);

/// An append-only log with a thread of its own. Ends with its last handle.
#[derive(Clone)]
pub struct Log {
    records: mpsc::UnboundedSender<Record>,
}

impl Log {
    /// A new file in `dir`.
    pub fn create(dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut file = File::create(dir.join("records.log"))?;
        File::open(dir)?.sync_all()?;
        let (records, mut inbox) = mpsc::unbounded_channel::<Record>();
        std::thread::spawn(move || {
            let (mut batch, mut bytes) = (Vec::with_capacity(BATCH_MAX), Vec::new());
            while inbox.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
                bytes.clear();
                for (record, _) in &batch {
                    bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
                    bytes.extend_from_slice(record);
                }
                file.write_all(&bytes).and_then(|()| file.sync_data()).expect("a bench needs its disk");
                for (_, done) in batch.drain(..) {
                    let _ = done.send(());
                }
            }
        });
        Ok(Self { records })
    }

    /// Returns once the record is on stable storage.
    pub async fn append(&self, record: Vec<u8>) {
        let (done, is_done) = oneshot::channel();
        self.records.send((record, done)).expect("the writer lives as long as its handles");
        is_done.await.expect("the writer answers every record");
    }
}
