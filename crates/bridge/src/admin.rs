//! The admin listener: page, metrics, probes, `/api/v1`. Reads snapshots only; nothing in the flow waits for it.

pub mod backup; // a copy of all that is kept
pub mod dead_letters; // what could not be sent, and what becomes of it
pub mod devices; // who is there, and how it stands
mod guard; // who may ask
mod metrics; // counters and gauges
mod page; // for people
mod problem; // what went wrong
pub mod verify; // is it what was written

use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use prometheus_client::registry::Registry;
use queue::Queue;
use serde::Serialize;
use tokio::sync::watch;

pub use metrics::Gauges;

use crate::alarm::{Outlook, Seen};
use crate::device::Shared;
use crate::events::Events;
use crate::feed::Recent;
use crate::pool::Standing;
use crate::provision::scope::Progress;
use crate::swap::Swap;
use crate::webhook::keys::Keys;

/// Bytes of a request's body: a filter is a few dozens.
const BODY_MAX: usize = 4096;

/// What the admin pages read.
#[derive(Debug)]
pub struct Admin {
    /// Depths and health of the queue.
    pub queue: Queue,
    /// How long it will have room.
    pub seen: Arc<Seen>,
    /// Feed of the recent past.
    pub events: Events,
    /// Hubs, assignments, claims. None while the process only takes messages.
    pub flow: Option<Arc<Shared>>,
    /// Required beyond loopback; probes go without. No entry: open.
    pub token: Arc<Swap<Keys>>,
    /// All metrics.
    pub metrics: Mutex<Registry>,
    /// Gauges set when somebody looks.
    pub gauges: Gauges,
    /// True once the process is about to go.
    pub leaving: watch::Receiver<bool>,
}

/// The whole picture.
#[derive(Debug, Serialize)]
struct Snapshot {
    queue: Depths,
    hubs: Vec<Standing>,
    devices_assigned: usize,
    /// One for each scope that was asked since the start.
    provisioning: Vec<Progress>,
    recent: Recent,
}

#[derive(Debug, Serialize)]
struct Depths {
    waiting: u64,
    waiting_bytes: u64,
    leased: u64,
    lanes: u64,
    oldest_accepted_at: Option<i64>,
    dead_letters: u64,
    dead_letters_gone: u64,
    kept: u64,
    kept_gone: u64,
    writable: bool,
    trouble: Option<String>,
    /// None in the first seconds.
    outlook: Option<Outlook>,
}

/// All routes.
pub fn router(admin: Arc<Admin>) -> Router {
    let guarded = Router::new()
        .route("/", get(page::file))
        .route("/kit/{file}", get(page::file))
        .route("/page/{file}", get(page::file))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/dead-letters", get(dead_letters::list))
        .route("/api/v1/dead-letters/{seq}", get(dead_letters::show))
        .route("/api/v1/dead-letters/replay", post(dead_letters::replay))
        .route("/api/v1/dead-letters/drop", post(dead_letters::discard))
        .route(
            "/api/v1/dead-letters/import",
            post(dead_letters::import).layer(DefaultBodyLimit::max(dead_letters::IMPORT_BYTES_MAX)),
        )
        .route("/api/v1/queue/verify", get(verify::verify))
        .route("/api/v1/queue/backup", post(backup::backup))
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/devices/retry", post(devices::retry))
        .route(
            "/api/v1/devices/provision",
            post(devices::provision::provision).layer(DefaultBodyLimit::max(devices::provision::BODY_MAX)),
        )
        .route("/api/v1/devices/{network}/{application}/{device}", get(devices::show))
        .route("/api/v1/devices/{network}/{application}/{device}/retry", post(devices::retry_one))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .route_layer(middleware::from_fn(guard::require_own_page))
        .route_layer(middleware::from_fn_with_state(admin.clone(), guard::require_token))
        .route_layer(middleware::from_fn_with_state(admin.clone(), guard::require_local_name));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .layer(middleware::map_response(guard::harden))
        .with_state(admin)
}

/// 200 exactly when a put can be made durable and this process does not leave. Azure's state is detail: an orchestrator that took the webhook away
/// because a hub is down would lose messages.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let picture = admin.snapshot();
    let leaving = *admin.leaving.borrow();
    let status = if picture.queue.writable && !leaving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "leaving": leaving, "writable": picture.queue.writable, "trouble": picture.queue.trouble,
        "waiting": picture.queue.waiting, "hubs": picture.hubs,
    });
    (status, Json(body)).into_response()
}

async fn snapshot(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    Json(admin.snapshot())
}

impl Admin {
    fn snapshot(&self) -> Snapshot {
        let q = self.queue.stats();
        Snapshot {
            queue: Depths {
                waiting: q.waiting,
                waiting_bytes: q.waiting_bytes,
                leased: q.leased,
                lanes: q.lanes,
                oldest_accepted_at: q.oldest_accepted_at,
                dead_letters: q.dead_letters,
                dead_letters_gone: q.dead_letters_gone,
                kept: q.kept,
                kept_gone: q.kept_gone,
                writable: q.writable,
                trouble: q.trouble,
                outlook: self.seen.outlook(),
            },
            hubs: self.flow.as_ref().map_or_else(Vec::new, |flow| flow.pool.standing()),
            devices_assigned: self.flow.as_ref().map_or(0, |flow| flow.provision.assigned()),
            provisioning: self.flow.as_ref().map_or_else(Vec::new, |flow| flow.provision.progress()),
            recent: self.events.feed().recent(),
        }
    }
}
