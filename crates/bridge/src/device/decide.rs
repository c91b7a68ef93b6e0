//! PURE: what follows from the outcome of a send.
//!
//! Every outcome answers one question: done, retry after, rest until the hub works, look for the device anew, or bury
//! with a reason (facts: azure-docs, troubleshoot-error-codes; docs/wire/iot-hub.md).

use std::time::Duration;

use azure::hub::{SendError, Why};
use queue::{Reason, UnixMillis};

use crate::device::plan::reason;

/// First counted retry; doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest counted retry.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A refused or disabled device is asked for again this often, so that it recovers by itself within five minutes.
pub const HOLD: Duration = Duration::from_secs(240);
/// A throttled hub that names no time.
const THROTTLED: Duration = Duration::from_secs(10);
/// A suspended hub is looked at this often.
const SUSPENDED: Duration = Duration::from_secs(600);
const DAY: UnixMillis = 24 * 3600 * 1000;

/// What a device has been through since its last success: each remedy is taken once per event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remedies {
    /// A token was made anew by the server's clock.
    pub clock: bool,
    /// It registered again.
    pub registered: bool,
}

/// What the moment offers.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Wall clock.
    pub now: UnixMillis,
    /// Counted attempts of the message before this one.
    pub attempts: u32,
    /// The target knows a DPS to ask.
    pub can_register: bool,
    /// A fraction in `0.0..1.0`.
    pub jitter: f64,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Delivered: settle.
    Settle,
    /// Never: to the dead letters.
    Bury(Reason),
    /// Counted, after this long.
    Retry(Duration, String),
    /// As [`Effect::Retry`], and the hub did not work.
    RetryHubDown(Duration, String),
    /// The hub does not work (it may have said for how long): rest, uncounted, until it does.
    HubDown(Option<Duration>, String),
    /// Look at the server's clock, make a token by it, send again at once.
    FreshToken,
    /// The hub does not know the device or its key: register again, unless the breaker says otherwise.
    RegisterAgain(String),
}

/// Decides.
pub fn after_send(outcome: Result<(), SendError>, remedies: &mut Remedies, moment: Moment) -> Effect {
    let Err(error) = outcome else {
        *remedies = Remedies::default();
        return Effect::Settle;
    };
    let cause = error.to_string();
    match error.why {
        Why::Unauthorized | Why::NotFound | Why::Disabled => refused(cause, remedies, moment),
        Why::Blocked => Effect::Retry(spread(HOLD, moment.jitter), cause),
        Why::TooLarge => Effect::Bury(reason("too_large", &cause)),
        Why::Rejected => Effect::Bury(reason("rejected", &cause)),
        Why::Lost | Why::TimedOut => Effect::RetryHubDown(backoff(moment), cause),
        Why::Throttled { retry_after } => Effect::HubDown(Some(retry_after.unwrap_or(THROTTLED)), cause),
        Why::Quota => Effect::HubDown(Some(until_midnight(moment.now)), cause),
        Why::Suspended => Effect::HubDown(Some(SUSPENDED), cause),
        Why::Unavailable { retry_after } => Effect::HubDown(retry_after, cause),
        Why::Unreachable => Effect::HubDown(None, cause),
        Why::Closed => Effect::Retry(RETRY_MIN, cause),
    }
}

/// Whether an outcome shows a hub that works: it answered, and what it said concerns one device or message.
pub fn hub_works(outcome: &Result<(), SendError>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(e) => !e.why.concerns_whole_hub() && !e.why.may_have_arrived() && e.why != Why::Closed,
    }
}

fn refused(cause: String, remedies: &mut Remedies, moment: Moment) -> Effect {
    if !std::mem::replace(&mut remedies.clock, true) {
        return Effect::FreshToken;
    }
    if moment.can_register && !std::mem::replace(&mut remedies.registered, true) {
        return Effect::RegisterAgain(cause);
    }
    Effect::Retry(spread(HOLD, moment.jitter), cause)
}

fn backoff(moment: Moment) -> Duration {
    let doubled = RETRY_MIN.saturating_mul(1_u32 << moment.attempts.min(10)).min(RETRY_MAX);
    spread(doubled, moment.jitter)
}

/// Full time minus up to a quarter, so that a promised maximum is kept.
fn spread(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(1.0 - jitter / 4.0)
}

/// The daily quota begins anew at 00:00 UTC.
fn until_midnight(now: UnixMillis) -> Duration {
    Duration::from_millis((DAY - now.rem_euclid(DAY)).unsigned_abs())
}
