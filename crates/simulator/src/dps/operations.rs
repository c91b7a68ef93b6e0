//! Registrations under way.

use std::collections::{HashMap, VecDeque};

use super::{Answer, Outcome, Refusal};
use crate::random::Random;

/// A device that never comes back for its answer costs one entry; the oldest go first. 20 000 entries of about 400 bytes are 8 MB,
/// and twenty times what a real service registers in a minute.
pub(super) const OPERATIONS_MAX: usize = 20_000;

/// One that was begun.
struct Operation {
    scope: String,
    /// Still to be put off.
    polls_left: u32,
    outcome: Outcome,
}

/// Those that are remembered, finished ones too.
#[derive(Default)]
pub(crate) struct Operations {
    open: HashMap<String, Operation>,
    oldest_first: VecDeque<String>,
}

impl Operations {
    /// Opens an operation; its first `assigning_polls` polls are put off.
    pub(crate) fn begin(&mut self, scope: &str, outcome: Outcome, assigning_polls: u32, random: &Random) -> Answer {
        if self.oldest_first.len() >= OPERATIONS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.open.remove(&oldest);
        }
        let operation_id = format!("5.{:016x}.{}", u64::from_be_bytes(random.bytes()), random.guid());
        self.oldest_first.push_back(operation_id.clone());
        let operation = Operation { scope: scope.to_owned(), polls_left: assigning_polls, outcome };
        self.open.insert(operation_id.clone(), operation);
        assigning(operation_id)
    }

    /// Answers a poll. The answer stays the same however often it is asked for after the end.
    pub(crate) fn poll(&mut self, scope: &str, registration_id: &str, operation_id: &str) -> Result<Answer, Refusal> {
        let is_its = |operation: &Operation| {
            operation.scope.eq_ignore_ascii_case(scope)
                && operation.outcome.registration_id().eq_ignore_ascii_case(registration_id)
        };
        let operation = self
            .open
            .get_mut(operation_id)
            .filter(|operation| is_its(operation))
            .ok_or_else(|| Refusal::new(404, 404_202, "Operation not found"))?;
        if let Some(left) = operation.polls_left.checked_sub(1) {
            operation.polls_left = left;
            return Ok(assigning(operation_id.to_owned()));
        }
        let state = Some(operation.outcome.state());
        let status = operation.outcome.word();
        Ok(Answer { is_pending: false, operation_id: operation_id.to_owned(), status, state })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

fn assigning(operation_id: String) -> Answer {
    Answer { is_pending: true, operation_id, status: "assigning", state: None }
}
