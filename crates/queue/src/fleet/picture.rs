//! The state of a partition as it is written down: in pieces, because it grows with the devices, and a call that carries all of it
//! would grow with it.

use bytes::Bytes;
use futures_util::future::join_all;

use super::account::Account;
use super::format::{Picture, unseal};
use super::names::{self, Partition};
use super::state::State;
use super::tenure::odd;
use super::term::Term;
use crate::blobs::{Failure, FailureKind, Over};

/// 3.4 Mbit/s carry it within a call's time.
const PIECE_BYTES: usize = 4 << 20;

/// Pieces on their way at once.
const AT_ONCE: u32 = 4;

/// How many it makes.
pub(crate) fn pieces_of(body: &Bytes) -> u32 {
    // 16 PiB would be more.
    u32::try_from(body.len().div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX)
}

/// Every blob that it consists of.
pub(crate) fn names_of(partition: Partition, picture: &Picture) -> impl Iterator<Item = String> {
    let picture = *picture;
    (0..picture.pieces).map(move |piece| names::state(partition, &picture, piece))
}

/// Writes all of it. It is there when whoever looks for it is told where: see [`Owner`](super::format::Owner).
pub(crate) async fn write(
    account: &Account,
    partition: Partition,
    picture: &Picture,
    body: Bytes,
    term: &Term,
) -> Result<(), Failure> {
    for some in some_at_once(picture) {
        let puts = some.map(|piece| {
            let from = piece as usize * PIECE_BYTES;
            let (name, part) = (names::state(partition, picture, piece), body.slice(from..body.len().min(from + PIECE_BYTES)));
            async move { account.until(Some(term.end_at()), || account.blobs.put_over(&name, part.clone(), None)).await }
        });
        join_all(puts).await.into_iter().try_for_each(|put| put.and_then(is_put))?;
    }
    Ok(())
}

/// What was written; the beginning of all where nothing was.
pub(crate) async fn read(account: &Account, partition: Partition, picture: &Picture) -> Result<State, Failure> {
    let mut body = Vec::new();
    for some in some_at_once(picture) {
        let gets = some.map(|piece| {
            let name = names::state(partition, picture, piece);
            async move {
                let part = account.once(account.blobs.get(&name)).await?;
                part.ok_or_else(|| odd(format!("{name} is not there; somebody removes blobs of this container")))
            }
        });
        for part in join_all(gets).await {
            body.extend_from_slice(&part?);
        }
    }
    if body.is_empty() {
        return Ok(State::default());
    }
    unseal(&body).map_err(|cause| odd(format!("{}{:012}: {cause}", names::states(partition), picture.number)))
}

/// What owners have left behind that died while they wrote.
pub(crate) async fn remove_others(
    account: &Account,
    partition: Partition,
    picture: &Picture,
    term: &Term,
) -> Result<(), Failure> {
    let needed: Vec<String> = names_of(partition, picture).collect();
    let (prefix, mut from) = (names::states(partition), None);
    loop {
        let page = account.until(Some(term.end_at()), || account.blobs.list(&prefix, from.as_deref())).await?;
        for blob in page.blobs.iter().filter(|blob| !needed.contains(&blob.name)) {
            account.until(Some(term.end_at()), || account.blobs.delete(&blob.name)).await?;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

/// Nobody leases what is put without a lease: whoever says so has put nothing.
pub(crate) fn is_put(put: Over) -> Result<(), Failure> {
    match put {
        Over::Put => Ok(()),
        Over::NotOurs => Err(Failure::here(FailureKind::Odd, "a blob without a lease is said to have one".into())),
    }
}

fn some_at_once(picture: &Picture) -> impl Iterator<Item = std::ops::Range<u32>> {
    let pieces = picture.pieces;
    (0..pieces).step_by(AT_ONCE as usize).map(move |from| from..pieces.min(from + AT_ONCE))
}
