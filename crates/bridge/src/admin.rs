//! The admin listener: page, metrics, probes, `/api/v1`. Reads snapshots only; nothing in the flow waits for it.

mod page;

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use azure::hub::amqp::Links;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use queue::Queue;
use serde::Serialize;

use crate::events::Events;
use crate::feed::Recent;
use crate::pool::{Pool, Standing};
use crate::provision::Provision;
use crate::provision::scope::Progress;
use crate::swap::Swap;
use crate::webhook::keys::Keys;

/// Dead letters in one answer.
const DEAD_LETTERS_MAX: usize = 100;

/// What the admin pages read.
#[derive(Debug)]
pub struct Admin {
    /// Depths and health of the queue.
    pub queue: Queue,
    /// Feed of the recent past.
    pub events: Events,
    /// Hubs. None while the process only takes messages.
    pub pool: Option<Arc<Pool>>,
    /// Assignments.
    pub provision: Option<Arc<Provision>>,
    /// Required beyond loopback; probes go without. No entry: open.
    pub token: Arc<Swap<Keys>>,
    /// All metrics.
    pub metrics: Mutex<Registry>,
    /// Gauges set when somebody looks.
    pub gauges: Gauges,
}

/// Depths, read from the queue at each scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    waiting: Gauge,
    waiting_bytes: Gauge,
    leased: Gauge,
    dead_letters: Gauge,
    kept: Gauge,
    writable: Gauge,
    hubs_down: Gauge,
    hub_connections: Gauge,
    hub_devices_attached: Gauge,
    hub_devices_attaching: Gauge,
    hub_unsettled: Gauge,
    hub_tokens_renewed: Gauge,
    devices: Gauge,
    registering: Gauge,
    registrations_waiting: Gauge,
    registrations_waiting_ahead: Gauge,
    dropped_leases: Gauge,
    dead_letters_gone: Gauge,
    kept_gone: Gauge,
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
}

impl Gauges {
    /// Gauges registered below `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let g = Self::default();
        registry.register("queue_waiting", "Messages in lanes", g.waiting.clone());
        registry.register("queue_waiting_bytes", "Their bytes", g.waiting_bytes.clone());
        registry.register("queue_leased", "Messages being worked on", g.leased.clone());
        registry.register("dead_letters", "Dead letters kept", g.dead_letters.clone());
        registry.register("queue_kept", "Events set aside that are still there", g.kept.clone());
        registry.register("queue_writable", "1 when a put can be made durable", g.writable.clone());
        registry.register("hubs_down", "Hubs that do not work", g.hubs_down.clone());
        registry.register("hub_connections", "AMQP connections to hubs", g.hub_connections.clone());
        registry.register("hub_devices_attached", "Devices with a link", g.hub_devices_attached.clone());
        registry.register("hub_devices_attaching", "Devices on their way to one", g.hub_devices_attaching.clone());
        registry.register("hub_unsettled", "Messages that wait for a hub's word", g.hub_unsettled.clone());
        registry.register("hub_tokens_renewed", "Tokens renewed since the start", g.hub_tokens_renewed.clone());
        registry.register("devices_assigned", "Devices with a hub", g.devices.clone());
        registry.register("registrations_under_way", "Devices being registered", g.registering.clone());
        registry.register(
            "registrations_waiting",
            "Devices in line to be registered, with messages in the queue",
            g.registrations_waiting.clone(),
        );
        registry.register(
            "registrations_waiting_ahead",
            "Devices in line to be registered ahead of their first message",
            g.registrations_waiting_ahead.clone(),
        );
        registry.register(
            "dead_letters_gone",
            "Dead letters pushed out by newer ones or by age",
            g.dead_letters_gone.clone(),
        );
        registry.register("queue_kept_gone", "Kept events pushed out", g.kept_gone.clone());
        registry.register("dropped_leases", "Leases dropped unsettled; a bug", g.dropped_leases.clone());
        g
    }
}

/// All routes.
pub fn router(admin: Arc<Admin>) -> Router {
    let guarded = Router::new()
        .route("/", get(page::page))
        .route("/page.js", get(page::script))
        .route("/metrics", get(metrics))
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/dead-letters", get(dead_letters))
        .route_layer(middleware::from_fn_with_state(admin.clone(), require_token))
        .route_layer(middleware::from_fn_with_state(admin.clone(), require_local_name));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(guarded)
        .layer(middleware::map_response(harden))
        .with_state(admin)
}

