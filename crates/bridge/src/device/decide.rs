//! PURE: what follows from the outcome of a send.
//!
//! Every outcome answers one question: done, retry after, rest until the hub works, look for the device anew, or bury
//! with a reason (facts: azure-docs, troubleshoot-error-codes; docs/wire/iot-hub.md).

use std::time::Duration;

use azure::hub::{SendError, Why};
use queue::{Reason, UnixMillis};

use crate::reason::reason;

/// First counted retry; doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Longest counted retry.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A refused or disabled device is asked for again this often, so that it recovers by itself within five minutes.
pub const HOLD: Duration = Duration::from_secs(240);
/// A suspended hub is looked at this often.
const SUSPENDED: Duration = Duration::from_secs(600);
const DAY: UnixMillis = 24 * 3600 * 1000;

/// What a device has been through since its last success or hold: each remedy is taken once in between.
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
    /// As [`Effect::Retry`], and the hub did not work; it may have said for how long.
    RetryHubDown(Duration, Option<Duration>, String),
    /// The hub does not work (it may have said for how long): rest, uncounted, until it does.
    HubDown(Option<Duration>, String),
    /// The hub was given more than it takes (it may have said for how long to leave it alone): rest, uncounted.
    Throttled(Option<Duration>, String),
    /// It is not this device's turn: again after this long, uncounted.
    NotYet(Duration),
    /// Somebody else sends as this device: keep still for this long, so that one of the two wins. A human must look.
    Stolen(Duration, String),
    /// Look at the server's clock, make a token by it, send again at once.
    FreshToken,
    /// The hub does not know the device or its key: register again, unless the breaker says otherwise.
    RegisterAgain(String),
    /// The hub does not know the device or its key, and nothing helps for now: counted, after this long.
    Refused(Duration, String),
    /// The hub says that the device lives there no more: register again in any case.
    Moved,
}

/// Decides.
pub fn after_send(outcome: Result<(), SendError>, remedies: &mut Remedies, moment: Moment) -> Effect {
    let Err(error) = outcome else {
        *remedies = Remedies::default();
        return Effect::Settle;
    };
    let cause = error.to_string();
    match error.why {
        Why::Unauthorized | Why::NotFound => refused(cause, remedies, moment),
        Why::Disabled => disabled(cause, remedies, moment),
        Why::Blocked => hold(cause, remedies, moment),
        Why::TooLarge => Effect::Bury(reason("too_large", &cause)),
        Why::Rejected => Effect::Bury(reason("rejected", &cause)),
        Why::Lost | Why::TimedOut => Effect::RetryHubDown(backoff(moment), None, cause),
        // Counted, although the hub says it of itself: a message that it can never digest must not be what finds out
        // again and again whether the hub works.
        Why::Unavailable { retry_after } => {
            Effect::RetryHubDown(backoff(moment).max(retry_after.unwrap_or_default()), retry_after, cause)
        }
        Why::Throttled { retry_after } => Effect::Throttled(retry_after, cause),
        Why::Quota => Effect::HubDown(Some(until_midnight(moment.now)), cause),
        Why::Suspended => Effect::HubDown(Some(SUSPENDED), cause),
        Why::Unreachable => Effect::HubDown(None, cause),
        Why::Closed => Effect::Retry(RETRY_MIN, cause),
        Why::NotYet { retry_after } => Effect::NotYet(retry_after),
        Why::Stolen { retry_after } => Effect::Stolen(retry_after.unwrap_or(RETRY_MIN), cause),
    }
}

/// Whether an outcome shows a hub that works: it answered, and what it said concerns one device or message.
pub fn hub_works(outcome: &Result<(), SendError>) -> bool {
    match outcome {
        Ok(()) => true,
        // Ours alone, without a word of the hub's.
        Err(SendError { why: Why::Closed | Why::NotYet { .. }, .. }) => false,
        Err(e) => !e.why.concerns_whole_hub() && !e.why.may_have_arrived(),
    }
}

fn refused(cause: String, remedies: &mut Remedies, moment: Moment) -> Effect {
    if !std::mem::replace(&mut remedies.clock, true) {
        return Effect::FreshToken;
    }
    if moment.can_register && !std::mem::replace(&mut remedies.registered, true) {
        return Effect::RegisterAgain(cause);
    }
    *remedies = Remedies::default();
    Effect::Refused(spread(HOLD, moment.jitter), cause)
}

/// IoT Central moves devices from hub to hub and calls those that left a hub disabled there, many at once: no sign
/// of a wrong clock or of a hub in trouble.
fn disabled(cause: String, remedies: &mut Remedies, moment: Moment) -> Effect {
    if moment.can_register && !std::mem::replace(&mut remedies.registered, true) {
        return Effect::Moved;
    }
    hold(cause, remedies, moment)
}

