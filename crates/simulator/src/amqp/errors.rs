//! The hub's errors as AMQP carries them: one table from codes to conditions, and the JSON that stands in descriptions.
//!
//! ```json
//! {"errorCode":404006,"trackingId":"c6f7…-G:2-TimeStamp:08/17/2017 10:48:44","message":"…","timestampUtc":"2017-08-17T10:48:44.5309043Z"}
//! ```

use amqp::performative::Error;
use amqp::value::{Fields, Value};
use serde_json::json;

use crate::hub::Refusal;
use crate::identity::timestamp;
use crate::random::Stamp;

/// What is refused: the message, the link with whatever is on it, or the message and then all links of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hits {
    Message,
    Link,
    Device,
}

/// Code, condition, what it hits, and the text for a fault that brings none. The first row of a condition is its
/// usual code, the first row of a code its condition. Conditions of the protocol itself have no code of the hub.
const TABLE: [(u32, &str, Hits, &str); 35] = [
    (400_003, "amqp:not-allowed", Hits::Message, "The operation is not allowed"),
    (400_004, "com.microsoft:argument-error", Hits::Message, "An argument is not valid"),
    (400_005, "com.microsoft:argument-out-of-range", Hits::Message, "An argument is out of range"),
    (400_012, "com.microsoft:argument-error", Hits::Message, "The message cannot be read"),
    (401_003, "amqp:unauthorized-access", Hits::Link, "Unauthorized"),
    (401_001, "com.microsoft:iot-hub-not-found-error", Hits::Link, "The IoT hub was not found"),
    (403_001, "com.microsoft:iot-hub-suspended", Hits::Link, "The IoT hub is suspended"),
    (403_002, "amqp:resource-limit-exceeded", Hits::Message, "The daily message quota is used up"),
    (403_004, "amqp:resource-limit-exceeded", Hits::Message, "The device's queue is full"),
    (403_005, "amqp:resource-limit-exceeded", Hits::Link, "The connection holds too many tokens"),
    (403_012, "amqp:unauthorized-access", Hits::Link, "The device is disabled"),
    (404_001, "amqp:not-found", Hits::Link, "The device is not registered"),
    (404_006, "amqp:not-found", Hits::Link, "The link address did not match any of the expected formats."),
    (404_010, "amqp:not-found", Hits::Link, "The module is not registered"),
    (409_002, "com.microsoft:link-creation-conflict", Hits::Link, "Another connection of the device is open"),
    (412_001, "amqp:precondition-failed", Hits::Message, "The precondition failed"),
    (412_001, "com.microsoft:precondition-failed", Hits::Message, "The precondition failed"),
    (412_002, "com.microsoft:message-lock-lost", Hits::Message, "The lock was lost"),
    (413_001, "amqp:link:message-size-exceeded", Hits::Message, "The message is larger than 262144 bytes"),
    (429_001, "com.microsoft:device-container-throttled", Hits::Message, "Throttled. Wait 10 seconds and try again."),
    (429_002, "com.microsoft:device-container-throttled", Hits::Device, "Throttled"),
    (500_001, "amqp:internal-error", Hits::Message, "Server error"),
    (500_008, "com.microsoft:timeout", Hits::Message, "The operation timed out"),
    (503_001, "amqp:link:detach-forced", Hits::Link, "Server Busy. Please retry operation"),
    (503_008, "amqp:link:detach-forced", Hits::Link, "Server Busy. Please retry operation"),
    (503_008, "amqp:connection:forced", Hits::Link, "The connection is closed for maintenance"),
    (400_027, "amqp:link:stolen", Hits::Link, STOLEN),
    (404_001, "com.microsoft:device-not-found", Hits::Link, "The device is not registered"),
    (0, "amqp:decode-error", Hits::Link, "What was sent cannot be read"),
    (0, "amqp:invalid-field", Hits::Link, "A field is not valid"),
    (0, "amqp:illegal-state", Hits::Link, "The peer is in an illegal state"),
    (0, "amqp:not-implemented", Hits::Link, "This is not implemented"),
    (0, "amqp:frame-size-too-small", Hits::Link, "The frame size is too small"),
    (0, "amqp:resource-deleted", Hits::Link, "The resource was deleted"),
    (0, "amqp:resource-locked", Hits::Link, "The resource is locked"),
];

