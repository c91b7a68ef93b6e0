//! `GET /api/v1/queue/verify`: whether what is kept is what was written, a piece at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use queue::{Cursor, Part};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::problem::Problem;

/// How far a check has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePlace)]
pub struct Place {
    /// `waiting`, `dead_letters` or `kept`.
    pub part: String,
    /// The last row there.
    pub lane: String,
    /// Its position.
    pub seq: u64,
}

/// A piece of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = QueuePiece)]
pub struct Piece {
    /// Messages that were looked at.
    pub checked: u64,
    /// Positions of those that are not what was written.
    pub damaged: Vec<u64>,
    /// The query of the next piece; none at the end.
    pub next: Option<Place>,
}

const PARTS: [(&str, Part); 3] =
    [("waiting", Part::Waiting), ("dead_letters", Part::DeadLetters), ("kept", Part::Kept)];

const NEXT: &str = "part, lane, seq: give all of `next` of the piece before";

/// [`Place`], or nothing of it.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    part: Option<String>,
    lane: Option<String>,
    seq: Option<u64>,
}

/// Whether what is kept is what was written, a piece at a time.
#[utoipa::path(get, path = "/api/v1/queue/verify", tag = "queue", params(Asked), responses((status = 200, body = Piece),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn verify(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let after = match asked {
        Asked { part: None, lane: None, seq: None } => None,
        Asked { part: Some(part), lane: Some(lane), seq: Some(seq) } => {
            let known = PARTS.iter().find(|(word, _)| *word == part);
            let (_, part) = known.ok_or_else(|| Problem::bad_request(NEXT))?;
            Some(Cursor { part: *part, lane, seq })
        }
        _ => return Err(Problem::bad_request(NEXT)),
    };
    let verified = admin.queue.verify(after).await;
    let verified = verified.map_err(|e| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", e.to_string()))?;
    let word = |part: Part| PARTS.iter().find(|(_, known)| *known == part).map_or("waiting", |(word, _)| word);
    let next = verified.next.map(|Cursor { part, lane, seq }| Place { part: word(part).to_owned(), lane, seq });
    let damaged = verified.damaged.iter().map(|seq| seq.0).collect();
    Ok(Json(Piece { checked: verified.checked, damaged, next }).into_response())
}
