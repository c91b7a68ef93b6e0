//! Both services over HTTPS: addresses to calls, answers to statuses and headers. Decides nothing about devices.
//!
//! Promises: each answer has the status, headers and body of the real service as far as they are known. Told apart by
//! path, not by host name: one address serves both, which is what unpatched SDKs need on one machine.

mod c2d; // messages to devices, and feedback on them
mod methods; // direct methods
mod owner; // the owner's side

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::amqp::Peer;
use crate::cloud::{Accepted, Cloud, DpsCall};
use crate::connections::{Answers, Ask, Cut, Reply, Unread};
use crate::dps;
use crate::driver::drive;
use crate::endpoint::{Endpoint, HubId};
use crate::faults::{Outage, Weather};
use crate::hub::{self, Telemetry};
use crate::mqtt::Session;
use crate::sockets::{Plug, Wire};
use crate::websocket::{self, AMQP, MQTT, WebSocket};

/// The content type that makes a body a batch.
const BATCH_TYPE: &str = "application/vnd.microsoft.iothub.json";
/// How long a silent connection is held when the hub is to hang; clients give up long before.
const HANG_MAX: Duration = Duration::from_secs(600);

/// The services behind the socket.
pub(crate) struct Https {
    pub(crate) cloud: Arc<Cloud>,
}

impl Answers for Https {
    fn now_ms(&self) -> i64 {
        self.cloud.now_ms()
    }

    async fn answer(self: Arc<Self>, ask: Ask) -> Reply {
        let path: Vec<String> = ask.parts.uri.path().split('/').skip(1).map(decoded).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [scope, "registrations", id, rest @ ..] => self.dps(&ask, scope, id, rest).await,
            ["devices", id, "messages", rest @ ..] => {
                self.hub(&ask, &Endpoint::device(self.hub_of(&ask), *id), rest).await
            }
            ["devices", id, "commands"] => self.commands(&ask, &Endpoint::device(self.hub_of(&ask), *id)).await,
            ["twins", id, "methods"] => self.invoke(&ask, &Endpoint::device(self.hub_of(&ask), *id)).await,
            ["twins", id, "modules", module, "methods"] => {
                self.invoke(&ask, &Endpoint::module(self.hub_of(&ask), *id, *module)).await
            }
            ["devices" | "twins" | "statistics", ..] => self.owner(&ask, &path).await,
            ["messages", bound, feedback, below @ ..]
                if bound.eq_ignore_ascii_case("serviceBound") && feedback.eq_ignore_ascii_case("feedback") =>
            {
                self.feedback(&ask, below).await
            }
            ["$iothub", "websocket"] => Ok(websocket::answer(&ask.parts.headers, &[AMQP, MQTT])),
            // Python's service SDK dials it with a slash at the end.
            ["$servicebus", "websocket"] | ["$servicebus", "websocket", ""] => {
                Ok(websocket::answer(&ask.parts.headers, &[AMQP]))
            }
            _ => Ok(self.hub_error(&nothing())),
        }
    }

    async fn upgraded(&self, wire: impl Wire, spoken: &str, plug: Plug) {
        let (wire, cloud) = (WebSocket::server(wire).await, Arc::clone(&self.cloud));
        if spoken == MQTT { drive::<Session>(wire, cloud, plug).await } else { drive::<Peer>(wire, cloud, plug).await }
    }
}

/// The provisioning service.
impl Https {
    async fn dps(&self, ask: &Ask, scope: &str, id: &str, rest: &[&str]) -> Reply {
        let unavailable = || self.dps_error(&dps::Refusal::new(503, 503_001, "Service unavailable"));
        if let Some(reply) = stand(self.cloud.dps_weather(), unavailable).await {
            return reply;
        }
        let version = query(ask, "api-version");
        let authorization = text(&ask.parts.headers, header::AUTHORIZATION);
        let call = DpsCall { api_version: version.as_deref(), scope, registration_id: id, authorization };
        let response = match (&ask.parts.method, rest) {
            (&Method::PUT, ["register"]) => self.register(&call, ask),
            (&Method::GET, ["operations", operation]) => self.cloud.poll(&call, operation).map(|a| self.operation(&a)),
            (&Method::POST, []) => self.cloud.look_up(&call).map(|state| json(StatusCode::OK, &state)),
            (_, ["register" | "operations", ..] | []) => Err(dps::Refusal::new(405, 405_000, "Method not allowed")),
            _ => Err(dps::Refusal::new(404, 404_000, "Not found")),
        };
        Ok(response.unwrap_or_else(|refusal| self.dps_error(&refusal)))
    }

    fn register(&self, call: &DpsCall<'_>, ask: &Ask) -> Result<Response<Full<Bytes>>, dps::Refusal> {
        let body = ask.body.as_ref().map_err(|unread| match unread {
            Unread::TooLarge => dps::Refusal::new(413, 413_000, "The body is too large"),
            Unread::Broken => dps::Refusal::new(400, 400_004, "The body could not be read"),
        })?;
        let answer = self.cloud.register(call, body)?;
        let mut response = self.operation(&answer);
        let version = call.api_version.unwrap_or_default();
        let address = format!(
            "https://{}/{}/registrations/{}/operations/{}?api-version={version}",
            self.cloud.hub(self.cloud.default_hub()).name(),
            call.scope,
            call.registration_id,
            answer.operation_id
        );
        put(response.headers_mut(), header::LOCATION.as_str(), &address);
        Ok(response)
    }

