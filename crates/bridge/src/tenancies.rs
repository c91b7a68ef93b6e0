//! Which notes have been read: those beside the messages that are ours now.
//!
//! Of a queue that several processes share, a part comes and goes, and whoever had it meanwhile has written notes. So who owns a name and
//! where a device lives is read anew with each [`Tenancy`], once, before the first of its messages is looked at. A queue of our own
//! has one tenancy for ever, whose notes are read at the start.
//!
//! Relies on the queue for the tenancies. Knows nothing of what the notes say.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use queue::{LeaseError, Tenancy};

use crate::device::Shared;
use crate::{claims, provision};

/// What has been read so far: a number for each part that ever was ours, of which there are 256 at the most.
#[derive(Debug, Default)]
pub struct Tenancies {
    epochs: Mutex<BTreeMap<u16, u64>>,
    /// One reads, the others wait for it.
    gate: tokio::sync::Mutex<()>,
}

impl Tenancies {
    fn has(&self, tenancy: Tenancy) -> bool {
        self.epochs().get(&tenancy.partition) == Some(&tenancy.epoch)
    }

    /// Whatever was known of the part before is out of date.
    fn took_in(&self, tenancy: Tenancy) {
        self.epochs().insert(tenancy.partition, tenancy.epoch);
    }

    fn epochs(&self) -> MutexGuard<'_, BTreeMap<u16, u64>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Under which right a message of this lane may be looked at; all notes of that are known then. `None`: it is another process's, or
    /// has just become so.
    ///
    /// # Errors
    /// When the notes cannot be read.
    pub async fn enter(&self, lane: &str) -> Result<Option<Tenancy>, LeaseError> {
        let Some(tenancy) = self.queue.tenancy(lane) else { return Ok(None) };
        if self.tenancies.has(tenancy) {
            return Ok(Some(tenancy));
        }
        let _gate = self.tenancies.gate.lock().await;
        if self.tenancies.has(tenancy) {
            return Ok(Some(tenancy));
        }
        match self.take_in(lane, tenancy).await {
            Err(LeaseError::Elsewhere) => Ok(None),
            taken => taken.map(|is_current| is_current.then_some(tenancy)),
        }
    }

    /// False when it was over before all was read.
    async fn take_in(&self, lane: &str, tenancy: Tenancy) -> Result<bool, LeaseError> {
        let assignments = self.queue.notes_of(lane, provision::SPACE).await?;
        let begun = self.queue.notes_of(lane, provision::BEGUN).await?;
        let claims = self.queue.notes_of(lane, claims::SPACE).await?;
        if self.queue.tenancy(lane) != Some(tenancy) {
            return Ok(false);
        }
        self.provision.take_in(tenancy.partition, &assignments, &begun);
        self.claims.take_in(&claims);
        self.tenancies.took_in(tenancy);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_under_an_earlier_right_is_read_again() {
        let tenancies = Tenancies::default();
        let (first, later) = (Tenancy { partition: 3, epoch: 7 }, Tenancy { partition: 3, epoch: 9 });
        assert!(!tenancies.has(first));
        tenancies.took_in(first);
        assert!(tenancies.has(first) && !tenancies.has(later));
        assert!(!tenancies.has(Tenancy { partition: 4, epoch: 7 }), "another part has notes of its own");
        tenancies.took_in(later);
        assert!(tenancies.has(later) && !tenancies.has(first));
    }
}
