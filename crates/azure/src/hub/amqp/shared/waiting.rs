//! A message under way.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Shared;
use crate::hub::amqp::line::Ticket;
use crate::hub::{Delivered, SendError, Why};

/// Dropping it takes the message back if it is not written yet.
pub(in crate::hub::amqp) struct Waiting {
    pub(super) outcome: Option<oneshot::Receiver<Result<Delivered, SendError>>>,
    pub(super) ticket: Ticket,
    pub(super) name: Arc<str>,
    pub(super) shared: Arc<Shared>,
}

impl Waiting {
    pub(in crate::hub::amqp) async fn outcome(mut self) -> Result<Delivered, SendError> {
        let Some(outcome) = &mut self.outcome else { unreachable!("it is taken only below") };
        match timeout(self.shared.outcome_max(), outcome).await {
            Ok(told) => {
                self.outcome = None;
                // Its driver was stopped with the runtime, or has a fault.
                told.unwrap_or_else(|_| Err(SendError::unanswered(Why::Lost, "its connection's task has ended")))
            }
            Err(_elapsed) => Err(SendError::unanswered(Why::TimedOut, "no outcome in time")),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.outcome.is_some() {
            self.shared.cancel(&self.name, self.ticket);
        }
    }
}