/// Without a token we are on loopback, where any page in a browser on this machine can reach us under a name that its
/// owner made up (DNS rebinding): only names of this machine are answered.
async fn require_local_name(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !admin.token.get().is_open() || is_local_name(host) {
        return next.run(request).await;
    }
    (StatusCode::FORBIDDEN, "without admin.token only localhost is answered\n").into_response()
}

fn is_local_name(host: &str) -> bool {
    let name =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(n, _)| n);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.is_loopback())
}

/// The token comes in the forms in which a webhook key comes; as the password of Basic a browser can give it.
async fn require_token(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if admin.token.get().admit(request.headers(), None).is_some() {
        return next.run(request).await;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"longhaul: the password is admin.token\"")];
    (StatusCode::UNAUTHORIZED, ask, "admin.token is required\n").into_response()
}

/// The page shows strings that devices made up: nothing but our own script may run, and nobody may frame it.
async fn harden(mut response: Response) -> Response {
    const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                       frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// 200 exactly when a put can be made durable. Azure's state is detail: an orchestrator that took the webhook away
/// because a hub is down would lose messages.
async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let picture = admin.snapshot();
    let status = if picture.queue.writable { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "writable": picture.queue.writable, "trouble": picture.queue.trouble,
        "waiting": picture.queue.waiting, "hubs": picture.hubs,
    });
    (status, Json(body)).into_response()
}

async fn snapshot(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    Json(admin.snapshot())
}

#[derive(serde::Deserialize)]
struct Page {
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

async fn dead_letters(State(admin): State<Arc<Admin>>, Query(page): Query<Page>) -> Response {
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

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let picture = admin.snapshot();
    admin.set_gauges(&picture);
    let mut text = String::new();
    let registry = admin.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    (headers, text).into_response()
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
            },
            hubs: self.pool.as_ref().map_or_else(Vec::new, |p| p.standing()),
            devices_assigned: self.provision.as_ref().map_or(0, |p| p.assigned()),
            provisioning: self.provision.as_ref().map_or_else(Vec::new, |p| p.progress()),
            recent: self.events.feed().recent(),
        }
    }

    fn set_gauges(&self, picture: &Snapshot) {
        let g = &self.gauges;
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&g.waiting, picture.queue.waiting);
        set(&g.waiting_bytes, picture.queue.waiting_bytes);
        set(&g.leased, picture.queue.leased);
        set(&g.dead_letters, picture.queue.dead_letters);
        set(&g.kept, picture.queue.kept);
        set(&g.dead_letters_gone, picture.queue.dead_letters_gone);
        set(&g.kept_gone, picture.queue.kept_gone);
        set(&g.writable, u64::from(picture.queue.writable));
        set(&g.hubs_down, picture.hubs.iter().filter(|h| !h.open).count() as u64);
        let all = |figure: fn(&Links) -> u64| picture.hubs.iter().filter_map(|h| h.links.as_ref()).map(figure).sum();
        set(&g.hub_connections, all(|links| links.connections as u64));
        set(&g.hub_devices_attached, all(|links| links.attached as u64));
        set(&g.hub_devices_attaching, all(|links| links.opening as u64));
        set(&g.hub_unsettled, all(|links| links.unsettled as u64));
        set(&g.hub_tokens_renewed, all(|links| links.renewals));
        set(&g.devices, picture.devices_assigned as u64);
        let all = |figure: fn(&Progress) -> usize| picture.provisioning.iter().map(figure).sum::<usize>() as u64;
        set(&g.registering, all(|scope| scope.under_way));
        set(&g.registrations_waiting, all(|scope| scope.waiting));
        set(&g.registrations_waiting_ahead, all(|scope| scope.waiting_ahead));
        set(&g.dropped_leases, self.queue.stats().dropped_leases);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "127.0.0.2", "[::1]:8081", "[::1]"] {
            assert!(is_local_name(local), "{local}");
        }
        for other in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]:1"]
        {
            assert!(!is_local_name(other), "{other}");
        }
    }
}
