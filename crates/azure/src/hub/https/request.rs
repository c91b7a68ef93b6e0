//! The request that sends one message.
//!
//! ```text
//! POST /devices/{device}/messages/events?api-version=…
//! Content-Type: application/vnd.microsoft.iothub.json
//! [{"body":"{base64}","base64Encoded":true,"properties":{"iothub-messageid":"…","iothub-app-{name}":"…"}}]
//! ```
//! This is the hub's form for a batch, here of one. The other form puts every property into a header of its own,
//! and headers lose their case on the way: `iothub-app-ApplicationId` would reach the hub's routes as
//! `applicationid`. In JSON names keep their case and no value can break out into the head of the request.
//! (Microsoft's Java SDK writes batches with the same members, system properties included.)

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;
use percent_encoding::utf8_percent_encode;
use serde::{Serialize, Serializer};

use crate::hub::{SendError, Telemetry, Why};
use crate::sas::{RESERVED, Token};

/// What Microsoft's Node SDK sends today.
pub(crate) const API_VERSION: &str = "2021-04-12";
pub(super) const BATCH: &str = "application/vnd.microsoft.iothub.json";

/// `telemetry` must have passed [`Telemetry::check`].
pub(super) fn send(
    authority: &str,
    device_id: &str,
    token: &Token,
    telemetry: &Telemetry,
) -> Result<Request<Full<Bytes>>, SendError> {
    let path = format!("/devices/{}/messages/events", utf8_percent_encode(device_id, RESERVED));
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{path}?api-version={API_VERSION}"))
        .header(HOST, authority)
        .header(AUTHORIZATION, token.as_header().clone())
        .header("iothub-to", path)
        .header(CONTENT_TYPE, BATCH)
        .header(USER_AGENT, crate::USER_AGENT)
        .body(Full::new(body(telemetry)));
    request.map_err(|e| SendError::unanswered(Why::Rejected, format!("no request can be made for this device: {e}")))
}

/// Asks for nothing: any answer has a `Date`. No token goes along.
pub(super) fn ask_time(authority: &str) -> Option<Request<Full<Bytes>>> {
    let request = Request::builder().method(Method::GET).uri("/").header(HOST, authority);
    request.header(USER_AGENT, crate::USER_AGENT).body(Full::new(Bytes::new())).ok()
}

fn body(telemetry: &Telemetry) -> Bytes {
    let message =
        Message { body: STANDARD.encode(&telemetry.body), base64_encoded: true, properties: properties(telemetry) };
    serde_json::to_vec(&[message]).expect("strings always have a JSON form").into()
}

#[derive(Serialize)]
struct Message {
    body: String,
    #[serde(rename = "base64Encoded")]
    base64_encoded: bool,
    properties: Properties,
}

/// In the order given: a map would sort them, and the wire should read like the message.
struct Properties(Vec<(String, String)>);

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn properties(telemetry: &Telemetry) -> Properties {
    let Telemetry { message_id, correlation_id, content_type, content_encoding, properties, .. } = telemetry;
    let system = [
        ("iothub-messageid", Some(message_id.clone())),
        ("iothub-correlationid", correlation_id.clone()),
        ("iothub-contenttype", content_type.clone()),
        ("iothub-contentencoding", content_encoding.clone()),
        ("iothub-app-iothub-creation-time-utc", telemetry.creation_time_text()),
    ];
    let system = system.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let application = properties.iter().map(|(name, value)| (format!("iothub-app-{name}"), value.clone()));
    Properties(system.chain(application).collect())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::key::Signer;
    use crate::sas::device_token;

    fn token() -> Token {
        device_token("hub1.azure-devices.net", "d", &Signer::device([1; 32]), 0)
    }

    #[tokio::test]
    async fn names_keep_their_case_and_the_body_its_bytes() {
        let telemetry = Telemetry {
            body: Bytes::from_static("{\"Grüße\":1.0}".as_bytes()),
            message_id: "m1".into(),
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            creation_time: Some("2026-01-01T00:00:00.5Z".parse().unwrap()),
            properties: vec![("Port".into(), "10".into()), ("ApplicationId".into(), "building".into())],
            ..Telemetry::default()
        };
        let request = send("localhost:8443", "Dev+1", &token(), &telemetry).unwrap();
        assert_eq!(request.uri(), "/devices/Dev%2B1/messages/events?api-version=2021-04-12");
        assert_eq!(request.headers()["iothub-to"], "/devices/Dev%2B1/messages/events");
        assert_eq!(request.headers()["host"], "localhost:8443");
        let sent = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            std::str::from_utf8(&sent).unwrap(),
            "[{\"body\":\"eyJHcsO8w59lIjoxLjB9\",\"base64Encoded\":true,\"properties\":{\"iothub-messageid\":\"m1\",\
             \"iothub-contenttype\":\"application/json\",\"iothub-contentencoding\":\"utf-8\",\
             \"iothub-app-iothub-creation-time-utc\":\"2026-01-01T00:00:00.500000Z\",\
             \"iothub-app-Port\":\"10\",\"iothub-app-ApplicationId\":\"building\"}}]"
        );
    }

    #[test]
    fn device_id_cannot_break_out_of_the_path() {
        let telemetry = Telemetry { message_id: "m".into(), ..Telemetry::default() };
        for id in ["a/../../b?x=1#y", "a\r\nX-Evil: 1", "ä ö"] {
            let request = send("h", id, &token(), &telemetry).unwrap();
            let path = request.uri().path();
            assert_eq!(path.matches('/').count(), 4, "{path}");
            assert_eq!(request.uri().query(), Some("api-version=2021-04-12"));
            assert_eq!(request.headers().len(), 5);
        }
    }
}
