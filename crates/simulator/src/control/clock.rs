//! The time, and putting it forward.

use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;

use super::{Bytes, Control, problem};
use crate::connections::Ask;
use crate::https::json;
use crate::identity::timestamp;

/// How far the time is to go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leap {
    forward_s: i64,
}

impl Control {
    pub(super) fn clock(&self) -> Response<Full<Bytes>> {
        let (now, ahead_s) = (timestamp(self.cloud.now_ms()).to_string(), self.cloud.ahead_s());
        json(StatusCode::OK, &json!({"now": now, "ahead_s": ahead_s}))
    }

    pub(super) fn put_clock_forward(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let Ok(body) = &ask.body else { return problem(StatusCode::PAYLOAD_TOO_LARGE, "body: could not be read") };
        let Leap { forward_s } = match serde_json::from_slice(body) {
            Ok(leap) => leap,
            Err(error) => {
                let detail = format!("body: {error}; write {{\"forward_s\": 61}}, whole seconds");
                return problem(StatusCode::BAD_REQUEST, &detail);
            }
        };
        match self.cloud.forward(forward_s) {
            Ok(()) => self.clock(),
            Err(error) => problem(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
}
