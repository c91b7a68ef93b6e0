//! `POST /api/v1/queue/takeover`: messages from a storage queue of the predecessor's, each once.
//!
//! Promises: a message whose outcome is [`Outcome::Kept`] or [`Outcome::Buried`] is on stable storage together with the note that it
//! is here, so that whoever was killed before the message was deleted over there may send it again: it is [`Outcome::Known`] then.
//! The note goes once the sender says that the message is gone over there, for then it cannot come again.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use queue::{Burial, LeaseError, Note, Place, Put, UnixMillis};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::problem::Problem;
use crate::device::Shared;
use crate::events::Event;
use crate::reason::reason;
use crate::webhook::keys::Admission;
use crate::webhook::sort::{Arrival, sort};

/// Messages in one request: as many as a storage queue gives at once. A commit each: 0.6 s where a flush takes 20 ms.
pub const AT_ONCE: usize = 32;
/// Bytes of a request: [`AT_ONCE`] messages of 64 KiB are 2.7 MiB in base64.
pub const BODY_MAX: usize = 4 << 20;
/// Ids that may be gone since the request before: whoever deletes many at once says so in pieces.
pub const GONE_MAX: usize = 2_048;
/// Characters of a message's id; the service's are UUIDs of 36.
const ID_MAX: usize = 64;
/// The predecessor's address: the body was posted there.
const PATH: &str = "/api/UplinkProcessor";
/// Collection of notes: the ids of messages that are here and may still be there.
const SPACE: &str = "takeover";

/// What one request brings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TakeoverBatch)]
pub struct Batch {
    /// In the order in which they are to be kept.
    pub messages: Vec<Foreign>,
    /// Ids of messages that were sent before and are deleted over there.
    #[serde(default)]
    pub gone: Vec<String>,
}

/// A message of another queue.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TakeoverMessage)]
pub struct Foreign {
    /// The other queue's name for it, which it never gives again.
    pub id: String,
    /// When it was put there, milliseconds since 1970.
    pub put_at: UnixMillis,
    /// It was given up there: to the dead letters.
    #[serde(default)]
    pub poison: bool,
    /// What it says.
    pub body_base64: String,
}

