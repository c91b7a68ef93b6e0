//! From a message's walk to the spans of its trace. PURE.
//!
//! `uplink` is the whole: from the end of the body at the webhook to the commit of what became of it. Below it, as far as this process
//! knows: `accept` (the commit), `wait` (in the queue), `provision` (when the device was registered meanwhile), `send` (each attempt, to
//! the hub's answer) and `settle`. Times are measured by a clock that nobody can set, from the first moment that is known.

use lorawan::fingerprint::Fingerprint;
use sha2::{Digest, Sha256};

use super::otlp::{Code, KeyValue, Kind, Span, Status, text, whole};
use crate::feed::journeys::{Journey, Stamps, State};
use crate::world::Stamp;

/// What a hub is called in `messaging.system`.
const SYSTEM: &str = "azure_iothub";

/// The message id; of what was never understood one that its position gives.
pub(super) fn trace_id(seq: u64, message_id: Option<Fingerprint>) -> [u8; 16] {
    message_id.map_or_else(|| digest(&[b"longhaul/seq", &seq.to_be_bytes()]), |id| id.0)
}

/// All spans of a walk that has ended, the root first.
pub(super) fn walk(journey: &Journey) -> Vec<Span> {
    let Some((time, whole)) = Time::of(&journey.stamps) else { return Vec::new() };
    let telling = Telling::new(journey);
    let mut spans = vec![telling.root(whole)];
    let stamps = &journey.stamps;
    let mut add = |name, from: Option<Stamp>, to: Option<Stamp>| {
        if let Some((from, to)) = from.zip(to) {
            spans.push(telling.child(name, 0, [time.nanos(from), time.nanos(to)]));
        }
    };
    add("accept", stamps.read, stamps.accepted);
    add("wait", stamps.accepted, stamps.leased);
    let was_sent = journey.state == State::Delivered;
    add("settle", stamps.answered.filter(|_| was_sent), stamps.ended);
    if let (Some(at), Some(from), Some(to)) = (journey.registered_at, stamps.leased, stamps.sent) {
        // Known in milliseconds of the wall's clock alone.
        let (from, to) = (time.nanos(from), time.nanos(to));
        let end = (at.max(0).cast_unsigned() * 1_000_000).clamp(from, to.max(from));
        spans.push(telling.child("provision", 0, [from, end]));
    }
    if let (true, Some(from), Some(to)) = (was_sent, stamps.sent, stamps.answered) {
        spans.push(telling.send(journey.attempts.saturating_add(1), [time.nanos(from), time.nanos(to)]));
    }
    spans
}

/// The span of a send that failed and is counted in `attempts` by now.
pub(super) fn failed(journey: &Journey, at: Stamp, cause: &str) -> Option<Span> {
    let (time, _) = Time::of(&Stamps { ended: Some(at), ..journey.stamps })?;
    let mut span = Telling::new(journey).send(journey.attempts, [time.nanos(journey.stamps.sent?), time.nanos(at)]);
    span.status = Some(error(cause));
    Some(span)
}

/// How steady microseconds become nanoseconds since 1970.
struct Time(Stamp);

impl Time {
    /// With the beginning and the end of all of it. None where nothing is known to have ended.
    fn of(stamps: &Stamps) -> Option<(Self, [u64; 2])> {
        let known = [stamps.read, stamps.accepted, stamps.leased, stamps.sent, stamps.answered, stamps.ended];
        let time = Self(known.into_iter().flatten().next()?);
        let end = time.nanos(stamps.ended?);
        // Accepted by another process, or before this one was started: by its clock, and only to the millisecond.
        let begin = match stamps.read {
            Some(read) => time.nanos(read),
            None => (stamps.accepted_at.max(0).cast_unsigned() * 1_000_000).min(time.nanos(time.0)),
        };
        Some((time, [begin, end.max(begin)]))
    }

