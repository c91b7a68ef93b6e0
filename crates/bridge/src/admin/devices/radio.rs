//! How a device is heard. Moments are milliseconds since 1970.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use queue::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{OneDevice, unknown};
use crate::admin::Admin;
use crate::admin::problem::{Problem, Told};
use crate::feed::radio::{Radio, Reception};
use crate::lane::DeviceKey;

/// Its last reception, and what is usual. Nothing of it is there for what is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Heard {
    /// At the gateway that heard it best.
    pub rssi_dbm: Option<i16>,
    /// At the same.
    pub snr_db: Option<f32>,
    /// LoRa's.
    pub spreading_factor: Option<u8>,
    /// Receptions that the network told of; 255 stands for all beyond.
    pub gateways: Option<u8>,
    /// The frame counter.
    pub f_cnt: Option<u32>,
    /// Frames that were sent and never came, since the start.
    pub missed: u32,
    /// From one uplink to the next.
    pub usual_interval_ms: Option<u64>,
}

impl From<&Radio> for Heard {
    fn from(radio: &Radio) -> Self {
        let last = radio.last();
        Self {
            rssi_dbm: last.and_then(|last| last.rssi_dbm),
            snr_db: last.and_then(|last| last.snr_db),
            spreading_factor: last.and_then(|last| last.spreading_factor),
            gateways: last.map(|last| last.gateways),
            f_cnt: last.map(|last| last.f_cnt),
            missed: radio.missed(),
            usual_interval_ms: radio.usual_interval_ms(),
        }
    }
}

/// The last receptions of a device.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::admin) struct Receptions {
    /// Oldest first, 16 at the most.
    receptions: Vec<One>,
    /// Frames that were sent and never came, since the start.
    missed: u32,
    /// From one uplink to the next.
    usual_interval_ms: Option<u64>,
    /// Where the network says that it is.
    location: Option<Location>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Reception)]
struct One {
    /// To the second.
    at: UnixMillis,
    rssi_dbm: Option<i16>,
    snr_db: Option<f32>,
    spreading_factor: Option<u8>,
    gateways: u8,
    f_cnt: u32,
}

impl From<Reception> for One {
    fn from(reception: Reception) -> Self {
        let Reception { at, rssi_dbm, snr_db, spreading_factor, gateways, f_cnt } = reception;
        Self { at, rssi_dbm, snr_db, spreading_factor, gateways, f_cnt }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Location {
    latitude: f64,
    longitude: f64,
    /// Metres.
    altitude: Option<f64>,
}

/// How a device was heard lately.
#[utoipa::path(get, path = "/api/v1/devices/{network}/{application}/{device}/radio", tag = "devices",
    params(("network" = String, Path), ("application" = String, Path), ("device" = String, Path)),
    responses((status = 200, body = Receptions),
    (status = 404, description = "not heard since the start", content_type = "application/problem+json", body = Told)))]
pub(in crate::admin) async fn radio(
    State(admin): State<Arc<Admin>>,
    path: OneDevice,
) -> Result<Json<Receptions>, Problem> {
    let Path((network, application, device)) = path.map_err(|e| Problem::bad_request(e.body_text()))?;
    let radio = admin.events.feed().radios.of(&DeviceKey { network, application, device }).ok_or_else(unknown)?;
    let location = radio.location();
    Ok(Json(Receptions {
        receptions: radio.receptions().map(One::from).collect(),
        missed: radio.missed(),
        usual_interval_ms: radio.usual_interval_ms(),
        location: location.map(|place| Location {
            latitude: place.latitude,
            longitude: place.longitude,
            altitude: place.altitude,
        }),
    }))
}