/// What became of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TakenOver)]
pub struct Taken {
    /// In the order of the request.
    pub outcomes: Vec<Outcome>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[schema(as = TakeoverOutcome)]
pub enum Outcome {
    /// It waits to be sent.
    Kept,
    /// It is a dead letter.
    Buried {
        /// A fixed word: see docs/dead-letters.md.
        reason: String,
    },
    /// It came before.
    Known,
    /// Nothing of it is kept, for it is no message at all: it has to stay where it is.
    NotJson,
}

/// Takes messages of a storage queue over, each once.
#[utoipa::path(post, path = "/api/v1/queue/takeover", tag = "queue", request_body = Batch, responses((status = 200, body = Taken),
    (status = 400, description = "the request is wrong", content_type = "application/problem+json", body = super::problem::Told),
    (status = 409, description = "the queue is shared", content_type = "application/problem+json", body = super::problem::Told),
    (status = 503, description = "not now, or not here", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn take_over(
    State(admin): State<Arc<Admin>>,
    body: Result<Json<Batch>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(batch) = body.map_err(|e| Problem::new(e.status(), "bad_request", e.body_text()))?;
    check(&batch)?;
    let flow = flow(&admin)?;
    // Two requests with the same message must not both find that it is new.
    let _one_at_a_time = admin.takeovers.lock().await;
    forget(&admin, batch.gone).await?;
    let known = admin.queue.notes(SPACE).await.map_err(|e| unreadable(&e))?;
    let mut known: BTreeSet<String> = known.into_iter().map(|(id, _)| id).collect();
    let mut outcomes = Vec::with_capacity(batch.messages.len());
    for message in batch.messages {
        let outcome = if known.contains(&message.id) {
            Outcome::Known
        } else {
            known.insert(message.id.clone());
            keep(&admin, flow, message).await?
        };
        outcomes.push(outcome);
    }
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    let kept = count(|outcome| *outcome == Outcome::Kept);
    let buried = count(|outcome| matches!(outcome, Outcome::Buried { .. }));
    if kept + buried > 0 {
        admin.events.emit(Event::TakenOver { kept, buried });
    }
    Ok(Json(Taken { outcomes }).into_response())
}

fn check(batch: &Batch) -> Result<(), Problem> {
    if batch.messages.len() > AT_ONCE || batch.gone.len() > GONE_MAX {
        let detail = format!("at most {AT_ONCE} messages and {GONE_MAX} ids at once");
        return Err(Problem::bad_request(detail));
    }
    let is_id = |id: &str| (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let mut ids = batch.messages.iter().map(|message| &message.id).chain(&batch.gone);
    match ids.all(|id| is_id(id)) {
        true => Ok(()),
        false => Err(Problem::bad_request(format!("id: 1 to {ID_MAX} printable characters"))),
    }
}

fn flow(admin: &Admin) -> Result<&Shared, Problem> {
    if admin.queue.is_shared() {
        let mend = "messages are taken over into an embedded queue: run with queue.kind = \"embedded\" until they are sent, then \
                    change over";
        return Err(Problem::new(StatusCode::CONFLICT, "shared_queue", mend));
    }
    let mend = "this process only takes messages; ask the one that sends them (`--role worker` or `all`)";
    admin.flow.as_deref().ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_worker", mend))
}

async fn forget(admin: &Admin, gone: Vec<String>) -> Result<(), Problem> {
    if gone.is_empty() {
        return Ok(());
    }
    let notes = gone.into_iter().map(|id| Note { space: SPACE.to_owned(), key: id, value: None }).collect();
    // Notes of a queue of our own are beside no lane in particular.
    admin.queue.write_notes("", notes).await.map_err(|e| unreadable(&e))
}

async fn keep(admin: &Admin, flow: &Shared, message: Foreign) -> Result<Outcome, Problem> {
    let body = BASE64_STANDARD.decode(&message.body_base64);
    let body = body.map_err(|e| Problem::bad_request(format!("body_base64: {e}")))?;
    let said = Said { body: &body, put_at: message.put_at, is_poison: message.poison };
    let Some(put) = said.put(&flow.config.get().webhook.network, flow.world.now()) else {
        return Ok(Outcome::NotJson);
    };
    let outcome = match &put.place {
        Place::Import(burial) => Outcome::Buried { reason: burial.reason.code.clone() },
        Place::Lane | Place::DeadLetters(_) => Outcome::Kept,
    };
    let note = Note { space: SPACE.to_owned(), key: message.id, value: Some(Vec::new()) };
    match admin.queue.put_noted(put, note).await {
        Ok(_) => Ok(outcome),
        Err(e) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", e.to_string())),
    }
}

/// What a message of another queue says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// Its text, out of base64.
    pub body: &'a [u8],
    /// When it was put there.
    pub put_at: UnixMillis,
    /// It was given up there.
    pub is_poison: bool,
}

impl Said<'_> {
    /// PURE: as our queue takes it; nothing, when it is no JSON. What is buried was buried now, whenever it was put over there, so
    /// that its time among the dead letters begins anew.
    pub fn put(self, network: &str, now: UnixMillis) -> Option<Put> {
        let admission = Admission { network: network.to_owned(), applications: None };
        let arrival = Arrival { body: self.body, binary: false, path: PATH, admission: &admission };
        let mut put = sort(arrival).ok()?.into_put(self.put_at);
        let reason = match (&put.place, self.is_poison) {
            (Place::DeadLetters(reason), _) => Some(reason.clone()),
            (_, true) => {
                Some(reason("predecessor_poison", "its processor had given it up: it stood in the poison queue"))
            }
            (_, false) => None,
        };
        if let Some(reason) = reason {
            put.place = Place::Import(Box::new(Burial::at_once(reason, now)));
        }
        Some(put)
    }
}

fn unreadable(error: &LeaseError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue", error.to_string())
}
