//! What nobody needs any more goes, and doors that nobody will write to are closed. Done by the owner of the first partition.
//!
//! Promises: a blob goes only when no partition's owner, nor whoever follows it, will read it, and a day after it was put; the last blob
//! of a door's log stays for ever. A door that lives is never closed, and one that was closed by mistake goes on in another log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::Parts;
use super::account::{Account, Whose};
use super::format::{Commit, Needs, Owner, seal, unseal};
use super::names::{self, Log, Partition};
use super::tenure::Common;
use crate::UnixMillis;
use crate::blobs::Failure;

/// How often doors are looked at. One that died is closed after this and [`SILENT`].
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A dead door is closed when it has been silent for this long: what was on its way when it died has arrived.
const SILENT: Duration = Duration::from_secs(60);

/// How often blobs are removed. At four commits a second and door an hour's are 14 400 a door.
const REMOVE_EVERY: Duration = Duration::from_secs(3_600);

/// How long a blob stays at least: so that a person can still look at what was accepted yesterday.
const KEPT_MS: UnixMillis = 24 * 60 * 60 * 1_000;

/// Removed at once, and between two waits for the others.
const AT_ONCE: usize = 16;

/// Longest that one call of this kind is tried.
const CALL_MAX: Duration = Duration::from_secs(60);

/// PURE: what all partitions need of the doors' logs.
#[derive(Debug)]
pub(super) struct Needed(Vec<Needs>);

impl Needed {
    /// Nothing may go before all of them have written down what they need.
    pub(super) fn of(owners: Vec<Owner>, partitions: u16) -> Option<Self> {
        let all = owners.len() == usize::from(partitions) && owners.iter().all(|owner| owner.state.number > 0);
        all.then(|| Self(owners.into_iter().map(|owner| owner.needs).collect()))
    }

    pub(super) fn is_needed(&self, log: Log, number: u64) -> bool {
        self.0.iter().any(|needs| {
            let from = needs.from.iter().find(|(of, _)| *of == log).map(|(_, from)| *from);
            let is_unread = log >= needs.next_log || from.is_some_and(|from| number >= from);
            let waits = |(of, first, last): &(Log, u64, u64)| *of == log && (*first..=*last).contains(&number);
            is_unread || needs.waiting.iter().any(waits)
        })
    }
}

/// PURE: of a piece of a list of what doors have written, what may go. The last one of each log is left, and the last one of the
/// piece, of which it is not known.
pub(super) fn may_go(needed: &Needed, listed: &[(Log, u64, UnixMillis)], now: UnixMillis) -> Vec<(Log, u64)> {
    let followed = listed.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0]);
    let old = followed.filter(|(log, number, put_at)| now - put_at > KEPT_MS && !needed.is_needed(*log, *number));
    old.map(|(log, number, _)| (log, number)).collect()
}

/// Runs until it is dropped.
pub(super) async fn run(common: Arc<Common>, parts: Arc<Parts>) {
    let mut removed_at = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        if !parts.mine().contains(&Partition(0)) {
            continue;
        }
        // What fails has been told, and is tried again.
        let _ = close_dead_doors(&common).await;
        if removed_at.elapsed() >= REMOVE_EVERY && remove(&common).await.is_ok() {
            removed_at = Instant::now();
        }
    }
}

async fn close_dead_doors(common: &Common) -> Result<(), Failure> {
    let account = &common.account;
    let silent = common.reading.silent(SILENT);
    if silent.is_empty() {
        return Ok(());
    }
    let live = live(account).await?;
    for (log, number) in silent {
        if live.contains(&log) {
            continue;
        }
        let body = seal(&Commit::End { process: common.process.to_string() });
        let end = Some(Instant::now() + CALL_MAX);
        match account.settle(end, &names::commit_of(log, number), &body).await? {
            Whose::Ours => tracing::info!(log = log.0, "the log of a door that died is closed"),
            // It was not so dead.
            Whose::Theirs(_) => {}
        }
        let name = names::door(log);
        account.until(end, || account.blobs.delete(&name)).await?;
    }
    Ok(())
}

