//! `POST /api/v1/queue/backup`: a copy of the queue's files, made while it is at work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use queue::BackupError;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::problem::Problem;

/// What it is to be called, in `backups` of the queue's directory.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WantedBackup)]
pub struct Wanted {
    /// 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
}

/// The copy, and what a look through it found.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Backup)]
pub struct Made {
    /// Where it is, on the bridge's machine.
    pub dir: String,
    /// Of its files.
    pub bytes: u64,
    /// Messages that were looked at, and that the file counts.
    pub checked: u64,
    /// See [`Made::checked`].
    pub counted: u64,
    /// Positions of those that are not what was written.
    pub damaged: Vec<u64>,
    /// What is wrong with the file's structure.
    pub structure: Vec<String>,
}

/// A copy of the queue's files, made while it is at work.
#[utoipa::path(post, path = "/api/v1/queue/backup", tag = "queue", request_body = Wanted, responses((status = 200, body = Made),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 409, description = "it cannot be", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn backup(
    State(admin): State<Arc<Admin>>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = wanted.map_err(|e| Problem::bad_request(e.body_text()))?;
    let made = admin.queue.backup(&wanted.name).await.map_err(|error| match error {
        BackupError::Name => Problem::bad_request(error.to_string()),
        BackupError::Files(_) => Problem::new(StatusCode::CONFLICT, "backup", error.to_string()),
        BackupError::Queue(_) | BackupError::Overtaken => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", error.to_string())
        }
    })?;
    let (bytes, report) = (made.bytes, made.report);
    let damaged = report.damaged.iter().map(|seq| seq.0).collect();
    let dir = made.dir.display().to_string();
    let (checked, counted, structure) = (report.checked, report.counted, report.structure);
    Ok(Json(Made { dir, bytes, checked, counted, damaged, structure }).into_response())
}
