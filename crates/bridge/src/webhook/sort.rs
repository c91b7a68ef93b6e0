//! From a body to what is kept of it. Pure.
//!
//! Promises: everything that is JSON is kept, sorted as far as its envelope can be read; what is stored has no
//! secrets in it. Relies on [`lorawan`] for the envelope and for what is secret. Knows no payloads.

use lorawan::envelope::{self, Envelope, Unreadable};
use lorawan::event::EventKind;
use lorawan::secrets;
use queue::{Place, Put, Reason, UnixMillis};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::keys::Admission;
use crate::head::Head;
use crate::lane::{DeviceKey, Lane};
use crate::reason::reason;

/// Characters of a path that are kept; the ones that mean something have fewer.
const MAX_PATH_KEPT: usize = 128;
/// Bytes of an application's or a device's name. The Things Stack allows 36, V2 allowed 36, IoT Hub takes 128; a name
/// becomes part of a lane and of log lines, so a megabyte of it must not pass.
const MAX_NAME_BYTES: usize = 256;
/// Characters of a sentence about a body: it may quote the body's words.
const MAX_DETAIL: usize = 500;

/// A body and what is known about its request.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The whole body.
    pub body: &'a [u8],
    /// Its content type is one that The Things Stack uses for its binary format.
    pub binary: bool,
    /// The path, without the query.
    pub path: &'a str,
    /// What the key allows.
    pub admission: &'a Admission,
}

/// What is to be kept.
#[derive(Clone, Debug)]
pub struct Sorted {
    /// Where it waits.
    pub lane: Lane,
    /// The kind it is filed under.
    pub kind: &'static str,
    /// What is noted beside it.
    pub head: Head,
    /// The body without its secrets.
    pub body: Vec<u8>,
    /// Why it can never be used as it is, if so.
    pub useless: Option<Reason>,
}

impl Sorted {
    /// As the queue takes it.
    pub fn into_put(self, accepted_at: UnixMillis) -> Put {
        Put {
            lane: self.lane.to_string(),
            kind: self.kind.to_owned(),
            head: self.head.to_bytes(),
            body: self.body,
            accepted_at,
            place: self.useless.map_or(Place::Lane, Place::DeadLetters),
        }
    }
}

/// Decides what a body is.
///
/// # Errors
/// The answer, when nothing is kept.
pub fn sort(arrival: Arrival<'_>) -> Result<Sorted, Answer> {
    match envelope::read(arrival.body) {
        Ok(envelope) => message(arrival, envelope),
        Err(Unreadable::NotUnderstood { detail }) => Ok(not_understood(arrival, detail)),
        // The binary format may begin like JSON, JSON never reads as the binary format: so JSON is tried first.
        Err(Unreadable::NotJson { .. }) if arrival.binary && !arrival.body.is_empty() => Ok(protobuf(arrival)),
        Err(Unreadable::NotJson { line, column, cause }) => Err(Answer::NotJson { line, column, cause }),
    }
}

/// What becomes of a letter that could not be sorted when it came.
///
/// # Errors
/// Why it still cannot.
pub fn sort_again(head: &Head, body: &[u8]) -> Result<Sorted, Reason> {
    let admission = Admission { network: head.network.clone(), applications: None };
    let arrival = Arrival { body, binary: head.format == "protobuf", path: &head.path, admission: &admission };
    match sort(arrival) {
        Ok(sorted @ Sorted { useless: None, .. }) => Ok(sorted),
        Ok(Sorted { useless: Some(useless), .. }) => Err(useless),
        Err(answer) => Err(reason("not_understood", &format!("still {}", answer.word().replace('_', " ")))),
    }
}

fn message(arrival: Arrival<'_>, envelope: Envelope) -> Result<Sorted, Answer> {
    if !arrival.admission.allows(envelope.application.as_deref()) {
        return Err(Answer::WrongApplication);
    }
    let body = secrets::strip(arrival.body).into_owned();
    let head = Head {
        application: envelope.application.filter(|name| is_usable(name)),
        device: envelope.device.filter(|name| is_usable(name)),
        dev_eui: envelope.dev_eui.filter(|name| is_usable(name)),
        ..head(arrival, envelope.format.as_str())
    };
    let (lane, useless) = match key(&head) {
        Ok(key) if envelope.kind == EventKind::UplinkMessage => (Lane::Telemetry(key), None),
        Ok(key) => (Lane::News(key), None),
        Err(reason) => (Lane::Unsorted { network: head.network.clone() }, Some(reason)),
    };
    Ok(Sorted { lane, kind: envelope.kind.as_str(), head, body, useless })
}

