//! `GET /api/v1/alarms`: what a human must look at.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use queue::UnixMillis;
use serde::Serialize;

use super::Admin;

/// What is wrong, and what was.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Alarms {
    /// Still so.
    active: Vec<Alarm>,
    /// Over.
    recent: Vec<Alarm>,
}

/// One of them. Moments are milliseconds since 1970.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Alarm {
    /// A fixed word.
    alarm: String,
    /// Whom or what it concerns.
    subject: String,
    /// `page` or `warn`.
    severity: String,
    /// What happened.
    text: String,
    /// What can be done.
    mend: String,
    since: UnixMillis,
    ended_at: Option<UnixMillis>,
    /// When somebody was told.
    told_at: Option<UnixMillis>,
}

/// What is wrong, and what was lately.
#[utoipa::path(get, path = "/api/v1/alarms", tag = "overview", responses((status = 200, body = Alarms)))]
pub(super) async fn list(State(_): State<Arc<Admin>>) -> Json<Alarms> {
    Json(Alarms { active: Vec::new(), recent: Vec::new() })
}

impl Admin {
    /// How many are active.
    pub(super) fn alarms_active(&self) -> u64 {
        0
    }
}
