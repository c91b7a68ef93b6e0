//! `/api/v1/dead-letters`: what could not be sent, why, and what becomes of it.
//!
//! A listing goes through the letters in the order of their positions, a bounded number at a time; a filter only leaves some
//! out. What is written names its letters one by one, so that nothing changes that nobody has seen.

mod look; // reading
pub mod view; // what is told

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use queue::{LeaseError, Moved, Seq};
use serde::Deserialize;

use self::look::Filter;
use super::Admin;
use super::problem::Problem;
use crate::events::Event;
use crate::reason::Class;

/// Letters on a page when nobody says, and at the most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;
/// Letters that are moved at once: each is read before, on the queue's thread, which takes 20 µs where the disk's pages are at hand.
pub const MOVED_MAX: usize = 200;
/// Letters that are taken in at once, a commit each: four seconds where a flush takes 20 ms. And bytes of their request: a body
/// of 1 MiB takes up to twice as much in JSON.
pub const IMPORT_MAX: usize = 200;
/// See [`IMPORT_MAX`].
pub const IMPORT_BYTES_MAX: usize = 8 << 20;

/// The query of a listing.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// `next` of the page before.
    after: Option<u64>,
    limit: Option<usize>,
    reason: Option<String>,
    class: Option<Class>,
    network: Option<String>,
    application: Option<String>,
    device: Option<String>,
    /// Milliseconds since 1970.
    buried_before: Option<i64>,
    buried_after: Option<i64>,
    /// With the messages.
    #[serde(default)]
    whole: bool,
}

/// Which letters, by their positions.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = WantedLetters)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    seqs: Vec<u64>,
}

/// Letters from elsewhere.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    letters: Vec<view::Letter>,
}

/// Dead letters in the order of their positions, a page at a time.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "dead letters", params(Listing), responses((status = 200, body = view::Page),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(listing) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let filter = Filter {
        reason: listing.reason,
        class: listing.class,
        network: listing.network,
        application: listing.application,
        device: listing.device,
        buried_before: listing.buried_before,
        buried_after: listing.buried_after,
    };
    let limit = listing.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let page = look::page(&admin.queue, &filter, listing.after.map(Seq), limit, listing.whole).await;
    Ok(Json(page.map_err(|e| unreadable(&e))?).into_response())
}

/// One dead letter, with its message.
#[utoipa::path(get, path = "/api/v1/dead-letters/{seq}", tag = "dead letters", params(("seq" = u64, Path)), responses((status = 200, body = view::Letter),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 404, description = "there is none", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    path: Result<Path<u64>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(seq) = path.map_err(|e| Problem::bad_request(e.body_text()))?;
    match admin.queue.dead_letter(Seq(seq)).await.map_err(|e| unreadable(&e))? {
        Some(letter) => Ok(Json(view::Letter::of(letter, true)).into_response()),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "no_such_letter", format!("there is no dead letter {seq}"))),
    }
}

type Which = Result<Json<Wanted>, JsonRejection>;

/// Back to their lanes, as if nothing had been tried.
#[utoipa::path(post, path = "/api/v1/dead-letters/replay", tag = "dead letters", request_body = Wanted, responses((status = 200, body = view::Outcome),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn replay(State(admin): State<Arc<Admin>>, body: Which) -> Result<Response, Problem> {
    let seqs = which(body)?;
    let moved = told(&seqs, admin.queue.replay(seqs.clone()).await)?;
    admin.events.emit(Event::LettersReplayed { seqs: &moved.done });
    Ok(Json(moved).into_response())
}

/// Thrown away.
#[utoipa::path(post, path = "/api/v1/dead-letters/drop", tag = "dead letters", request_body = Wanted, responses((status = 200, body = view::Outcome),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn discard(State(admin): State<Arc<Admin>>, body: Which) -> Result<Response, Problem> {
    let seqs = which(body)?;
    let moved = told(&seqs, admin.queue.discard(seqs.clone()).await)?;
    admin.events.emit(Event::LettersDropped { count: moved.done.len() });
    Ok(Json(moved).into_response())
}

/// Letters from elsewhere: all are looked at before the first is kept.
#[utoipa::path(post, path = "/api/v1/dead-letters/import", tag = "dead letters", request_body = Import, responses((status = 200, body = view::Imported),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn import(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Import>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Import { letters }) = body.map_err(|e| Problem::new(e.status(), "bad_request", e.body_text()))?;
    if letters.len() > IMPORT_MAX {
        return Err(Problem::bad_request(format!("at most {IMPORT_MAX} letters at once")));
    }
    let read = letters
        .into_iter()
        .enumerate()
        .map(|(at, letter)| letter.into_put().map_err(|e| Problem::bad_request(format!("letters[{at}]: {e}"))));
    let puts = read.collect::<Result<Vec<_>, _>>()?;
    // One commit each, for they have an order: that in which they come back to their lanes.
    let (mut imported, mut refused) = (0, None);
    for put in puts {
        match admin.queue.put(put).await {
            Ok(_) => imported += 1,
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    admin.events.emit(Event::LettersImported { count: imported });
    match refused {
        None => Ok(Json(view::Imported { imported }).into_response()),
        Some(error) => {
            let detail = format!("{error}; the first {imported} of these are kept, so import the others only");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", detail))
        }
    }
}

fn which(body: Which) -> Result<Vec<Seq>, Problem> {
    let Json(wanted) = body.map_err(|e| Problem::new(e.status(), "bad_request", e.body_text()))?;
    if wanted.seqs.is_empty() || wanted.seqs.len() > MOVED_MAX {
        return Err(Problem::bad_request(format!("seqs: give 1 to {MOVED_MAX} positions")));
    }
    Ok(wanted.seqs.into_iter().map(Seq).collect())
}

fn told(seqs: &[Seq], moved: Result<Vec<Moved>, LeaseError>) -> Result<view::Outcome, Problem> {
    let moved = moved.map_err(|e| unreadable(&e))?;
    let those = |kind: Moved| seqs.iter().zip(&moved).filter(move |(_, moved)| **moved == kind).map(|(seq, _)| seq.0);
    Ok(view::Outcome {
        done: those(Moved::Done).collect(),
        missing: those(Moved::Missing).collect(),
        damaged: those(Moved::Damaged).collect(),
    })
}

fn unreadable(error: &LeaseError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", error.to_string())
}
