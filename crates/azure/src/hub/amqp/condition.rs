//! What the hub's errors mean: a condition, a description that is JSON or plain text, and a few extras.
//!
//! PURE. All of what is known of conditions stands in one table ([`TABLE`]); where the hub gives its own number as well
//! (`errorCode`), the number decides, because one condition often stands for several things.

use std::time::Duration;

use amqp::performative::Error;

use crate::UnixSeconds;
use crate::hub::{SendError, Why};
use crate::service_error::{ServiceError, time_in_text};

/// How much an error takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One message; the link can go on with the next.
    Message,
    /// A device's link. Its neighbours on the connection notice nothing.
    Device,
    /// The connection with all its devices.
    Connection,
}

/// An error, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) why: Why,
    pub(super) scope: Scope,
    /// The connection holds as many tokens as the hub allows: another one is to take the device.
    pub(super) is_full: bool,
    pub(super) error: ServiceError,
    pub(super) server_time: Option<UnixSeconds>,
}

impl Judgement {
    /// As a message's outcome.
    pub(super) fn send_error(&self) -> SendError {
        SendError { why: self.why, error: self.error.clone(), server_time: self.server_time }
    }
}

/// What a condition means, before the hub's number or words say it better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Unauthorized,
    NotFound,
    Rejected,
    TooLarge,
    Suspended,
    Throttled,
    Unavailable,
    Stolen,
    /// Quota, queue depth or tokens: only number or words tell.
    Limit,
}

/// Conditions by name; one that ends in `:` stands for all that begin with it. From Microsoft's C# and Java SDKs and
/// Edge Hub (`AmqpErrorMapper`), see `docs/wire/iot-hub.md`.
const TABLE: [(&str, Meaning, Scope); 41] = {
    use Meaning::{Limit, NotFound, Rejected, Stolen, Suspended, Throttled, TooLarge, Unauthorized, Unavailable};
    use Scope::{Connection, Device, Message};
    [
        ("amqp:unauthorized-access", Unauthorized, Device),
        ("amqp:not-found", NotFound, Device),
        ("com.microsoft:device-not-found", NotFound, Device),
        ("com.microsoft:iot-hub-not-found-error", NotFound, Device),
        ("com.microsoft:iot-hub-suspended", Suspended, Device),
        ("amqp:resource-deleted", NotFound, Device),
        // About one message.
        ("amqp:not-allowed", Rejected, Message),
        ("com.microsoft:argument-error", Rejected, Message),
        ("com.microsoft:argument-out-of-range", Rejected, Message),
        ("amqp:precondition-failed", Rejected, Message),
        ("com.microsoft:precondition-failed", Rejected, Message),
        ("amqp:decode-error", Rejected, Message),
        ("amqp:invalid-field", Rejected, Message),
        ("amqp:not-implemented", Rejected, Message),
        ("amqp:link:message-size-exceeded", TooLarge, Message),
        ("com.microsoft:timeout", Unavailable, Message),
        ("com.microsoft:message-lock-lost", Unavailable, Message),
        // Too much or too fast.
        ("amqp:resource-limit-exceeded", Limit, Device),
        ("com.microsoft:device-container-throttled", Throttled, Device),
        // Somebody else has the device.
        ("amqp:link:stolen", Stolen, Device),
        ("com.microsoft:link-creation-conflict", Stolen, Device),
        // The hub's own trouble, or trouble with a link or session.
        ("amqp:internal-error", Unavailable, Device),
        ("com.microsoft:server-busy", Unavailable, Device),
        ("com.microsoft:operation-cancelled", Unavailable, Device),
        ("amqp:link:detach-forced", Unavailable, Device),
        ("amqp:link:transfer-limit-exceeded", Unavailable, Device),
        ("amqp:link:redirect", Unavailable, Device),
        ("amqp:resource-locked", Unavailable, Device),
        ("amqp:illegal-state", Unavailable, Device),
        ("amqp:frame-size-too-small", Unavailable, Device),
        ("amqp:session:window-violation", Unavailable, Device),
        ("amqp:session:errant-link", Unavailable, Device),
        ("amqp:session:handle-in-use", Unavailable, Device),
        ("amqp:session:unattached-handle", Unavailable, Device),
        ("amqp:session:", Unavailable, Device),
        ("amqp:transaction:", Unavailable, Device),
        // The whole connection.
        ("amqp:connection:forced", Unavailable, Connection),
        ("amqp:connection:framing-error", Unavailable, Connection),
        ("amqp:connection:redirect", Unavailable, Connection),
        ("amqp:connection:", Unavailable, Connection),
        // Anything else: no reason to bury a message, and no reason to believe that others are hit.
        ("", Unavailable, Device),
    ]
};

/// Understands an error of a rejected message, a detach, an end or a close.
pub(super) fn judge(error: &Error) -> Judgement {
    let condition = error.condition.as_str();
    let description = error.description.as_deref().unwrap_or_default();
    let read = read(error, description);
    let (meaning, scope) = look_up(condition);
    let is_full = meaning == Meaning::Limit && says_full(&read);
    let why = by_words(&read).or_else(|| by_code(&read)).unwrap_or_else(|| by_meaning(meaning, error, &read));
    let why = if why == THROTTLED { Why::Throttled { retry_after: wait_in_info(error) } } else { why };
    let scope =
        if matches!(why, Why::TooLarge | Why::Rejected) && scope == Scope::Device { Scope::Message } else { scope };
    let server_time = time_in_text(description).or_else(|| time_in_text(tracking_id(error)?));
    Judgement { why, scope, is_full, error: read, server_time }
}

