//! `/api/v1/messages`: where a message is, and how it got there.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use queue::{DeadLetter, Seq, UnixMillis};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::problem::{Problem, Told};
use crate::feed::journeys::{self, Stamps};
use crate::head::Head;
use crate::lane::DeviceKey;

/// Messages when nobody says, and at the most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Messages that one correlation id may mean: all of a gateway's connection share one.
const FOUND_MAX: usize = 100;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// At most 1000; 100 when nobody says.
    limit: Option<usize>,
    /// Only those of this network.
    network: Option<String>,
    /// Only those of this application.
    application: Option<String>,
    /// Only those of this device.
    device: Option<String>,
}

/// The last messages.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Messages {
    /// Newest step first.
    messages: Vec<Journey>,
}

/// Those that were meant.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Found {
    /// Newest step first.
    found: Vec<Journey>,
}

/// One message's walk, as far as it has come. Moments are milliseconds since 1970.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Journey {
    /// Position in the queue.
    seq: u64,
    /// Empty where it is not known, as the two after it.
    network: String,
    application: String,
    device: String,
    /// `uplink_message` and its kin.
    kind: String,
    /// `waiting`, `held`, `being_sent`, `delivered`, `buried`, `kept`, `duplicate` or `dropped`.
    state: &'static str,
    /// Its id in IoT Hub.
    message_id: Option<String>,
    /// The target's name in the configuration.
    target: Option<String>,
    /// Its device's name there.
    device_id: Option<String>,
    /// The hub's host name.
    hub: Option<String>,
    /// Counted attempts that failed.
    attempts: u32,
    /// Why the last of them failed, why it is held, or why it was buried.
    last_cause: Option<String>,
    /// The beginning of what IoT Hub got, of the last fifty that were delivered.
    body: Option<String>,
    /// In the order of their times.
    steps: Vec<Step>,
    /// From the door to its end.
    took_ms: Option<i64>,
}

/// One step of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Step {
    /// Milliseconds since 1970.
    at: UnixMillis,
    /// `accepted`, `leased`, `registered`, `sent`, `retried`, `replayed`, or the state that it ended in.
    step: &'static str,
    /// What there is to say of it.
    detail: Option<String>,
}

/// The last messages, newest step first.
#[utoipa::path(get, path = "/api/v1/messages", tag = "messages", params(Listing), responses((status = 200, body = Messages),
    (status = 400, description = "a parameter is wrong", content_type = "application/problem+json", body = Told)))]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Listing>, QueryRejection>,
) -> Result<Json<Messages>, Problem> {
    let Query(Listing { limit, network, application, device }) =
        query.map_err(|e| Problem::bad_request(e.body_text()))?;
    let limit = limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let wanted = [network.as_deref(), application.as_deref(), device.as_deref()];
    let last = admin.events.feed().journeys.last(wanted, limit);
    Ok(Json(Messages { messages: last.into_iter().map(|journey| admin.told(journey)).collect() }))
}

