//! `/metrics`: the counters that events move, and a sheet of what is so at the moment of the scrape.
//!
//! Each name, its unit and its labels stand in docs/metrics.md, which a test holds against a running bridge. Nothing is kept between
//! two scrapes, so that nothing is told of a hub that is gone.

mod format; // OpenMetrics or not
mod process; // what the system says of this process
mod sheet; // what is so now

use std::fmt;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::{encode_eof, encode_registry};

use self::format::Format;
use self::sheet::Look;
use super::Admin;

pub(super) async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::wanted(accept);
    match admin.openmetrics() {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], format.write(text)).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Admin {
    fn openmetrics(&self) -> Result<String, fmt::Error> {
        let hubs = self.flow.as_ref().map_or_else(Vec::new, |flow| flow.pool.standing());
        let config = self.config.get();
        let look = Look {
            queue: self.queue.stats(),
            outlook: self.alarms.outlook(),
            days: hubs.iter().map(|hub| self.today(hub, &config)).collect(),
            hubs,
            scopes: self.flow.as_ref().map_or_else(Vec::new, |flow| flow.provision.progress()),
            devices_assigned: self.flow.as_ref().map_or(0, |flow| flow.provision.assigned()),
            leaving: *self.leaving.borrow(),
            process: process::look(),
            started_at: self.started_at,
            now: self.world.now(),
        };
        let mut text = String::new();
        encode_registry(&mut text, &self.metrics.lock().unwrap_or_else(PoisonError::into_inner))?;
        encode_registry(&mut text, &sheet::of(&look, self.events.names()))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}
