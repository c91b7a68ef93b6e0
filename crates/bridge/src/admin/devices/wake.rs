//! Holds, ended by a person who has mended the cause.

use queue::LeaseError;

use super::look::{Filter, PIECE, lane};
use crate::claims::Owner;
use crate::device::Shared;

/// Wakes all that the filter takes; whatever their state, only those that are held have anything to be woken from.
/// Returns how many there were.
pub(super) async fn all(flow: &Shared, filter: &Filter) -> Result<usize, LeaseError> {
    let (mut after, mut woken) = (None, 0);
    loop {
        let owners = flow.claims.owners_after(after.as_ref(), PIECE);
        let is_last = owners.len() < PIECE;
        after = owners.last().map(|owner| (*owner.device).clone());
        let wanted: Vec<_> = owners.into_iter().filter(|owner| filter.takes(owner)).collect();
        woken += some(flow, &wanted).await?;
        if is_last {
            return Ok(woken);
        }
    }
}

/// Wakes these, at most [`PIECE`] of them.
pub(super) async fn some(flow: &Shared, owners: &[Owner]) -> Result<usize, LeaseError> {
    if owners.is_empty() {
        return Ok(0);
    }
    let names: Vec<_> = owners.iter().flat_map(|owner| owner.names.iter().cloned()).collect();
    // First whatever would refuse them again at once.
    for name in &names {
        if let Some(assignment) = flow.provision.standing(name).assignment {
            flow.pool.pardon(&assignment.hub, &assignment.device_id);
        }
    }
    let mut were_refused = flow.provision.ask_again_for(&names).into_iter();
    let waited = flow.queue.hurry(owners.iter().map(|owner| lane(&owner.device)).collect()).await?;
    let mut woken = 0;
    for (owner, waited) in owners.iter().zip(waited) {
        // Each takes its own from the row.
        let was_refused = were_refused.by_ref().take(owner.names.len()).fold(false, |any, one| any | one);
        woken += usize::from(waited || was_refused);
    }
    Ok(woken)
}