/// One message, by its position in the queue, its id in IoT Hub, or a correlation id of the network.
#[utoipa::path(get, path = "/api/v1/messages/{id}", tag = "messages", params(("id" = String, Path, description = "one of the three")),
    responses((status = 200, body = Found),
    (status = 404, description = "not among those that are remembered", content_type = "application/problem+json", body = Told)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Found>, Problem> {
    let Path(id) = path.map_err(|e| Problem::bad_request(e.body_text()))?;
    let journeys = &admin.events.feed().journeys;
    let mut found: Vec<_> = journeys.find(&id, FOUND_MAX).into_iter().map(|journey| admin.told(journey)).collect();
    if found.is_empty()
        && let Ok(seq) = id.parse()
    {
        let letter = admin.queue.dead_letter(Seq(seq)).await;
        let letter = letter.map_err(|e| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", e.to_string()))?;
        found.extend(letter.map(buried));
    }
    if !found.is_empty() {
        return Ok(Json(Found { found }));
    }
    let since = journeys.since().map_or("nothing is remembered yet".to_owned(), |at| {
        let at = jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string());
        format!("the last {} messages are remembered, of which the first came at {at}", journeys::JOURNEYS_MAX)
    });
    let why = format!(
        "no message of this position, message id or correlation id is known here: {since}, and the dead letters"
    );
    Err(Problem::new(StatusCode::NOT_FOUND, "unknown_message", why))
}

impl Admin {
    fn told(&self, journey: journeys::Journey) -> Journey {
        let body = journey.state.is_end().then(|| self.events.feed().journeys.body(journey.seq)).flatten();
        let DeviceKey { network, application, device } = journey.device.as_deref().cloned().unwrap_or_else(nobody);
        Journey {
            steps: steps(&journey),
            took_ms: journey.took_ms(),
            seq: journey.seq,
            network,
            application,
            device,
            kind: journey.kind.to_owned(),
            state: journey.state.word(),
            message_id: journey.message_id.map(|id| id.to_string()),
            target: journey.way.as_ref().map(|way| way.target.clone()),
            device_id: journey.way.as_ref().map(|way| way.id.clone()),
            hub: journey.hub.as_deref().map(str::to_owned),
            attempts: journey.attempts,
            last_cause: journey.last_cause.map(Into::into),
            body,
        }
    }
}

fn nobody() -> DeviceKey {
    DeviceKey { network: String::new(), application: String::new(), device: String::new() }
}

/// PURE: the walk, step by step.
fn steps(journey: &journeys::Journey) -> Vec<Step> {
    let Stamps { accepted_at, leased, sent, ended, .. } = journey.stamps;
    let hub = || journey.hub.as_deref().map(str::to_owned);
    let cause = || journey.last_cause.as_deref().map(str::to_owned);
    let tried = || Some(format!("attempt {}: {}", journey.attempts, cause().unwrap_or_default()));
    let end = journey.state.is_end().then_some(ended).flatten();
    let is_delivered = journey.state == journeys::State::Delivered;
    let all = [
        (Some(accepted_at), "accepted", None),
        (leased.map(|stamp| stamp.at), "leased", None),
        (journey.registered_at, "registered", hub()),
        (journey.retried_at, "retried", tried()),
        (journey.replayed_at, "replayed", None),
        (sent.map(|stamp| stamp.at), "sent", hub()),
        (end.map(|stamp| stamp.at), journey.state.word(), if is_delivered { hub() } else { cause() }),
    ];
    let mut steps: Vec<_> =
        all.into_iter().filter_map(|(at, step, detail)| Some(Step { at: at?, step, detail })).collect();
    steps.sort_by_key(|step| step.at); // of two at the same time the order above
    steps
}

/// A dead letter that is older than what is remembered.
fn buried(letter: DeadLetter) -> Journey {
    let DeadLetter { message, reason, buried_at, .. } = letter;
    let head = Head::read(&message.head).unwrap_or_default();
    let step = |at, step, detail| Step { at, step, detail };
    let mut steps = vec![step(message.accepted_at, "accepted", None)];
    steps.extend(message.last_attempt_at.map(|at| step(at, "retried", message.last_cause.clone())));
    steps.push(step(buried_at, "buried", Some(reason.detail.clone())));
    Journey {
        seq: message.seq.0,
        network: head.network,
        application: head.application.unwrap_or_default(),
        device: head.device.unwrap_or_default(),
        kind: message.kind,
        state: journeys::State::Buried.word(),
        message_id: None,
        target: None,
        device_id: None,
        hub: None,
        attempts: message.attempts,
        last_cause: Some(reason.detail),
        body: None,
        steps,
        took_ms: Some(buried_at - message.accepted_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Stamp;

    #[test]
    fn a_walk_is_told_in_the_order_of_its_times() {
        let stamp = |at| Some(Stamp { at, us: 0 });
        let stamps =
            Stamps { accepted_at: 10, leased: stamp(11), sent: stamp(40), ended: stamp(42), ..Stamps::default() };
        let journey = journeys::Journey {
            state: journeys::State::Delivered,
            stamps,
            registered_at: Some(15),
            retried_at: Some(30),
            attempts: 1,
            hub: Some("hub".into()),
            last_cause: Some("503".into()),
            ..journeys::Journey::default()
        };
        let told: Vec<_> = steps(&journey).into_iter().map(|step| (step.at, step.step, step.detail)).collect();
        let hub = || Some("hub".to_owned());
        let expected = [
            (10, "accepted", None),
            (11, "leased", None),
            (15, "registered", hub()),
            (30, "retried", Some("attempt 1: 503".to_owned())),
            (40, "sent", hub()),
            (42, "delivered", hub()),
        ];
        assert_eq!(told, expected);
        let again = journeys::Journey { state: journeys::State::Waiting, ..journey };
        assert!(steps(&again).iter().all(|step| step.step != "waiting"), "it has not ended");
    }
}
