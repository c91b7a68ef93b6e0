//! From [`Options`] to a running queue.
//!
//! Promises: opening returns before the backlog is read, and puts are taken from then on.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::board::Board;
use crate::driver::Driver;
use crate::handle::Queue;
use crate::memory::Memory;
use crate::options::{Engine, OpenError, Options};
use crate::sqlite::Sqlite;
use crate::store::Store;

impl Queue {
    /// Opens the queue with a thread of its own, so that a disk that stands still blocks nobody else. The thread ends
    /// with [`Queue::close`] or with the last handle.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (queue, driver, board) = parts(&options)?;
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            match runtime {
                Ok(runtime) => runtime.block_on(driver.run()),
                Err(cause) => {
                    tracing::error!(%cause, "the queue's writer cannot start");
                    board.closed();
                }
            }
        };
        let spawned = std::thread::Builder::new().name("queue".into()).spawn(run);
        spawned.map_err(|cause| no_thread(&options.engine, &cause))?;
        Ok(queue)
    }

    /// Opens the queue without a thread: it lives as long as the returned future is polled. For a runtime that owns
    /// time, where everything happens in an order that a seed decides.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_here(options: Options) -> Result<(Self, impl Future<Output = ()> + Send + 'static), OpenError> {
        let (queue, driver, _) = parts(&options)?;
        Ok((queue, driver.run()))
    }
}

fn parts(options: &Options) -> Result<(Queue, Driver, Arc<Board>), OpenError> {
    let store: Box<dyn Store + Send> = match &options.engine {
        Engine::Directory(dir) => Box::new(Sqlite::open(dir.clone(), options.max_bytes, options.bounds())?),
        Engine::Memory(disk) => Box::new(Memory::open(disk.clone(), options.bounds())),
    };
    let board = Arc::new(Board::default());
    let (to, commands) = mpsc::unbounded_channel();
    let queue = Queue::new(to, board.clone(), options);
    Ok((queue, Driver::new(store, options.shares(), options.clock.clone(), board.clone(), commands), board))
}

fn no_thread(engine: &Engine, cause: &std::io::Error) -> OpenError {
    let dir = match engine {
        Engine::Directory(dir) => dir.clone(),
        Engine::Memory(_) => "(memory)".into(),
    };
    OpenError::Store { dir, cause: format!("no thread for the writer: {cause}") }
}