    fn nanos(&self, stamp: Stamp) -> u64 {
        let since = stamp.us.cast_signed() - self.0.us.cast_signed();
        (self.0.at * 1_000_000).saturating_add(since * 1_000).max(0).cast_unsigned()
    }
}

/// Whose spans they are.
struct Telling<'a> {
    journey: &'a Journey,
    trace_id: [u8; 16],
    root: [u8; 8],
}

impl<'a> Telling<'a> {
    fn new(journey: &'a Journey) -> Self {
        let trace_id = trace_id(journey.seq, journey.message_id);
        Self { journey, trace_id, root: span_id(&trace_id, journey.seq, "root", 0) }
    }

    fn root(&self, times: [u64; 2]) -> Span {
        let journey = self.journey;
        let name = if journey.kind == "uplink_message" { "uplink" } else { journey.kind };
        let mut span = self.span(name, self.root, times);
        span.parent_span_id = Vec::new();
        span.kind = Kind::Consumer.into();
        span.attributes = self.attributes();
        span.attributes.push(text("longhaul.state", journey.state.word()));
        span.attributes.push(whole("longhaul.attempts", journey.attempts.into()));
        if journey.state == State::Buried {
            span.attributes.push(text("error.type", "buried"));
            span.status = Some(error(journey.last_cause.as_deref().unwrap_or_default()));
        }
        span
    }

    /// What is known of the message.
    fn attributes(&self) -> Vec<KeyValue> {
        let journey = self.journey;
        let mut attributes = vec![whole("longhaul.seq", journey.seq), text("longhaul.kind", journey.kind)];
        if let Some(id) = journey.message_id {
            attributes.push(text("messaging.message.id", id.to_string()));
        }
        if let Some(device) = &journey.device {
            attributes.push(text("longhaul.network", &device.network));
            attributes.push(text("longhaul.application", &device.application));
            attributes.push(text("longhaul.device", &device.device));
        }
        if let Some(way) = &journey.way {
            attributes.push(text("longhaul.target", &way.target));
            attributes.push(text("longhaul.device_id", &way.id));
        }
        attributes
    }

    fn send(&self, attempt: u32, times: [u64; 2]) -> Span {
        let mut span = self.child("send", attempt, times);
        span.kind = Kind::Producer.into();
        span.attributes = vec![
            text("messaging.system", SYSTEM),
            text("messaging.operation.name", "send"),
            text("messaging.operation.type", "send"),
            whole("longhaul.attempt", attempt.into()),
        ];
        if let Some(hub) = &self.journey.hub {
            span.attributes.push(text("messaging.destination.name", &**hub));
            span.attributes.push(text("server.address", &**hub));
        }
        if let Some(id) = self.journey.message_id {
            span.attributes.push(text("messaging.message.id", id.to_string()));
        }
        span
    }

    fn child(&self, name: &str, attempt: u32, times: [u64; 2]) -> Span {
        self.span(name, span_id(&self.trace_id, self.journey.seq, name, attempt), times)
    }

    fn span(&self, name: &str, span_id: [u8; 8], [start, end]: [u64; 2]) -> Span {
        Span {
            trace_id: self.trace_id.into(),
            span_id: span_id.into(),
            parent_span_id: self.root.into(),
            name: name.to_owned(),
            kind: Kind::Internal.into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end.max(start),
            attributes: Vec::new(),
            status: None,
        }
    }
}

/// Two copies of a message have one trace, and two positions.
fn span_id(trace_id: &[u8; 16], seq: u64, name: &str, attempt: u32) -> [u8; 8] {
    let [id @ .., _, _, _, _, _, _, _, _] =
        digest(&[trace_id, &seq.to_be_bytes(), name.as_bytes(), &attempt.to_be_bytes()]);
    id
}

fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    short
}

fn error(cause: &str) -> Status {
    Status { message: cause.to_owned(), code: Code::Error.into() }
}

#[cfg(test)]
mod tests;
