//! The dead letters, oldest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Admin;

/// Dead letters in one answer.
const DEAD_LETTERS_MAX: usize = 100;

#[derive(serde::Deserialize)]
pub(super) struct Page {
    after: Option<u64>,
}

#[derive(Serialize)]
struct DeadLetterLine {
    seq: u64,
    reason: String,
    detail: String,
    kind: String,
    lane: String,
    attempts: u32,
    accepted_at: i64,
    buried_at: i64,
}

pub(super) async fn dead_letters(State(admin): State<Arc<Admin>>, Query(page): Query<Page>) -> Response {
    match admin.queue.dead_letters(page.after.map(queue::Seq), DEAD_LETTERS_MAX).await {
        Ok(letters) => Json(letters.into_iter().map(DeadLetterLine::from).collect::<Vec<_>>()).into_response(),
        Err(e) => (StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into_response(),
    }
}

impl From<queue::DeadLetter> for DeadLetterLine {
    fn from(letter: queue::DeadLetter) -> Self {
        Self {
            seq: letter.message.seq.0,
            reason: letter.reason.code,
            detail: letter.reason.detail,
            kind: letter.message.kind,
            lane: letter.message.lane,
            attempts: letter.message.attempts,
            accepted_at: letter.message.accepted_at,
            buried_at: letter.buried_at,
        }
    }
}
