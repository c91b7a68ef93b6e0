//! What DPS and IoT Hub say when they refuse, in any of the shapes that they say it in.
//!
//! ```text
//! {"errorCode":401002,"trackingId":"…","message":"…","timestampUtc":"…"}                 DPS, and the hub inside others
//! {"Message":"ErrorCode:DeviceNotFound;text","ExceptionMessage":"Tracking ID:…-TimeStamp:…"}       hub
//! {"Message":"{\"errorCode\":401002,…}","ExceptionMessage":""}                                     hub, older paths
//! ```
//! and a header (`x-ms-error-code`, `iothub-errorcode`) with the number or the name alone.
//!
//! Promises short, printable text without anything that looks like a signature. Does not decide what a refusal means.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use serde_json::Value;

use crate::UnixSeconds;

/// Longest text of the service that is passed on.
const TEXT_MAX: usize = 300;

/// What could be read of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceError {
    /// HTTP status × 1000 + n, where the service gave it.
    pub code: Option<u32>,
    /// Such as `DeviceNotFound`.
    pub name: Option<String>,
    /// For a person, shortened.
    pub message: String,
    /// What Microsoft's support asks for.
    pub tracking_id: Option<String>,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map(|c| c.to_string());
        let words = [code.as_deref(), self.name.as_deref(), Some(self.message.as_str())];
        let words: Vec<_> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        f.write_str(if words.is_empty() { "no detail given" } else { "" })?;
        f.write_str(&words.join(" "))?;
        self.tracking_id.as_ref().map_or(Ok(()), |id| write!(f, " (tracking id {id})"))
    }
}

impl ServiceError {
    /// Reads headers and body of an answer that is not a success.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let mut error = Self::from_body(body);
        let header = ["x-ms-error-code", "iothub-errorcode"].iter().find_map(|name| headers.get(*name)?.to_str().ok());
        error.take_name(header.unwrap_or_default());
        if error.tracking_id.is_none() {
            error.tracking_id = headers.get("x-ms-request-id").and_then(|v| v.to_str().ok()).map(clean);
        }
        error
    }

    /// Only words of our own.
    pub fn of(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// From the parsed parts of a DPS registration that failed.
    pub(crate) fn from_parts(code: Option<u32>, message: &str) -> Self {
        Self { code, message: clean(message), ..Self::default() }
    }

    /// What stands in the description of an AMQP error or of a put-token's answer: the same JSON, or plain text.
    pub(crate) fn from_text(text: &str) -> Self {
        Self::from_body(text.as_bytes())
    }

    fn from_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(members)) => Self::from_members(&members),
            // A proxy's page, or nothing.
            _ => Self::of(clean(&String::from_utf8_lossy(body))),
        }
    }

    fn from_members(members: &serde_json::Map<String, Value>) -> Self {
        let text = |name: &str| find(members, name).and_then(Value::as_str).unwrap_or_default();
        let message = text("message");
        if let Ok(Value::Object(inner)) = serde_json::from_str(message) {
            return Self::from_members(&inner);
        }
        let mut error = Self::from_parts(find(members, "errorCode").and_then(code), message);
        error.tracking_id = [text("trackingId"), tracking_id(text("exceptionMessage"))]
            .into_iter()
            .find(|id| !id.is_empty())
            .map(clean);
        error.take_prefix(message);
        error
    }

    /// `ErrorCode:NAME;text`
    fn take_prefix(&mut self, message: &str) {
        let parts = message.strip_prefix("ErrorCode:").and_then(|rest| rest.split_once(';'));
        if let Some((name, text)) = parts {
            self.take_name(name);
            self.message = clean(text);
        }
    }

    pub(crate) fn take_name(&mut self, word: &str) {
        match word.trim() {
            "" => {}
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => self.code = self.code.or(digits.parse().ok()),
            name => self.name = self.name.take().or(Some(clean(name))),
        }
    }

    /// Does the name or the text contain this word?
    pub(crate) fn says(&self, word: &str) -> bool {
        self.message.contains(word) || self.name.as_deref().is_some_and(|name| name.contains(word))
    }

    /// `Wait 10 seconds and try again`, as a throttled hub puts it in the text.
    pub(crate) fn wait_in_text(&self) -> Option<Duration> {
        let (_, after) = self.message.split_once("Wait ")?;
        let (number, unit) = after.split_once(' ')?;
        unit.starts_with("second").then_some(())?;
        number.parse().ok().map(Duration::from_secs)
    }
}

