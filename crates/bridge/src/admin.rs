//! The admin listener: page, metrics, probes, `/api/v1`. Reads snapshots only; nothing in the flow waits for it.

mod alarms; // what must a human look at
pub mod backup; // a copy of all that is kept
mod configuration; // what is in force
pub mod dead_letters; // what could not be sent, and what becomes of it
pub mod devices; // who is there, and how it stands
mod guard; // who may ask
pub mod live; // what happens now
mod map; // where devices are
mod messages; // where a message is
mod metrics; // counters and gauges
mod page; // for people
mod problem; // what went wrong
pub mod takeover; // what stood in the predecessor's queue
mod targets; // where it goes, and where it comes from
pub mod verify; // is it what was written

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use prometheus_client::registry::Registry;
use queue::{Queue, UnixMillis};
use serde::Serialize;
use tokio::sync::watch;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use self::live::Live;
use crate::alarms::{Alarms, Outlook};
use crate::app::Role;
use crate::config::Config;
use crate::device::Shared;
use crate::events::Events;
use crate::feed::Recent;
use crate::pool::Standing;
use crate::provision::scope::Progress;
use crate::swap::Swap;
use crate::webhook::keys::Keys;
use crate::world::World;

/// Bytes of a request's body: a filter is a few dozens.
const BODY_MAX: usize = 4096;

/// What the admin pages read.
#[derive(Debug)]
pub struct Admin {
    /// Depths and health of the queue.
    pub queue: Queue,
    /// What a human must know; how long the queue will have room.
    pub alarms: Arc<Alarms>,
    /// Feed of the recent past.
    pub events: Events,
    /// Hubs, assignments, claims. None while the process only takes messages.
    pub flow: Option<Arc<Shared>>,
    /// Required beyond loopback; probes go without. No entry: open.
    pub token: Arc<Swap<Keys>>,
    /// The counters that events move.
    pub metrics: Mutex<Registry>,
    /// One request takes messages over at a time.
    pub takeovers: tokio::sync::Mutex<()>,
    /// True once the process is about to go.
    pub leaving: watch::Receiver<bool>,
    /// What is in force, and since when.
    pub config: Arc<Swap<Config>>,
    /// See [`Admin::config`].
    pub loaded_at: Arc<AtomicI64>,
    /// Ticks for whoever listens.
    pub live: Live,
    /// Which part of the bridge this is.
    pub role: Role,
    /// When it was started.
    pub started_at: UnixMillis,
    /// Its clock.
    pub world: World,
}

/// The whole picture. Moments are milliseconds since 1970.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Snapshot {
    now: UnixMillis,
    started_at: UnixMillis,
    version: &'static str,
    /// `webhook`, `worker` or `all`.
    role: &'static str,
    queue: Depths,
    #[schema(value_type = Vec<HubStanding>)]
    hubs: Vec<Standing>,
    devices_assigned: usize,
    /// One for each scope that was asked since the start.
    provisioning: Vec<Progress>,
    recent: Recent,
    alarms: AlarmCount,
}

/// Alarms in a number.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AlarmCount {
    /// Somebody should look at these.
    active: u64,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
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

/// [`Standing`] as it is written, with its links beside the rest.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "describes what another type writes")]
struct HubStanding {
    /// Host and port.
    hub: String,
    /// It works, as far as is known.
    open: bool,
    refuses_many: bool,
    /// Lanes that rest until it works.
    resting: usize,
    transport: String,
    /// Absent where the transport keeps no connections, as all that follows.
    connections: Option<usize>,
    attached: Option<usize>,
    opening: Option<usize>,
    unsettled: Option<usize>,
    waiting: Option<usize>,
    stolen: Option<usize>,
    renewals: Option<u64>,
    pace_per_second: Option<u64>,
}

/// The API and its description: what is not in the one is not in the other.
fn api() -> OpenApiRouter<Arc<Admin>> {
    let info = InfoBuilder::new().title("longhaul").version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some(
        "What a running bridge tells, and what it can be told. Not served beyond its own admin listener.",
    ));
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info.build()).build())
        .routes(routes!(snapshot))
        .routes(routes!(live::live))
        .routes(routes!(live::series))
        .routes(routes!(messages::list))
        .routes(routes!(messages::show))
        .routes(routes!(targets::list))
        .routes(routes!(map::map))
        .routes(routes!(alarms::list))
        .routes(routes!(configuration::show))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::discard))
        .routes(routes!(dead_letters::import).layer(DefaultBodyLimit::max(dead_letters::IMPORT_BYTES_MAX)))
        .routes(routes!(verify::verify))
        .routes(routes!(backup::backup))
        .routes(routes!(takeover::take_over).layer(DefaultBodyLimit::max(takeover::BODY_MAX)))
        .routes(routes!(devices::list))
        .routes(routes!(devices::retry))
        .routes(routes!(devices::provision::provision).layer(DefaultBodyLimit::max(devices::provision::BODY_MAX)))
        .routes(routes!(devices::show))
        .routes(routes!(devices::radio::radio))
        .routes(routes!(devices::retry_one))
}

/// What the API is, in OpenAPI 3.1.
pub fn description() -> OpenApi {
    api().into_openapi()
}

/// All routes.
pub fn router(admin: Arc<Admin>) -> Router {
    let (api, description) = api().split_for_parts();
    let guarded = api
        .route("/api/v1/openapi.json", get(async move || Json(description)))
        .route("/", get(page::file))
        .route("/kit/{file}", get(page::file))
        .route("/page/{file}", get(page::file))
        .route("/metrics", get(metrics::metrics))
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

/// The whole picture.
#[utoipa::path(get, path = "/api/v1/snapshot", tag = "overview", responses((status = 200, body = Snapshot)))]
async fn snapshot(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    Json(admin.snapshot())
}

impl Admin {
    fn snapshot(&self) -> Snapshot {
        let q = self.queue.stats();
        Snapshot {
            now: self.world.now(),
            started_at: self.started_at,
            version: env!("CARGO_PKG_VERSION"),
            role: self.role.word(),
            alarms: AlarmCount { active: self.alarms_active() },
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
                outlook: self.alarms.outlook(),
            },
            hubs: self.flow.as_ref().map_or_else(Vec::new, |flow| flow.pool.standing()),
            devices_assigned: self.flow.as_ref().map_or(0, |flow| flow.provision.assigned()),
            provisioning: self.flow.as_ref().map_or_else(Vec::new, |flow| flow.provision.progress()),
            recent: self.events.feed().recent(),
        }
    }
}
