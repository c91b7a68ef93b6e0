//! Devices found, looked at and talked to by whoever sits at this machine: twin, messages and methods, as the service SDKs' calls decide.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::json;

use super::{Control, guard, problem};
use crate::cloud::Wanted;
use crate::connections::Ask;
use crate::endpoint::{Endpoint, HubId};
use crate::https::{decoded, json, query};
use crate::hub::Refusal;
use crate::hub::c2d::{Ack, Message};
use crate::hub::method::Invocation;
use crate::service::{Call, TwinVerb, With};

/// Devices on a page when nobody says, and at the most.
const PAGE_DEFAULT: usize = 50;
const PAGE_MAX: usize = 1000;

/// A message to a device.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToDevice {
    /// One is made up when there is none.
    message_id: Option<String>,
    correlation_id: Option<String>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    /// `none`, `positive`, `negative` or `full`.
    ack: Option<String>,
    expires_in_s: Option<i64>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    /// Text, or else bytes.
    body: Option<String>,
    body_base64: Option<String>,
}

impl ToDevice {
    fn message(self, now_ms: i64, id: impl FnOnce() -> String) -> Result<Message, Refusal> {
        let body = match (self.body, self.body_base64) {
            (text, None) => Bytes::from(text.unwrap_or_default()),
            (None, Some(base64)) => {
                STANDARD.decode(base64).map(Bytes::from).map_err(|_| Refusal::argument("body_base64 is not base64"))?
            }
            (Some(_), Some(_)) => return Err(Refusal::argument("body and body_base64: give one of them")),
        };
        let mut properties = self.properties;
        if let Some(ack) = self.ack {
            properties.insert(Ack::PROPERTY.to_owned(), ack);
        }
        let message = Message {
            message_id: Some(self.message_id.unwrap_or_else(id)),
            correlation_id: self.correlation_id,
            content_type: self.content_type,
            content_encoding: self.content_encoding,
            expiry_ms: self.expires_in_s.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000))),
            properties,
            body,
            ..Message::default()
        };
        message.checked()
    }
}

impl Control {
    /// `?search=&hub=&after=&limit=`
    pub(super) fn list(&self, ask: &Ask) -> Response<Full<Bytes>> {
        let (hub, search) = (query(ask, "hub"), query(ask, "search").unwrap_or_default().to_lowercase());
        let only = hub.as_deref().filter(|hub| !hub.is_empty()).map(|hub| self.cloud.hub_named(hub));
        if only == Some(None) {
            return problem(StatusCode::NOT_FOUND, "hub: there is none of this name");
        }
        let after = query(ask, "after");
        let after = match after.as_deref().map(|after| self.place(after)) {
            None => None,
            Some(Some(place)) => Some(place),
            Some(None) => return problem(StatusCode::BAD_REQUEST, "after: give `next` of the page before"),
        };
        let limit = query(ask, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE_DEFAULT);
        let wanted = Wanted { hub: only.flatten(), search: &search, after, limit: limit.clamp(1, PAGE_MAX) };
        let (devices, next) = self.cloud.list(&wanted);
        let next = next.map(|(hub, id)| format!("{}/{id}", self.cloud.hub(hub).name()));
        json(StatusCode::OK, &json!({"devices": devices, "next": next}))
    }

    /// `hub/device`, neither of which has a slash.
    fn place<'a>(&self, text: &'a str) -> Option<(HubId, &'a str)> {
        let (hub, id) = text.split_once('/')?;
        Some((self.cloud.hub_named(hub)?, id))
    }

    /// `GET` and `POST` (a patch) of `twin`, `POST` of `messages` and `methods`.
    pub(super) async fn talk(&self, ask: &Ask, id: &str, what: &str) -> Response<Full<Bytes>> {
        let (id, method) = (decoded(id), &ask.parts.method);
        let is_read = method == Method::GET && what == "twin";
        if !is_read && method != Method::POST {
            return problem(StatusCode::METHOD_NOT_ALLOWED, "method: not one for this address");
        }
        if !is_read && !guard::is_json(ask) {
            return problem(StatusCode::FORBIDDEN, "content-type: send it as `application/json`");
        }
        let Ok(body) = &ask.body else { return problem(StatusCode::PAYLOAD_TOO_LARGE, "body: could not be read") };
        let endpoint = match self.hub_of(ask, &id) {
            Ok(hub) => Endpoint::device(hub, id),
            Err(problem) => return *problem,
        };
        let answer = match what {
            "twin" => self.twin(&endpoint, if is_read { TwinVerb::Get } else { TwinVerb::Patch }, body),
            "messages" => self.send_to(&endpoint, body),
            _ => self.call(&endpoint, body).await,
        };
        answer.unwrap_or_else(|refusal| refused(&refusal))
    }

    fn twin(&self, endpoint: &Endpoint, verb: TwinVerb, body: &[u8]) -> Result<Response<Full<Bytes>>, Refusal> {
        let call = Call::Twin(verb, endpoint.clone());
        let answer = self.cloud.owner_at_hand(endpoint.hub, &call, &With { body, ..With::default() })?;
        Ok(json(StatusCode::OK, &answer.body))
    }

    fn send_to(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Response<Full<Bytes>>, Refusal> {
        let wish: ToDevice = serde_json::from_slice(body)
            .map_err(|error| Refusal::argument(&format!("The body is not a message to a device: {error}")))?;
        let message = wish.message(self.cloud.now_ms(), || self.cloud.random().guid())?;
        let id = message.message_id.clone();
        self.cloud.send_c2d(endpoint.hub, &endpoint.device, message)?;
        let waiting = self.cloud.c2d_waiting(endpoint);
        Ok(json(StatusCode::OK, &json!({"message_id": id, "waiting": waiting})))
    }

    /// The body is that of the service API: `methodName`, `payload`, `responseTimeoutInSeconds`, `connectTimeoutInSeconds`.
    async fn call(&self, endpoint: &Endpoint, body: &[u8]) -> Result<Response<Full<Bytes>>, Refusal> {
        let invocation = Invocation::parse(body)?;
        let (response_within, connect_within) = (invocation.response_within, invocation.connect_within);
        if !connect_within.is_zero() {
            self.cloud.directory().hears_methods_within(endpoint, connect_within).await;
        }
        let answer = self.cloud.invoke(endpoint, invocation)?.answer(response_within).await?;
        let mut response = json(StatusCode::OK, &());
        *response.body_mut() = Full::new(answer.body());
        Ok(response)
    }
}

/// As the hub would refuse an SDK, in the shape of this API.
fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(
        status,
        &json!({"status": status.as_u16(), "title": refusal.name, "code": refusal.code, "detail": refusal.text}),
    )
}