/// Members are spelled with either case: `message` at DPS, `Message` at the hub.
fn find<'a>(members: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn code(value: &Value) -> Option<u32> {
    match value {
        Value::Number(number) => u32::try_from(number.as_u64()?).ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// `Tracking ID:{id}-TimeStamp:…`
fn tracking_id(text: &str) -> &str {
    let id = text.split_once("Tracking ID:").map_or("", |(_, id)| id);
    id.split_once("-TimeStamp:").map_or(id, |(id, _)| id)
}

/// One printable line of at most [`TEXT_MAX`] characters. A text with a signature in it is not shown at all.
fn clean(text: &str) -> String {
    if ["sig=", "SharedAccessSignature", "SharedAccessKey="].iter().any(|secret| text.contains(secret)) {
        return "[text withheld, it holds a signature]".to_owned();
    }
    let line: String = text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}

/// `Retry-After` in seconds, or as a date measured against the answer's own `Date`.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = http_date(value)?.checked_sub(server_time(headers)?)?;
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// The server's clock, from a text that tells when an error happened: `"timestampUtc":"2017-08-17T10:48:44.5Z"` in JSON,
/// or `…-TimeStamp:08/17/2017 10:48:44` at the end of a tracking id (UTC too: both stand in one real answer).
pub(crate) fn time_in_text(text: &str) -> Option<UnixSeconds> {
    let members: Option<serde_json::Map<String, Value>> = serde_json::from_str(text).ok();
    let stamp = members.as_ref().and_then(|members| find(members, "timestampUtc")?.as_str());
    let stamp = stamp.and_then(|stamp| stamp.parse::<jiff::Timestamp>().ok());
    stamp.map(jiff::Timestamp::as_second).or_else(|| time_in_tracking_id(text))
}

fn time_in_tracking_id(text: &str) -> Option<UnixSeconds> {
    let (_, after) = text.split_once("TimeStamp:")?;
    let civil = jiff::civil::DateTime::strptime("%m/%d/%Y %H:%M:%S", after.get(..19)?).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// The server's clock, from `Date`.
pub(crate) fn server_time(headers: &HeaderMap) -> Option<UnixSeconds> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<UnixSeconds> {
    Some(jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> ServiceError {
        ServiceError::read(&HeaderMap::new(), body.as_bytes())
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_time_of_an_error_is_read_in_both_forms() {
        let json = r#"{"errorCode":404006,"trackingId":"c6f7-G:2-TimeStamp:08/17/2017 10:48:44","message":"x","timestampUtc":"2017-08-17T10:48:44.5309043Z"}"#;
        let cases = [
            (json, Some(1_502_966_924)),
            (r#"{"trackingId":"c6f7-G:2-TimeStamp:08/17/2017 10:48:44","timestampUtc":"soon"}"#, Some(1_502_966_924)),
            ("denied, TrackingId:c6f7-G:2-TimeStamp:08/17/2017 10:48:44, SystemTracker:x", Some(1_502_966_924)),
            ("TimeStamp:99/99/2017 10:48:44", None),
            ("TimeStamp:08/17", None),
            ("TimeStamp:ääääääääääää", None),
            ("Token Invalid.", None),
        ];
        for (text, time) in cases {
            assert_eq!(time_in_text(text), time, "{text}");
        }
    }

    #[test]
    fn body_of_dps_is_read() {
        let error = read(
            r#"{"errorCode":401002,"trackingId":"ada7d102-449e","message":"Unauthorized","timestampUtc":"2019-11-19T21:39:05Z","info":null}"#,
        );
        assert_eq!(
            (error.code, error.message.as_str(), error.tracking_id.as_deref()),
            (Some(401_002), "Unauthorized", Some("ada7d102-449e"))
        );
        assert_eq!(error.to_string(), "401002 Unauthorized (tracking id ada7d102-449e)");
    }

    #[test]
    fn both_bodies_of_the_hub_are_read() {
        let plain = read(
            r#"{"Message":"ErrorCode:DeviceNotFound;E2E text","ExceptionMessage":"Tracking ID:9f2-G:0-TimeStamp:10/12/2021 07:18:02"}"#,
        );
        assert_eq!((plain.name.as_deref(), plain.message.as_str()), (Some("DeviceNotFound"), "E2E text"));
        assert_eq!(plain.tracking_id.as_deref(), Some("9f2-G:0"));
        let nested = read(
            r#"{"Message":"{\"errorCode\":401002,\"message\":\"Unauthorized access\",\"trackingId\":\"t1\",\"info\":null}","ExceptionMessage":""}"#,
        );
        assert_eq!(
            (nested.code, nested.message.as_str(), nested.tracking_id.as_deref()),
            (Some(401_002), "Unauthorized access", Some("t1"))
        );
    }

    #[test]
    fn header_fills_what_the_body_does_not_say() {
        let by_number = ServiceError::read(&headers(&[("x-ms-error-code", "429001"), ("x-ms-request-id", "r")]), b"");
        assert_eq!((by_number.code, by_number.tracking_id.as_deref()), (Some(429_001), Some("r")));
        let by_name = ServiceError::read(&headers(&[("iothub-errorcode", "IotHubQuotaExceeded")]), b"<html>");
        assert_eq!((by_name.name.as_deref(), by_name.message.as_str()), (Some("IotHubQuotaExceeded"), "<html>"));
    }

    #[test]
    fn signature_in_a_text_is_withheld() {
        for secret in ["SharedAccessSignature sr=h", "sr=h&sig=abc&se=1", "HostName=h;SharedAccessKey=abc"] {
            let error = read(&format!(r#"{{"message":"bad {secret}"}}"#));
            assert_eq!(error.message, "[text withheld, it holds a signature]", "{secret}");
        }
    }

    #[test]
    fn throttled_hub_says_in_its_text_how_long_to_wait() {
        let error = read(
            r#"{"Message":"ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait 10 seconds and try again. Operation type: CRUD"}"#,
        );
        assert_eq!(error.wait_in_text(), Some(Duration::from_secs(10)));
        assert_eq!(read("Wait for it").wait_in_text(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(&headers(&[("retry-after", "3")])), Some(Duration::from_secs(3)));
        let dated = [("date", "Mon, 23 Nov 2026 10:00:00 GMT"), ("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT")];
        assert_eq!(retry_after(&headers(&dated)), Some(Duration::from_secs(30)));
        assert_eq!(server_time(&headers(&dated)), Some(1_795_428_000));
        for nonsense in ["", "soon", "-1", "1.5"] {
            assert_eq!(retry_after(&headers(&[("retry-after", nonsense)])), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
            let error = ServiceError::read(&HeaderMap::new(), &body);
            prop_assert!(error.message.chars().count() <= TEXT_MAX);
            prop_assert!(!error.message.contains(char::is_control));
        }
    }
}
