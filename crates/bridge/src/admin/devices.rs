//! `/api/v1/devices`: who is there, how it stands, and the end of a hold.
//!
//! Ids come from devices and from whoever asks: they are only ever JSON strings, or percent-encoded in an address.

mod look; // reading
pub mod provision; // before the first uplink
pub mod radio; // how it is heard
pub mod view; // what is told
mod wake; // ending holds

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use queue::LeaseError;
use serde::Deserialize;

use self::look::Filter;
use super::Admin;
use super::problem::Problem;
use crate::claims::Owner;
use crate::device::Shared;
use crate::lane::DeviceKey;

/// Devices on a page when nobody says.
const PAGE_DEFAULT: usize = 100;
/// Devices on a page at the most, about 600 bytes each.
pub const PAGE_MAX: usize = 1000;

/// The query of a listing.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// `next` of the page before.
    after: Option<String>,
    limit: Option<usize>,
    network: Option<String>,
    application: Option<String>,
    device: Option<String>,
    search: Option<String>,
    state: Option<view::State>,
}

/// Whom to wake.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = WantedWoken)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    network: Option<String>,
    application: Option<String>,
    search: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Devices that have sent, or were provisioned ahead, a page at a time.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", params(Listing), responses((status = 200, body = view::Page),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(listing) = query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let after = match &listing.after {
        Some(text) => {
            Some(view::read_key(text).ok_or_else(|| Problem::bad_request("after: give `next` of the page before"))?)
        }
        None => None,
    };
    let limit = listing.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX);
    let filter = Filter {
        network: listing.network,
        application: listing.application,
        device: listing.device,
        search: listing.search.map(|part| part.to_lowercase()),
        state: listing.state,
    };
    let mut page = look::page(flow(&admin)?, &filter, after, limit).await.map_err(|e| unreadable(&e))?;
    page.devices.iter_mut().for_each(|device| hear(&admin, device));
    Ok(Json(page).into_response())
}

pub(super) type OneDevice = Result<Path<(String, String, String)>, PathRejection>;

/// One device, with everything that is known.
#[utoipa::path(get, path = "/api/v1/devices/{network}/{application}/{device}", tag = "devices", params(("network" = String, Path), ("application" = String, Path), ("device" = String, Path)), responses((status = 200, body = view::Device),
    (status = 404, description = "there is none", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn show(State(admin): State<Arc<Admin>>, path: OneDevice) -> Result<Response, Problem> {
    let flow = flow(&admin)?;
    let owner = owner(flow, path)?;
    match look::one(flow, owner).await.map_err(|e| unreadable(&e))? {
        Some(mut device) => {
            hear(&admin, &mut device);
            Ok(Json(device).into_response())
        }
        None => Err(unknown()),
    }
}

/// Ends a device's wait: its cause is mended.
#[utoipa::path(post, path = "/api/v1/devices/{network}/{application}/{device}/retry", tag = "devices", params(("network" = String, Path), ("application" = String, Path), ("device" = String, Path)), responses((status = 200, body = view::Woken),
    (status = 404, description = "there is none", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn retry_one(State(admin): State<Arc<Admin>>, path: OneDevice) -> Result<Response, Problem> {
    let flow = flow(&admin)?;
    let owner = owner(flow, path)?;
    let woken = wake::some(flow, &[owner]).await.map_err(|e| unreadable(&e))?;
    Ok(Json(view::Woken { woken }).into_response())
}

/// Ends the wait of many.
#[utoipa::path(post, path = "/api/v1/devices/retry", tag = "devices", request_body = Wanted, responses((status = 200, body = view::Woken),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn retry(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wanted) = body.map_err(|e| Problem::new(e.status(), "bad_request", e.body_text()))?;
    let is_narrow = wanted.network.is_some() || wanted.application.is_some() || wanted.search.is_some();
    if is_narrow == wanted.all {
        return Err(Problem::bad_request("give network, application or search, or else `\"all\": true`"));
    }
    let filter = Filter {
        network: wanted.network,
        application: wanted.application,
        search: wanted.search.map(|part| part.to_lowercase()),
        ..Filter::default()
    };
    let woken = wake::all(flow(&admin)?, &filter).await.map_err(|e| unreadable(&e))?;
    Ok(Json(view::Woken { woken }).into_response())
}

/// How it is heard is no matter of the flow's.
fn hear(admin: &Admin, device: &mut view::Device) {
    device.radio = admin.events.feed().radios.of(&device.key()).as_ref().map(radio::Heard::from);
}

fn owner(flow: &Shared, path: OneDevice) -> Result<Owner, Problem> {
    let Path((network, application, device)) = path.map_err(|e| Problem::bad_request(e.body_text()))?;
    flow.claims.owner(&DeviceKey { network, application, device }).ok_or_else(unknown)
}

fn flow(admin: &Admin) -> Result<&Shared, Problem> {
    let why = "this process only takes messages; ask the one that sends them (`--role worker` or `all`)";
    admin.flow.as_deref().ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_worker", why))
}

fn unknown() -> Problem {
    let why = "no device of this name has sent an uplink that had a route and a name; see the dead letters, or `longhaul devices list`";
    Problem::new(StatusCode::NOT_FOUND, "unknown_device", why)
}

fn unreadable(error: &LeaseError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", error.to_string())
}
