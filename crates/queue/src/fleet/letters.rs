//! Dead letters of a shared queue: read from the account by any process, changed by what it asks for at its own door.

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

use super::account::Account;
use super::door;
use super::format::{Letter, Wish, unseal};
use super::names::{self, Partition};
use crate::blobs::Failure;
use crate::{DeadLetter, LeaseError, Moved, Seq};

/// Longest that somebody who looks waits for the account.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Letters that are read at once.
const AT_ONCE: usize = 16;

/// The next letters after a position, whatever their partition.
///
/// # Errors
/// When the account does not answer.
pub(crate) async fn after(account: &Account, after: Option<Seq>, limit: usize) -> Result<Vec<DeadLetter>, LeaseError> {
    let end = Instant::now() + LOOK_MAX;
    let (mut from, mut wanted) = (None, Vec::new());
    while wanted.len() < limit {
        let list = || account.blobs.list(names::DEAD, from.as_deref());
        let page = account.until(Some(end), list).await.map_err(|failure| unreadable(&failure))?;
        let seqs = page.blobs.iter().filter_map(|blob| names::dead_from(&blob.name));
        let later = seqs.filter(|(_, seq)| after.is_none_or(|after| *seq > after));
        wanted.extend(later.take(limit - wanted.len()));
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let mut letters = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(AT_ONCE) {
        let read = join_all(some.iter().map(|(partition, seq)| letter(account, *partition, *seq, end))).await;
        for letter in read {
            // One that has left meanwhile is none.
            letters.extend(letter?);
        }
    }
    Ok(letters)
}

/// One letter.
///
/// # Errors
/// When the account does not answer.
pub(crate) async fn one(account: &Account, partitions: u16, seq: Seq) -> Result<Option<DeadLetter>, LeaseError> {
    let end = Instant::now() + LOOK_MAX;
    // Which partition it is of its position does not say.
    let asked = join_all((0..partitions).map(|partition| letter(account, Partition(partition), seq, end))).await;
    for letter in asked {
        if let Some(letter) = letter? {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

async fn letter(
    account: &Account,
    partition: Partition,
    seq: Seq,
    end: Instant,
) -> Result<Option<DeadLetter>, LeaseError> {
    let name = names::dead(partition, seq);
    let body = account.until(Some(end), || account.blobs.get(&name)).await.map_err(|failure| unreadable(&failure))?;
    let Some(body) = body else { return Ok(None) };
    match unseal::<Letter>(&body) {
        Ok(Letter { letter, .. }) => Ok(Some(letter)),
        Err(cause) => Err(LeaseError::Failed(format!("{name}: {cause}"))),
    }
}

/// Asks for letters to come back, or to go. They do when their owner has heard of it, within a second or two.
///
/// # Errors
/// When the account does not answer, or the door is closed.
pub(crate) async fn ask(
    account: &Account,
    partitions: u16,
    door: &mpsc::UnboundedSender<door::Asked>,
    seqs: &[Seq],
    comes_back: bool,
) -> Result<Vec<Moved>, LeaseError> {
    let (mut outcome, mut wishes): (Vec<Moved>, Vec<(Seq, Wish)>) = (Vec::with_capacity(seqs.len()), Vec::new());
    for seq in seqs {
        let letter = one(account, partitions, *seq).await?;
        let is_first = wishes.iter().all(|(wished, _)| wished != seq);
        outcome.push(match letter {
            Some(letter) if comes_back && !letter.is_whole => Moved::Damaged,
            Some(letter) if is_first => {
                let message = letter.message;
                wishes.push((
                    *seq,
                    match comes_back {
                        true => Wish::Replay(Box::new(message)),
                        false => Wish::Discard { lane: message.lane },
                    },
                ));
                Moved::Done
            }
            Some(_) | None => Moved::Missing,
        });
    }
    let (reply, kept) = oneshot::channel();
    door.send(door::Asked::Letters { wishes, reply }).map_err(|_| LeaseError::Closed)?;
    kept.await.map_err(|_| LeaseError::Closed)?;
    Ok(outcome)
}

fn unreadable(failure: &Failure) -> LeaseError {
    LeaseError::Failed(failure.to_string())
}
