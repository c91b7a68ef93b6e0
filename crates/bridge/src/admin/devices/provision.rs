//! Devices on their way to Azure before their first uplink.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};

use super::flow;
use crate::admin::Admin;
use crate::admin::problem::Problem;
use crate::ahead::{Standing, Wanted};

/// Devices in one request. A new one takes a commit, of some milliseconds on a slow disk.
pub const AT_ONCE: usize = 200;
/// Bytes of a request: each device has up to 128 for each of three ids, and as much around them.
pub const BODY_MAX: usize = AT_ONCE * 1024;

/// Brings devices to Azure before their first uplink: how each stands, in the order of the request.
#[utoipa::path(post, path = "/api/v1/devices/provision", tag = "devices", request_body = Vec<Wanted>, responses((status = 200, body = Vec<Standing>),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = crate::admin::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = crate::admin::problem::Told)))]
pub(in crate::admin) async fn provision(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Vec<Wanted>>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(devices) = body.map_err(|e| Problem::new(e.status(), "bad_request", e.body_text()))?;
    if devices.len() > AT_ONCE {
        return Err(Problem::bad_request(format!("give at most {AT_ONCE} devices at once")));
    }
    let flow = flow(&admin)?;
    let mut standings: Vec<Standing> = Vec::with_capacity(devices.len());
    for device in &devices {
        standings.push(flow.provision_ahead(device).await);
    }
    Ok(Json(standings).into_response())
}
