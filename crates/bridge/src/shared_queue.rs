//! How this process takes part in a queue that several share: `queue.kind = "azure-storage"`.
//!
//! Relies on `storage` for the account and on `queue` for whose a message is. Waits for an account that is away as long as somebody may
//! wait who looks at a start, a minute at the most; after that a supervisor tries again.

use std::sync::Arc;
use std::time::Duration;

use azure::net::Dial;
use queue::blobs::{Blobs as _, Failure, FailureKind};
use queue::{Clock, Queue, Shared};
use storage::{Container, Means};
use tokio::time::{Instant, sleep};

use crate::app::{Role, queue_options};
use crate::config::{Config, StorageQueue};
use crate::world::{self, World};

/// What an account is named by.
const ACCOUNT: &str = "queue.connection_string, queue.account_url";
/// A blob that every queue has.
const STORE: &str = "store";
/// Longest that making the container takes; opening the queue in it has as much once more.
const MAKE_MAX: Duration = Duration::from_secs(30);
/// Between two tries of that.
const MAKE_EVERY: Duration = Duration::from_secs(1);
/// Of a host's name in that of a process: enough to find it.
const HOST_MAX: usize = 40;

/// What of this machine it needs.
pub struct Machine {
    /// Connections with TLS.
    pub dial: Arc<dyn Dial>,
    /// The environment, which may name an identity.
    pub env: Vec<(String, String)>,
    /// Milliseconds by a clock that nobody sets and that counts while the process or the machine is stopped.
    pub steady: Clock,
    /// Its name.
    pub host: String,
}

/// Why it cannot.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {cause}")]
pub struct Refused {
    key: &'static str,
    /// With its mend.
    cause: String,
}

/// Takes part.
///
/// # Errors
/// When the account is away, refuses, or holds something else.
pub async fn join(
    config: &Config,
    storage: &StorageQueue,
    role: Role,
    world: &World,
    machine: Machine,
) -> Result<Queue, Refused> {
    let refused = |cause: String| Refused { key: ACCOUNT, cause };
    let container = container(storage, world.clock.clone(), machine.dial, machine.env).map_err(refused)?;
    make(&container).await.map_err(|failure| refused(format!("no container can be made: {failure}")))?;
    let process = process(&machine.host, std::process::id(), world.random.seed("process"));
    let shared = Shared {
        partitions: storage.partitions,
        address: config.admin.listen.to_string(),
        // Who sends puts as well: a message that could not be sorted before, a dead letter that is to come back.
        has_door: true,
        works: matches!(role, Role::Worker | Role::All),
        ..Shared::new(Arc::new(container), process, machine.steady)
    };
    let joined = Queue::join(shared, queue_options(config, world)).await;
    joined.map_err(|cause| match cause {
        queue::JoinError::Account(_) => refused(cause.to_string()),
        queue::JoinError::Other(_) => Refused { key: "queue.container", cause: cause.to_string() },
    })
}

/// Whether the container is there and can be read, without making it.
///
/// # Errors
/// When the account is away, or refuses: why, and the mend.
pub async fn is_there(
    storage: &StorageQueue,
    clock: Arc<dyn world::Clock>,
    dial: Arc<dyn Dial>,
    env: Vec<(String, String)>,
) -> Result<bool, String> {
    match container(storage, clock, dial, env)?.get(STORE).await.result {
        Ok(_) => Ok(true),
        Err(failure) if failure.kind == FailureKind::NoPlace => Ok(false),
        Err(failure) => Err(failure.to_string()),
    }
}

fn container(
    storage: &StorageQueue,
    clock: Arc<dyn world::Clock>,
    dial: Arc<dyn Dial>,
    env: Vec<(String, String)>,
) -> Result<Container, String> {
    let means = Means { secure: dial, plain: Arc::new(vault::Plain), clock: Arc::new(move || clock.now()), env };
    Container::new(&storage.account, &storage.container, &means).map_err(|wrong| wrong.to_string())
}

/// Sees to it that the container is there. Whoever uses one need not be allowed to make one.
async fn make(container: &Container) -> Result<(), Failure> {
    let end = Instant::now() + MAKE_MAX;
    let mut told = None;
    loop {
        match container.create().await.result {
            Ok(_) => return Ok(()),
            Err(failure) if failure.kind == FailureKind::Denied => return Ok(()),
            Err(_) if container.get(STORE).await.result.is_ok() => return Ok(()),
            Err(failure) if Instant::now() >= end => return Err(failure),
            Err(Failure { code, cause, .. }) => {
                // Another cause than before is news.
                if told.as_ref() != Some(&code) {
                    tracing::warn!(%cause, "no container can be made yet; tried again");
                    told = Some(code);
                }
                sleep(MAKE_EVERY).await;
            }
        }
    }
}

/// PURE: nobody else's name, ever, of letters that a blob's name takes as they are.
fn process(host: &str, pid: u32, random: u64) -> String {
    let host = host.chars().take(HOST_MAX).map(|c| c.to_ascii_lowercase());
    let host: String = host.map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
    format!("{host}-{pid}-{random:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_name_that_a_blob_can_have() {
        assert_eq!(process("Gate.example", 7, 255), "gate-example-7-00000000000000ff");
        assert_eq!(process(&"ä/".repeat(100), 1, 0).len(), HOST_MAX + "-1-0000000000000000".len());
    }
}