    /// 202 with `Retry-After` while it is pending, 200 with the state when it is final.
    fn operation(&self, answer: &dps::Answer) -> Response<Full<Bytes>> {
        let status = if answer.is_pending { StatusCode::ACCEPTED } else { StatusCode::OK };
        let mut response = json(status, answer);
        put(response.headers_mut(), "x-ms-request-id", &self.cloud.random().guid());
        if answer.is_pending {
            put(response.headers_mut(), header::RETRY_AFTER.as_str(), &self.cloud.poll_after_s().to_string());
        }
        response
    }

    fn dps_error(&self, refusal: &dps::Refusal) -> Response<Full<Bytes>> {
        let tracking_id = self.cloud.random().guid();
        let mut response = json(status(refusal.status), &refusal.body(&tracking_id, self.cloud.now_ms()));
        put(response.headers_mut(), "x-ms-error-code", &refusal.code.to_string());
        put(response.headers_mut(), "x-ms-request-id", &tracking_id);
        retry_after(&mut response, refusal.retry_after_s);
        response
    }
}

/// The hub.
impl Https {
    /// The one that is asked for; behind a proxy or under an address of the machine the first.
    fn hub_of(&self, ask: &Ask) -> HubId {
        let asked = text(&ask.parts.headers, header::HOST).or_else(|| ask.parts.uri.host());
        asked.and_then(|host| self.cloud.hub_named(host)).unwrap_or_else(|| self.cloud.default_hub())
    }

    async fn hub(&self, ask: &Ask, device: &Endpoint, rest: &[&str]) -> Reply {
        if let Some(reply) = stand(self.cloud.hub_weather(), || self.hub_error(&hub::Refusal::unavailable())).await {
            return reply;
        }
        let answered = match (&ask.parts.method, rest) {
            _ if query(ask, "api-version").is_none() => Err(no_version()),
            (&Method::POST, ["events"]) => return self.telemetry(ask, device),
            (_, ["devicebound", below @ ..]) => self.device_bound(ask, device, below),
            (_, ["events"]) => Err(not_allowed()),
            _ => Err(nothing()),
        };
        Ok(answered.unwrap_or_else(|refusal| self.hub_error(&refusal)))
    }

    fn telemetry(&self, ask: &Ask, device: &Endpoint) -> Reply {
        let authorization = text(&ask.parts.headers, header::AUTHORIZATION);
        match self.cloud.send(device, authorization, messages(ask)) {
            Ok(Accepted::Answered) => Ok(no_content()),
            Ok(Accepted::Lost) => Err(Cut),
            Err(refusal) => Ok(self.hub_error(&refusal)),
        }
    }

    fn hub_error(&self, refusal: &hub::Refusal) -> Response<Full<Bytes>> {
        let mut response =
            json(status(refusal.status), &refusal.body(&self.cloud.random().guid(), self.cloud.now_ms()));
        put(response.headers_mut(), "iothub-errorcode", &refusal.name);
        put(response.headers_mut(), "x-ms-request-id", &self.cloud.random().guid());
        retry_after(&mut response, refusal.retry_after_s);
        response
    }
}

/// One message from headers and body, or many from a batch.
fn messages(ask: &Ask) -> Result<Vec<Telemetry>, hub::Refusal> {
    let body = whole(ask)?;
    let media_type = text(&ask.parts.headers, header::CONTENT_TYPE).unwrap_or_default();
    if media_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(BATCH_TYPE)) {
        return hub::batch(body);
    }
    let headers = ask.parts.headers.iter().map(|(name, value)| {
        let spelled = ask.names.get(name.as_str()).map_or_else(|| name.to_string(), Clone::clone);
        (spelled, String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(vec![Telemetry::from_headers(body.clone(), headers)?])
}

fn whole(ask: &Ask) -> Result<&Bytes, hub::Refusal> {
    ask.body.as_ref().map_err(|unread| match unread {
        Unread::TooLarge => hub::Refusal::too_large(),
        Unread::Broken => hub::Refusal::argument("The body could not be read"),
    })
}

fn no_version() -> hub::Refusal {
    hub::Refusal::new(400, 400_001, "InvalidProtocolVersion", "The api-version is missing")
}

fn nothing() -> hub::Refusal {
    hub::Refusal::new(404, 404_006, "InvalidUrl", "There is nothing at this address")
}

fn not_allowed() -> hub::Refusal {
    hub::Refusal::new(405, 405_000, "MethodNotAllowed", "The method is not allowed here")
}

/// Lives through the weather: waits, and when the service is away gives what the client gets instead of an answer.
async fn stand(weather: Weather, unavailable: impl FnOnce() -> Response<Full<Bytes>>) -> Option<Reply> {
    tokio::time::sleep(weather.delay).await;
    match weather.outage? {
        Outage::Unavailable => Some(Ok(unavailable())),
        Outage::Close => Some(Err(Cut)),
        Outage::Hang => {
            tokio::time::sleep(HANG_MAX).await;
            Some(Err(Cut))
        }
    }
}

pub(crate) fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// A query parameter, decoded.
pub(crate) fn query(ask: &Ask, name: &str) -> Option<String> {
    let pairs = ask.parts.uri.query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A status that a fault asked for may be nonsense; then it is 500.
fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).unwrap_or_else(|_| Value::Null.to_string().into_bytes());
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    put(response.headers_mut(), header::CONTENT_TYPE.as_str(), "application/json; charset=utf-8");
    response
}

fn no_content() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn retry_after(response: &mut Response<Full<Bytes>>, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        put(response.headers_mut(), header::RETRY_AFTER.as_str(), &seconds.to_string());
    }
}

/// Sets a header; one whose value cannot stand in a header is left out.
fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}
