//! What is told of a dead letter, and read again by whoever imports it. Moments are milliseconds since 1970.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use queue::{Burial, DeadLetter, Message, Place, Put, Reason, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::head::Head;
use crate::lane::Lane;
use crate::reason::{self, Class};

/// A dead letter. With its message it is a line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Its position; another one where it is imported.
    pub seq: u64,
    /// A fixed word: see docs/dead-letters.md.
    pub reason: String,
    /// Who has to do something.
    pub class: Class,
    /// What happened, a sentence.
    pub detail: String,
    /// What can be done about it.
    pub mend: String,
    /// When it was buried.
    pub buried_at: UnixMillis,
    /// `uplink_message` and its kin.
    pub kind: String,
    /// Which network it came from.
    pub network: String,
    /// The application, when the message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The device, when the message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The DevEUI as the network wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_eui: Option<String>,
    /// Where it waited, and would again.
    pub lane: String,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
    /// Attempts to send it, since it was accepted or replayed.
    pub attempts: u32,
    /// When the first of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt_at: Option<UnixMillis>,
    /// When the last of them ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt_at: Option<UnixMillis>,
    /// What the last of them came to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cause: Option<String>,
    /// How often it was replayed.
    #[serde(default)]
    pub replays: u32,
    /// Bytes of its body.
    pub bytes: usize,
    /// It is what was accepted. Only such a letter can be replayed.
    pub is_whole: bool,
    /// What the door noted beside it, as JSON in a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The body, when it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body, when it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// A page of letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LetterPage)]
pub struct Page {
    /// By position. May be empty on a page that is not the last.
    pub letters: Vec<Letter>,
    /// `after` of the next page; none on the last.
    pub next: Option<u64>,
}

/// What became of letters that were named by their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = LetterOutcome)]
pub struct Outcome {
    /// Replayed, or dropped.
    pub done: Vec<u64>,
    /// Not there, or not any more.
    pub missing: Vec<u64>,
    /// Not what was accepted any more: cannot be replayed.
    pub damaged: Vec<u64>,
}

/// How many letters were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Imported {
    /// All that were sent.
    pub imported: usize,
}

impl Letter {
    /// With its message, or without.
    pub(super) fn of(letter: DeadLetter, whole: bool) -> Self {
        let DeadLetter { message, reason, buried_at, is_whole } = letter;
        let Message { seq, lane, kind, head: stored, body, accepted_at, attempts, .. } = message;
        let Message { first_attempt_at, last_attempt_at, last_cause, replays, .. } = message;
        let head = Head::read(&stored).unwrap_or_default();
        let known = reason::of(&reason.code);
        let bytes = body.len();
        let (text, base64) = match String::from_utf8(body) {
            _ if !whole => (None, None),
            Ok(text) if is_text(&text) => (Some(text), None),
            Ok(text) => (None, Some(BASE64_STANDARD.encode(text))),
            Err(e) => (None, Some(BASE64_STANDARD.encode(e.as_bytes()))),
        };
        Self {
            seq: seq.0,
            reason: reason.code,
            class: known.class,
            detail: reason.detail,
            mend: known.mend.to_owned(),
            buried_at,
            kind,
            network: head.network,
            application: head.application,
            device: head.device,
            dev_eui: head.dev_eui,
            lane,
            accepted_at,
            attempts,
            first_attempt_at,
            last_attempt_at,
            last_cause,
            replays,
            bytes,
            is_whole,
            head: whole.then(|| String::from_utf8_lossy(&stored).into_owned()),
            body: text,
            body_base64: base64,
        }
    }

    /// As the queue takes it.
    ///
    /// # Errors
    /// What is missing or wrong, with the key.
    pub(super) fn into_put(self) -> Result<Put, String> {
        if !self.is_whole {
            return Err("is_whole: is false, so there is no message to keep".to_owned());
        }
        let body = match (self.body, self.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).map_err(|e| format!("body_base64: {e}"))?,
            _ => return Err("body, body_base64: give one of them; `export` writes it".to_owned()),
        };
        let head = self.head.ok_or("head: is missing; `export` writes it")?;
        Head::read(head.as_bytes()).map_err(|e| format!("head: {e}"))?;
        Lane::parse(&self.lane).ok_or_else(|| format!("lane: `{}` is none", self.lane))?;
        let burial = Burial {
            reason: Reason { code: self.reason, detail: self.detail },
            buried_at: self.buried_at,
            attempts: self.attempts,
            first_attempt_at: self.first_attempt_at,
            last_attempt_at: self.last_attempt_at,
            last_cause: self.last_cause,
            replays: self.replays,
        };
        Ok(Put {
            lane: self.lane,
            kind: self.kind,
            head: head.into_bytes(),
            body,
            accepted_at: self.accepted_at,
            place: Place::Import(Box::new(burial)),
        })
    }
}

/// What a person can read. The other control characters take six bytes each in JSON.
fn is_text(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests {
    use queue::Seq;

    use super::*;

    fn letter(body: &[u8]) -> DeadLetter {
        let head = Head { network: "ttn".into(), application: Some("a".into()), ..Head::default() };
        let put = Put {
            lane: "t/ttn/a/d".into(),
            kind: "uplink_message".into(),
            head: head.to_bytes(),
            body: body.to_vec(),
            accepted_at: 7,
            place: Place::Lane,
        };
        let message = Message { attempts: 3, last_cause: Some("503".into()), ..put.into_message(Seq(5)) };
        let reason = Reason { code: "rejected".into(), detail: "400".into() };
        DeadLetter { message, reason, buried_at: 9, is_whole: true }
    }

    #[test]
    fn what_is_exported_is_imported_to_the_byte() {
        for body in [b"{\"a\": 1.0}\r\n".as_slice(), b"", b"\0\x01", "é\u{85}".as_bytes(), &[0xFF, 0xFE]] {
            let line = serde_json::to_string(&Letter::of(letter(body), true)).expect("it is JSON");
            let put = serde_json::from_str::<Letter>(&line).expect("our own").into_put().expect("our own");
            let before = letter(body);
            assert_eq!((put.body.as_slice(), put.head), (body, before.message.head));
            assert_eq!((put.accepted_at, put.lane, put.kind), (7, before.message.lane, before.message.kind));
            let Place::Import(burial) = put.place else { panic!("it goes to the dead letters") };
            assert_eq!((burial.reason, burial.buried_at, burial.attempts), (before.reason, 9, 3));
            assert_eq!(burial.last_cause.as_deref(), Some("503"));
        }
    }

    #[test]
    fn what_cannot_be_kept_names_its_key() {
        let whole = || Letter::of(letter(b"{}"), true);
        let cases = [
            ("body", Letter { body: None, ..whole() }),
            ("body", Letter { body_base64: Some(String::new()), ..whole() }),
            ("body_base64", Letter { body: None, body_base64: Some("?".into()), ..whole() }),
            ("head", Letter { head: None, ..whole() }),
            ("head", Letter { head: Some("[]".into()), ..whole() }),
            ("lane", Letter { lane: "elsewhere".into(), ..whole() }),
            ("is_whole", Letter { is_whole: false, ..whole() }),
        ];
        for (key, letter) in cases {
            assert!(letter.into_put().expect_err(key).starts_with(key), "{key}");
        }
    }
}