fn is_usable(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
}

fn key(head: &Head) -> Result<DeviceKey, Reason> {
    let missing = |what| {
        let detail = format!(
            "the message names no {what}, or one beyond {MAX_NAME_BYTES} bytes; does the webhook's field mask cut the \
             device's identifiers off?"
        );
        reason("no_identity", &detail)
    };
    Ok(DeviceKey {
        network: head.network.clone(),
        application: head.application.clone().ok_or_else(|| missing("application"))?,
        device: head.device.clone().ok_or_else(|| missing("device"))?,
    })
}

fn not_understood(arrival: Arrival<'_>, detail: String) -> Sorted {
    let detail: String = detail.chars().take(MAX_DETAIL).collect();
    unsorted(arrival, "unknown", reason("not_understood", &detail), secrets::strip(arrival.body).into_owned())
}

fn protobuf(arrival: Arrival<'_>) -> Sorted {
    let mut detail = "the webhook sends the binary format; set its format to JSON in the console".to_owned();
    let body = secrets::strip_protobuf(arrival.body).unwrap_or_else(|| {
        // Where the secrets are is not known, so nothing of it may be stored; the digest tells two of them apart.
        let digest: String = Sha256::digest(arrival.body).iter().map(|byte| format!("{byte:02x}")).collect();
        detail += &format!(" (not readable as such: {} bytes, SHA-256 {digest}, not stored)", arrival.body.len());
        Vec::new()
    });
    unsorted(arrival, "protobuf", reason("protobuf_format", &detail), body)
}

fn unsorted(arrival: Arrival<'_>, word: &'static str, reason: Reason, body: Vec<u8>) -> Sorted {
    let lane = Lane::Unsorted { network: arrival.admission.network.clone() };
    Sorted { lane, kind: word, head: head(arrival, word), body, useless: Some(reason) }
}

fn head(arrival: Arrival<'_>, format: &str) -> Head {
    Head {
        network: arrival.admission.network.clone(),
        format: format.to_owned(),
        path: arrival.path.chars().take(MAX_PATH_KEPT).collect(),
        ..Head::default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(body: &[u8], binary: bool) -> Result<Sorted, Answer> {
        let admission = Admission { network: "ttn".to_owned(), applications: None };
        sort(Arrival { body, binary, path: "/tts", admission: &admission })
    }

    #[test]
    fn what_cannot_be_cleaned_is_not_stored() {
        let sorted = sorted(b"\xff\xff\xff canary", true).expect("binary is kept");
        assert!(sorted.body.is_empty());
        let reason = sorted.useless.expect("it cannot be used");
        assert_eq!(reason.code, "protobuf_format");
        assert!(reason.detail.contains("10 bytes") && !reason.detail.contains("canary"), "{reason:?}");
    }

    proptest! {
        #[test]
        fn every_body_has_an_answer(body in any::<Vec<u8>>(), binary in any::<bool>()) {
            match sorted(&body, binary) {
                Ok(sorted) => prop_assert_eq!(sorted.into_put(0).lane, "x/ttn"),
                Err(answer) => prop_assert_eq!(answer.status(), 400),
            }
        }

        #[test]
        fn every_identity_has_one_lane(application in ".{0,300}", device in ".{0,300}") {
            let ids = serde_json::json!({"device_id": device, "application_ids": {"application_id": application}});
            let body = serde_json::json!({"end_device_ids": ids, "join_accept": {}}).to_string();
            let put = sorted(body.as_bytes(), false).expect("it is JSON").into_put(0);
            let head = Head::read(&put.head).expect("our own");
            match Lane::parse(&put.lane).expect("our own") {
                Lane::News(key) => {
                    prop_assert_eq!((&key.application, &key.device), (&application, &device));
                    prop_assert_eq!((head.application, head.device), (Some(application), Some(device)));
                }
                lane => {
                    prop_assert_eq!(lane.device(), None);
                    prop_assert!([&application, &device].iter().any(|name| name.is_empty() || name.len() > MAX_NAME_BYTES));
                }
            }
        }
    }
}
