//! The metrics: counters that events move, and gauges that are set when somebody looks.

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use azure::hub::amqp::Links;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Admin, Snapshot};
use crate::provision::scope::Progress;

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
    hubs_refusing: Gauge,
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
        registry.register("hubs_refusing", "Hubs that refuse many devices at once", g.hubs_refusing.clone());
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

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
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
        set(&g.hubs_refusing, picture.hubs.iter().filter(|h| h.refuses_many).count() as u64);
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