/// Understands the answer to a put-token that is not 200 or 202.
pub(super) fn judge_token(status: i64, description: &str) -> Judgement {
    let error = ServiceError::from_text(description);
    let is_full = says_full(&error);
    let retry_after = error.wait_in_text();
    let by_status = || match status {
        401 | 403 => Why::Unauthorized,
        404 => Why::NotFound,
        429 => THROTTLED,
        _ => Why::Unavailable { retry_after },
    };
    let why = by_words(&error).or_else(|| by_code(&error)).unwrap_or_else(by_status);
    let error = if error == ServiceError::default() { ServiceError::of(format!("put-token: {status}")) } else { error };
    Judgement { why, scope: Scope::Device, is_full, error, server_time: time_in_text(description) }
}

fn look_up(condition: &str) -> (Meaning, Scope) {
    let fits =
        |name: &str| name == condition || ((name.is_empty() || name.ends_with(':')) && condition.starts_with(name));
    let row = TABLE.iter().find(|(name, ..)| fits(name)).expect("the last row fits everything");
    (row.1, row.2)
}

fn read(error: &Error, description: &str) -> ServiceError {
    let mut read = ServiceError::from_text(description);
    let number = error.info.get("com.microsoft:error-code").and_then(amqp::value::Value::as_i64);
    read.code = read.code.or(number.and_then(|number| u32::try_from(number).ok()));
    read.tracking_id = read.tracking_id.take().or_else(|| tracking_id(error).map(|id| id.chars().take(200).collect()));
    read.take_name(error.condition.as_str());
    read
}

fn tracking_id(error: &Error) -> Option<&str> {
    error.info.get("com.microsoft:tracking-id")?.as_str()
}

/// Whatever was too many, the hub says "Wait 10 seconds and try again" in words, which are no measure of how long anybody has to
/// wait: the pace that is learnt is. A number beside the words would be one ([`wait_in_info`]).
const THROTTLED: Why = Why::Throttled { retry_after: None };

/// Words that say more than condition and number do.
fn by_words(error: &ServiceError) -> Option<Why> {
    let words = [
        ("Another AMQP Client", Why::Stolen { retry_after: None }),
        // Sub codes of IoT Central, and their names at the hub.
        ("DEVICE_DISABLED", Why::Disabled),
        ("DeviceDisabled", Why::Disabled),
        ("DEVICE_BLOCKED", Why::Blocked),
        ("IotHubQuotaExceeded", Why::Quota),
        ("IotHubSuspended", Why::Suspended),
    ];
    words.iter().find(|(word, _)| error.says(word)).map(|(_, why)| *why)
}

/// The hub's own number.
fn by_code(error: &ServiceError) -> Option<Why> {
    let retry_after = error.wait_in_text();
    Some(match error.code? {
        // A newer connection of the same device; its link is there already.
        400_027 | 409_002 => Why::Stolen { retry_after: None },
        400_024 | 400_029 | 400_030 => Why::Unavailable { retry_after },
        400_003..=400_005 => Why::Rejected,
        403_001 => Why::Suspended,
        403_002 => Why::Quota,
        403_004 | 403_005 => Why::Unavailable { retry_after },
        403_012 => Why::Disabled,
        // The hub is not there, and so is none of its devices.
        401_001 => Why::NotFound,
        401_000..=401_999 => Why::Unauthorized,
        404_001 => Why::NotFound,
        // The address is wrong (a fault here, and no device's), or the hub is failing over.
        404_006 | 404_012 => Why::Unavailable { retry_after },
        413_000..=413_999 => Why::TooLarge,
        429_000..=429_999 => THROTTLED,
        500_000..=599_999 => Why::Unavailable { retry_after },
        _ => return None,
    })
}

fn by_meaning(meaning: Meaning, error: &Error, read: &ServiceError) -> Why {
    let retry_after = read.wait_in_text().or_else(|| wait_in_info(error));
    match meaning {
        Meaning::Unauthorized => Why::Unauthorized,
        Meaning::NotFound => Why::NotFound,
        Meaning::Rejected => Why::Rejected,
        Meaning::TooLarge => Why::TooLarge,
        Meaning::Suspended => Why::Suspended,
        Meaning::Throttled => THROTTLED,
        Meaning::Stolen => Why::Stolen { retry_after: None },
        // Only the hub's own word stops a whole hub until tomorrow.
        Meaning::Limit if read.says("Total number of messages") || read.says("quota") || read.says("Quota") => {
            Why::Quota
        }
        Meaning::Limit | Meaning::Unavailable => Why::Unavailable { retry_after },
    }
}

/// No hub was seen to say it this way; DPS and Event Hubs clients look for it.
fn wait_in_info(error: &Error) -> Option<Duration> {
    let seconds =
        ["com.microsoft:retry-after", "retry-after"].iter().find_map(|name| error.info.get(name)?.as_i64())?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

fn says_full(error: &ServiceError) -> bool {
    error.code == Some(403_005) || error.says("maximum number of tokens") || error.says("MaxCbsToken")
}

#[cfg(test)]
mod tests;