/// Nothing helps for now. After it every remedy is worth a try again.
fn hold(cause: String, remedies: &mut Remedies, moment: Moment) -> Effect {
    *remedies = Remedies::default();
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

#[cfg(test)]
mod tests {
    use azure::service_error::ServiceError;

    use super::*;

    const NOON: UnixMillis = 1_763_899_200_000; // 2025-11-23T12:00:00Z

    fn moment() -> Moment {
        Moment { now: NOON, attempts: 0, can_register: true, jitter: 0.0 }
    }

    fn failed(why: Why) -> Result<(), SendError> {
        Err(SendError { why, error: ServiceError::of("said the hub"), server_time: None })
    }

    fn decide(why: Why, moment: Moment) -> Effect {
        after_send(failed(why), &mut Remedies::default(), moment)
    }

    #[test]
    fn a_refused_device_gets_each_remedy_once_and_is_then_asked_for_within_five_minutes() {
        let mut remedies = Remedies::default();
        let mut next = |outcome| after_send(outcome, &mut remedies, moment());
        assert_eq!(next(failed(Why::Unauthorized)), Effect::FreshToken);
        assert!(matches!(next(failed(Why::NotFound)), Effect::RegisterAgain(_)));
        let Effect::Refused(wait, _) = next(failed(Why::NotFound)) else { panic!("it is held") };
        assert!(wait <= Duration::from_secs(300), "{wait:?}");
        assert_eq!(next(failed(Why::Unauthorized)), Effect::FreshToken, "after the hold all over");
        assert_eq!(next(Ok(())), Effect::Settle);
        assert_eq!(next(failed(Why::Unauthorized)), Effect::FreshToken, "a new event, new remedies");
    }

    #[test]
    fn a_disabled_device_may_have_moved_and_is_held_otherwise() {
        let mut remedies = Remedies::default();
        let mut next = || after_send(failed(Why::Disabled), &mut remedies, moment());
        assert_eq!(next(), Effect::Moved);
        assert!(matches!(next(), Effect::Retry(..)));
        assert_eq!(next(), Effect::Moved, "after the hold");
        let moment = Moment { can_register: false, ..moment() };
        assert!(matches!(decide(Why::Disabled, moment), Effect::Retry(..)));
    }

    #[test]
    fn without_a_dps_a_refused_device_is_held() {
        let mut remedies = Remedies { clock: true, registered: false };
        let moment = Moment { can_register: false, ..moment() };
        assert!(matches!(after_send(failed(Why::NotFound), &mut remedies, moment), Effect::Refused(..)));
    }

    #[test]
    fn what_may_have_arrived_is_counted_and_backs_off_to_a_minute() {
        let waits: Vec<_> = (0..9)
            .map(|attempts| match decide(Why::Lost, Moment { attempts, ..moment() }) {
                Effect::RetryHubDown(wait, ..) => wait.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(
            decide(Why::TimedOut, Moment { attempts: u32::MAX, jitter: 0.999_999, ..moment() }),
            Effect::RetryHubDown(
                Duration::from_secs_f64(60.0 * (1.0 - 0.999_999 / 4.0)),
                None,
                "not delivered (timed_out): said the hub".into()
            )
        );
    }

    #[test]
    fn what_concerns_the_whole_hub_costs_no_attempt() {
        let asked = |why| match decide(why, moment()) {
            Effect::HubDown(asked, _) | Effect::Throttled(asked, _) => asked.map(|a| a.as_secs()),
            other => panic!("{why:?}: {other:?}"),
        };
        assert_eq!(asked(Why::Unreachable), None);
        assert_eq!(asked(Why::Throttled { retry_after: Some(Duration::from_secs(7)) }), Some(7));
        assert_eq!(asked(Why::Throttled { retry_after: None }), None);
        assert_eq!(asked(Why::Quota), Some(12 * 3600), "until midnight UTC");
        assert_eq!(asked(Why::Suspended), Some(600));
    }

    #[test]
    fn a_device_that_waits_for_its_turn_costs_no_attempt_and_one_that_is_stolen_keeps_still() {
        let retry_after = Duration::from_secs(3);
        assert_eq!(decide(Why::NotYet { retry_after }, moment()), Effect::NotYet(retry_after));
        assert!(!hub_works(&failed(Why::NotYet { retry_after })), "the hub has said nothing");
        let stolen = Why::Stolen { retry_after: Some(Duration::from_secs(300)) };
        assert!(matches!(decide(stolen, moment()), Effect::Stolen(wait, _) if wait == Duration::from_secs(300)));
        assert!(hub_works(&failed(stolen)));
    }

    #[test]
    fn a_hub_in_trouble_is_believed_and_its_word_counts_for_the_message_too() {
        let unavailable = |seconds: Option<u64>| {
            let retry_after = seconds.map(Duration::from_secs);
            match decide(Why::Unavailable { retry_after }, moment()) {
                Effect::RetryHubDown(wait, asked, _) => (wait.as_secs(), asked.map(|a| a.as_secs())),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(unavailable(None), (1, None));
        assert_eq!(unavailable(Some(17)), (17, Some(17)));
    }

    #[test]
    fn a_message_that_never_goes_is_buried_with_the_hubs_words() {
        for (why, code) in [(Why::TooLarge, "too_large"), (Why::Rejected, "rejected")] {
            let Effect::Bury(reason) = decide(why, moment()) else { panic!("{why:?}") };
            assert_eq!(reason.code, code);
            assert!(reason.detail.contains("said the hub"));
        }
    }

    #[test]
    fn an_answer_about_one_device_shows_a_hub_that_works() {
        for why in [Why::Unauthorized, Why::NotFound, Why::Disabled, Why::Blocked, Why::TooLarge, Why::Rejected] {
            assert!(hub_works(&failed(why)), "{why:?}");
        }
        let hub =
            [Why::Quota, Why::Throttled { retry_after: None }, Why::Unreachable, Why::Lost, Why::TimedOut, Why::Closed];
        for why in hub {
            assert!(!hub_works(&failed(why)), "{why:?}");
        }
        assert!(hub_works(&Ok(())));
    }
}
