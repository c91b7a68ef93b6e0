//! What an answer of the hub means for the message that was sent.

use http::{HeaderMap, StatusCode};

use crate::hub::{Delivered, SendError, Why};
use crate::service_error::{ServiceError, retry_after, server_time};

/// 204 is delivered (the simulators of others say 200). The hub's own code decides over the status where both speak.
pub fn classify(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Delivered, SendError> {
    let server_time = server_time(headers);
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::OK) {
        return Ok(Delivered { server_time });
    }
    let mut error = ServiceError::read(headers, body);
    let why = why(status.as_u16(), headers, &error);
    if error == ServiceError::default() {
        error = ServiceError::of(format!("HTTP {}", status.as_u16()));
    }
    Err(SendError { why, error, server_time })
}

fn why(status: u16, headers: &HeaderMap, error: &ServiceError) -> Why {
    let retry_after = retry_after(headers).or_else(|| error.wait_in_text());
    match (status, error.code.unwrap_or_default()) {
        // Sub codes of IoT Central, under 401.
        (401 | 403, _) if error.says("DEVICE_DISABLED") => Why::Disabled,
        (401 | 403, _) if error.says("DEVICE_BLOCKED") => Why::Blocked,
        (401, _) => Why::Unauthorized,
        (403, code) => forbidden(code, error),
        // Failing over: the device is there, the hub is not.
        (404, 404_012) => Why::Unavailable { retry_after },
        (404, _) => Why::NotFound,
        (413, _) => Why::TooLarge,
        (429, _) => Why::Throttled { retry_after },
        // Timed out at the hub, or closed during an upgrade of the service.
        (400, 400_024 | 400_027 | 400_029 | 400_030) => Why::Unavailable { retry_after },
        (400 | 405 | 406 | 411 | 412 | 414 | 415 | 422 | 431, _) => Why::Rejected,
        // 5xx, and whatever only something between us and the hub would say: no reason to bury a message.
        _ => Why::Unavailable { retry_after },
    }
}

/// Over HTTPS 403 mostly means the daily quota, but only the hub's own word for it stops a whole hub until tomorrow.
fn forbidden(code: u32, error: &ServiceError) -> Why {
    match code {
        403_001 => Why::Suspended,
        403_002 => Why::Quota,
        403_012 => Why::Disabled,
        _ if error.says("QuotaExceeded") => Why::Quota,
        _ if error.says("IotHubSuspended") => Why::Suspended,
        _ if error.says("DeviceDisabled") => Why::Disabled,
        _ => Why::Unauthorized,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    fn judge(status: u16, body: &str) -> Why {
        classify(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes()).unwrap_err().why
    }

    #[test]
    fn only_204_and_200_are_delivered() {
        let headers =
            HeaderMap::from_iter([(http::header::DATE, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"))]);
        for status in (200..600).map(|s| StatusCode::from_u16(s).unwrap()) {
            let delivered = classify(status, &headers, b"");
            assert_eq!(delivered.is_ok(), matches!(status.as_u16(), 200 | 204), "{status}");
            let server_time = delivered.map_or_else(|e| e.server_time, |d| d.server_time);
            assert_eq!(server_time, Some(1_767_225_600));
        }
    }

    #[test]
    fn refusals_are_told_apart_by_status_and_by_the_code_in_either_body() {
        let none = None;
        let cases = [
            (401, r#"{"Message":"ErrorCode:IotHubUnauthorizedAccess;Unauthorized"}"#, Why::Unauthorized),
            (
                401,
                r#"{"Message":"{\"errorCode\":401002,\"message\":\"Unauthorized\"}","ExceptionMessage":""}"#,
                Why::Unauthorized,
            ),
            (401, r#"{"Message":"ErrorCode:IoTHubUnauthorized;DEVICE_DISABLED"}"#, Why::Disabled),
            (401, r#"{"Message":"ErrorCode:IoTHubUnauthorized;DEVICE_BLOCKED"}"#, Why::Blocked),
            (403, r#"{"Message":"{\"errorCode\":403001}"}"#, Why::Suspended),
            (403, r#"{"Message":"{\"errorCode\":403002}"}"#, Why::Quota),
            (403, r#"{"Message":"ErrorCode:IotHubQuotaExceeded;Total number of messages"}"#, Why::Quota),
            (403, r#"{"Message":"{\"errorCode\":403012}"}"#, Why::Disabled),
            (403, "<html>proxy</html>", Why::Unauthorized),
            (404, r#"{"Message":"ErrorCode:DeviceNotFound;x"}"#, Why::NotFound),
            (404, r#"{"errorCode":404012}"#, Why::Unavailable { retry_after: none }),
            (413, "", Why::TooLarge),
            (400, r#"{"Message":"ErrorCode:ArgumentInvalid;x"}"#, Why::Rejected),
            (400, r#"{"errorCode":400029}"#, Why::Unavailable { retry_after: none }),
            (
                429,
                r#"{"Message":"ErrorCode:ThrottlingException;Wait 10 seconds and try again"}"#,
                Why::Throttled { retry_after: Some(Duration::from_secs(10)) },
            ),
            (429, "", Why::Throttled { retry_after: none }),
            (500, "", Why::Unavailable { retry_after: none }),
            (503, r#"{"Message":"ErrorCode:ServerBusy;x"}"#, Why::Unavailable { retry_after: none }),
            (302, "", Why::Unavailable { retry_after: none }),
            (407, "", Why::Unavailable { retry_after: none }),
            (202, "", Why::Unavailable { retry_after: none }),
        ];
        for (status, body, why) in cases {
            assert_eq!(judge(status, body), why, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_and_error_code_come_from_headers_too() {
        let headers = HeaderMap::from_iter([
            (http::header::RETRY_AFTER, HeaderValue::from_static("7")),
            (http::HeaderName::from_static("iothub-errorcode"), HeaderValue::from_static("ServerBusy")),
        ]);
        let error = classify(StatusCode::SERVICE_UNAVAILABLE, &headers, b"").unwrap_err();
        assert_eq!(error.why, Why::Unavailable { retry_after: Some(Duration::from_secs(7)) });
        assert_eq!(error.to_string(), "not delivered (unavailable): ServerBusy");
    }
}