/// What the older of two connections of a device is told.
const STOLEN: &str = "The link was stolen by a newer connection of the same device";
/// What is seen when a token has run out (azure-iot-sdk-java#180).
const TOKEN_INVALID: &str = "Token Invalid.";

/// What a refusal hits, and the error that goes with it.
pub(super) fn of(refusal: &Refusal, stamp: Stamp<'_>) -> (Hits, Error) {
    let row = TABLE.iter().find(|row| row.0 == refusal.code);
    let (condition, hits) = row.map_or_else(|| by_status(refusal.status), |row| (row.1, row.2));
    (hits, written(condition.to_owned(), refusal.code, &refusal.text, stamp))
}

/// For numbers that only a fault can bring.
fn by_status(status: u16) -> (&'static str, Hits) {
    match status {
        401 => ("amqp:unauthorized-access", Hits::Link),
        404 => ("amqp:not-found", Hits::Link),
        403 => ("amqp:resource-limit-exceeded", Hits::Message),
        412 => ("amqp:precondition-failed", Hits::Message),
        413 => ("amqp:link:message-size-exceeded", Hits::Message),
        400..=428 => ("com.microsoft:argument-error", Hits::Message),
        429 => ("com.microsoft:device-container-throttled", Hits::Message),
        503 => ("amqp:link:detach-forced", Hits::Link),
        504 => ("com.microsoft:timeout", Hits::Message),
        _ => ("amqp:internal-error", Hits::Message),
    }
}

/// An error that a fault asks for, with the words that usually go with its condition where it brings none.
pub(super) fn wanted(condition: &str, description: Option<&str>, stamp: Stamp<'_>) -> Error {
    if let Some(text) = description {
        return Error::new(condition.to_owned(), text);
    }
    let (code, text) = TABLE.iter().find(|row| row.1 == condition).map_or((0, condition), |row| (row.0, row.3));
    if code == 0 { Error::new(condition.to_owned(), text) } else { written(condition.to_owned(), code, text, stamp) }
}

/// Of an address that means nothing here.
pub(super) fn no_such_address(address: &str, stamp: Stamp<'_>) -> Error {
    let text = format!("The link address '{address}' did not match any of the expected formats.");
    let error = of(&Refusal::new(404, 404_006, "InvalidUrl", text), stamp).1;
    Error { info: error.info.with("com.microsoft:is-filtered", true), ..error }
}

/// Of a link whose device has no good token on this connection.
pub(super) fn unauthorized(stamp: Stamp<'_>) -> Error {
    of(&Refusal::unauthorized(), stamp).1
}

/// Of a link whose device's token has run out.
pub(super) fn token_invalid() -> Error {
    Error::new("amqp:unauthorized-access", TOKEN_INVALID)
}

/// Of a link whose device is somewhere else now.
pub(super) fn stolen(stamp: Stamp<'_>) -> Error {
    wanted("amqp:link:stolen", None, stamp)
}

fn written(condition: String, code: u32, text: &str, stamp: Stamp<'_>) -> Error {
    let now = timestamp(stamp.now_ms);
    let at = now.strftime("%m/%d/%Y %H:%M:%S");
    let tracking_id = format!("{}-G:0-TimeStamp:{at}", stamp.random.guid().replace('-', ""));
    let description = json!({
        "errorCode": code,
        "trackingId": tracking_id,
        "message": text,
        "timestampUtc": format!("{now:.7}"),
    });
    let info = Fields::default()
        .with("com.microsoft:tracking-id", tracking_id)
        .with("com.microsoft:error-code", Value::Int(i32::try_from(code).unwrap_or(i32::MAX)));
    Error { info, ..Error::new(condition, description.to_string()) }
}

#[cfg(test)]
mod tests;
