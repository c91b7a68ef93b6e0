//! `GET /api/v1/alarms`: what a human must know.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Admin;
use crate::alarms::Picture;

/// What is wrong, and what was lately.
#[utoipa::path(get, path = "/api/v1/alarms", tag = "overview", responses((status = 200, body = Picture)))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Picture> {
    Json(admin.alarms.picture())
}

impl Admin {
    /// How many stand.
    pub(super) fn alarms_active(&self) -> u64 {
        self.alarms.active() as u64
    }
}
