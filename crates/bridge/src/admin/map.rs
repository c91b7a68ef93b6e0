//! `GET /api/v1/map`: where devices are, and how well they are heard there.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use queue::UnixMillis;
use serde::Serialize;

use super::Admin;
use crate::lane::DeviceKey;

/// Devices in one answer, about 100 bytes each; those that were heard last.
const SHOWN_MAX: usize = 20_000;

type Row = (String, String, String, f64, f64, Option<i16>, UnixMillis);

/// Devices on the earth.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Map {
    /// Each as network, application, device, latitude, longitude, dBm of the last reception or null, and when it was heard last.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    devices: Vec<Row>,
    /// Devices whose place is known.
    total: usize,
    /// How many of them are here.
    shown: usize,
}

/// Devices whose place the network tells, the last heard first.
#[utoipa::path(get, path = "/api/v1/map", tag = "devices", responses((status = 200, body = Map)))]
pub(super) async fn map(State(admin): State<Arc<Admin>>) -> Json<Map> {
    let mut found = Vec::new();
    admin.events.feed().radios.each(|seen| {
        found.extend(seen.location.map(|place| (seen.last_uplink_at, seen.device, place, seen.rssi_dbm)));
    });
    let total = found.len();
    found.sort_by(|one, other| (Reverse(one.0), &one.1).cmp(&(Reverse(other.0), &other.1)));
    found.truncate(SHOWN_MAX);
    let row = |(at, device, place, rssi): (UnixMillis, Arc<DeviceKey>, lorawan::heard::Location, Option<i16>)| {
        let DeviceKey { network, application, device } = (*device).clone();
        (network, application, device, place.latitude, place.longitude, rssi, at)
    };
    let devices: Vec<Row> = found.into_iter().map(row).collect();
    Json(Map { shown: devices.len(), devices, total })
}