/// Logs whose doors live.
async fn live(account: &Account) -> Result<BTreeSet<Log>, Failure> {
    let (mut from, mut live) = (None, BTreeSet::new());
    loop {
        let list = || account.blobs.list(names::LIVE, from.as_deref());
        let page = account.until(Some(Instant::now() + CALL_MAX), list).await?;
        let leased = page.blobs.iter().filter(|blob| blob.is_leased);
        live.extend(leased.filter_map(|blob| names::door_from(&blob.name)));
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(live),
        }
    }
}

/// Everything that may go now.
async fn remove(common: &Common) -> Result<(), Failure> {
    let account = &common.account;
    let mut owners = Vec::new();
    for partition in (0..common.partitions).map(Partition) {
        let name = names::owner(partition);
        let body = account.until(Some(Instant::now() + CALL_MAX), || account.blobs.get(&name)).await?;
        owners.extend(body.and_then(|body| unseal::<Owner>(&body).ok()));
    }
    let Some(needed) = Needed::of(owners, common.partitions) else { return Ok(()) };
    let (mut from, mut gone) = (None, BTreeMap::new());
    loop {
        let list = || account.blobs.list(names::COMMITS, from.as_deref());
        let page = account.until(Some(Instant::now() + CALL_MAX), list).await?;
        let commit = |blob: &crate::blobs::Listed| {
            let (log, number) = names::commit_from(&blob.name)?;
            Some((log, number, blob.put_at))
        };
        let listed: Vec<_> = page.blobs.iter().filter_map(commit).collect();
        let going = may_go(&needed, &listed, account.now());
        for some in going.chunks(AT_ONCE) {
            let end = Some(Instant::now() + CALL_MAX);
            let names: Vec<String> = some.iter().map(|(log, number)| names::commit_of(*log, *number)).collect();
            let removing = names.iter().map(|name| account.until(end, || account.blobs.delete(name)));
            join_all(removing).await.into_iter().collect::<Result<Vec<bool>, Failure>>()?;
        }
        going.iter().for_each(|(log, _)| *gone.entry(*log).or_insert(0_u64) += 1);
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let (logs, blobs) = (gone.len(), gone.values().sum::<u64>());
    tracing::info!(logs, blobs, "commits of doors that nobody needs are removed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::format::Picture;

    fn owner(next_log: u32, from: &[(u32, u64)], waiting: &[(u32, u64, u64)]) -> Owner {
        let from = from.iter().map(|(log, number)| (Log(*log), *number)).collect();
        let waiting = waiting.iter().map(|(log, first, last)| (Log(*log), *first, *last)).collect();
        Owner {
            state: Picture { number: 1, ..Picture::default() },
            needs: Needs { next_log: Log(next_log), from, waiting },
            ..Owner::default()
        }
    }

    #[test]
    fn what_one_partition_has_not_read_or_waits_in_it_is_needed() {
        let owners = vec![owner(3, &[(2, 10)], &[(0, 4, 5)]), owner(2, &[(1, 7)], &[])];
        let needed = Needed::of(owners, 2).unwrap();
        let is_needed = |log, number| needed.is_needed(Log(log), number);
        assert!(is_needed(0, 4) && is_needed(0, 5) && !is_needed(0, 3) && !is_needed(0, 6), "one waits in it");
        assert!(is_needed(1, 7) && !is_needed(1, 6), "the other has not read it");
        assert!(is_needed(2, 1), "nor has it heard of this log");
    }

    #[test]
    fn nothing_goes_before_all_have_written_down_what_they_need() {
        assert!(Needed::of(vec![owner(1, &[], &[])], 2).is_none());
        assert!(Needed::of(vec![owner(1, &[], &[]), Owner::default()], 2).is_none());
    }

    #[test]
    fn the_last_of_a_log_and_what_is_young_stay() {
        let needed = Needed::of(vec![owner(9, &[], &[])], 1).unwrap();
        let listed = [(0, 1), (0, 2), (0, 3), (1, 1), (2, 1), (2, 2)].map(|(log, number)| (Log(log), number, 0));
        let going = may_go(&needed, &listed, KEPT_MS + 1);
        assert_eq!(going, [(Log(0), 1), (Log(0), 2), (Log(2), 1)]);
        assert_eq!(may_go(&needed, &listed, KEPT_MS), []);
    }
}
