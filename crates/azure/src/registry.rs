//! The registry of a hub, as far as a bridge needs it: a device is to be there.
//!
//! ```text
//! PUT /devices/{id}?api-version=…  {"deviceId":"…","status":"enabled","authentication":{…}}
//!     200 made | 409 there already | 401 the policy may not, or its key is wrong
//! ```
//! Without `If-Match` nothing that is there is changed. Keys are left to the hub to make: devices of a policy sign with
//! the policy's. (IoT Hub's REST API definition; Microsoft's Node SDK makes devices with empty keys as well.)

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use serde_json::json;

use crate::UnixSeconds;
use crate::dps::{Class, TRANSIENT_WAIT_MIN};
use crate::exchange::{Exchange, Limits};
use crate::hub::https::API_VERSION;
use crate::net::{Dial, Endpoint};
use crate::sas::{RESERVED, Token};
use crate::service_error::{ServiceError, retry_after, server_time};

/// Connections to one registry. It takes 100 calls a minute, each of a few milliseconds.
const CONNECTIONS: usize = 4;

/// Why a device could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What follows from it.
    pub class: Class,
    /// What the hub said.
    pub error: ServiceError,
    /// The hub's clock when it answered.
    pub server_time: Option<UnixSeconds>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the hub's registry did not make the device ({}): {}", self.class.word(), self.error)
    }
}

impl std::error::Error for Refusal {}

/// Talks to the registry of one hub. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Registry {
    exchange: Exchange,
    host: HeaderValue,
}

impl Registry {
    /// Opens nothing yet. HTTPS.
    pub fn new(endpoint: Endpoint, dial: Arc<dyn Dial>) -> Self {
        let host = HeaderValue::try_from(endpoint.authority()).unwrap_or(HeaderValue::from_static("invalid"));
        let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
        Self { exchange: Exchange::new(endpoint, dial, limits), host }
    }

    /// Sees to it that the device is there, at most connect + 2 × answer timeout later. `token` as
    /// [`crate::sas::policy_token`] makes it. Gives the hub's clock.
    ///
    /// # Errors
    /// [`Refusal`] says what follows.
    pub async fn create(&self, device_id: &str, token: &Token) -> Result<Option<UnixSeconds>, Refusal> {
        let answer = self.exchange.ask(self.request(device_id, token)).await.map_err(|trouble| Refusal {
            class: Class::Transient { retry_after: TRANSIENT_WAIT_MIN },
            error: ServiceError::of(trouble.to_string()),
            server_time: None,
        })?;
        answered(answer.status, &answer.headers, &answer.body)
    }

    fn request(&self, device_id: &str, token: &Token) -> Request<Full<Bytes>> {
        let keys = json!({"primaryKey": "", "secondaryKey": ""});
        let authentication = json!({"type": "sas", "symmetricKey": keys});
        let device = json!({"deviceId": device_id, "status": "enabled", "authentication": authentication});
        Request::builder()
            .method(Method::PUT)
            .uri(format!("/devices/{}?api-version={API_VERSION}", utf8_percent_encode(device_id, RESERVED)))
            .header(HOST, self.host.clone())
            .header(AUTHORIZATION, token.as_header().clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(USER_AGENT, crate::USER_AGENT)
            .body(Full::new(device.to_string().into()))
            .expect("the id is percent-encoded and headers are valid as they are")
    }
}

/// PURE: what an answer means.
fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Option<UnixSeconds>, Refusal> {
    let server_time = server_time(headers);
    let retry_after = retry_after(headers);
    let class = match status.as_u16() {
        200 | 201 | 204 | 409 => return Ok(server_time),
        400 | 413 => Class::BadRequest,
        401 => Class::Denied,
        403 => Class::Failed, // as many devices as the hub takes, or not in this tier
        404 => Class::NotFound,
        429 => Class::Throttled { retry_after },
        _ => Class::Transient { retry_after: retry_after.unwrap_or_default().max(TRANSIENT_WAIT_MIN) },
    };
    Err(Refusal { class, error: ServiceError::read(headers, body), server_time })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16) -> Option<Class> {
        answered(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), b"").err().map(|refusal| refusal.class)
    }

    #[test]
    fn a_device_that_is_there_is_as_good_as_one_that_was_made() {
        assert_eq!((class(200), class(409)), (None, None));
    }

    #[test]
    fn refusals_are_told_apart_by_what_follows() {
        assert_eq!(class(401), Some(Class::Denied));
        assert_eq!(class(403), Some(Class::Failed));
        assert_eq!(class(429), Some(Class::Throttled { retry_after: None }));
        assert_eq!(class(503), Some(Class::Transient { retry_after: TRANSIENT_WAIT_MIN }));
        assert_eq!(class(418), Some(Class::Transient { retry_after: TRANSIENT_WAIT_MIN }), "of something in between");
    }

    #[test]
    fn the_refusal_says_what_the_hub_said() {
        let body =
            br#"{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized","ExceptionMessage":"Tracking ID:x"}"#;
        let refusal = answered(StatusCode::UNAUTHORIZED, &HeaderMap::new(), body).unwrap_err();
        assert!(refusal.to_string().contains("(denied): IotHubUnauthorizedAccess"), "{refusal}");
    }
}
