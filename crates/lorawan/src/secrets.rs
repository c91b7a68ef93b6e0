//! What must not be stored is taken out of a body, before it is stored.
//!
//! Promises: no key of a session, of a device or of the network's API survives in what [`strip`] returns, wherever it
//! stood outside the users' own data; everything else survives byte for byte (numbers, order, spaces). Works on any
//! JSON, also on what is not understood, because dead letters are stored too. Takes time linear in the body and no
//! stack.
//!
//! One trace is left: `app_s_key` becomes `{}` instead of going, because its presence is how the network says that the
//! payload is still encrypted.
//!
//! Deliberately does not look into decoded payloads: what a device measures is the user's, and may be called `key`.

use std::borrow::Cow;
use std::ops::Range;

use crate::envelope::characters;
use crate::ordered::unescape;
use crate::text::{skip_space, string_end, value_end};

mod protobuf;

pub use protobuf::strip_protobuf;

/// Names of members that hold secrets, without case, `_` and `-`, so that the spellings of proto JSON (`app_s_key`,
/// `appSKey`) and of headers (`X-Downlink-Apikey`) all match.
const SECRETS: &[&str] = &[
    // session keys: `SessionKeys` and `KeyEnvelope` of the API definition
    "nwkskey",
    "fnwksintkey",
    "snwksintkey",
    "nwksenckey",
    "sessionkeys",
    "encryptedkey",
    // root keys of a device: `RootKeys`
    "rootkeys",
    "appkey",
    "nwkkey",
    "genappkey",
    "keys",
    "claimauthenticationcode",
    // keys of the network's API: V2 carries one in the query of `downlink_url`
    "downlinkurl",
    "downlinkapikey",
    "xdownlinkapikey",
    "apikey",
    "accesskey",
    "authorization",
    "password",
    "clientsecret",
    "accesstoken",
];

/// Longer names are no names of secrets; the longest has 23 letters, and up to five separators.
const NAME_BYTES_MAX: usize = 32;

/// The member that is emptied, not removed, spelled in the same way.
const APP_S_KEY: &str = "appskey";

/// Members that hold the users' own data, of which nothing is taken.
const USERS: &[&str] = &["decoded_payload", "payload_fields", "normalized_payload", "attributes"];

/// Takes the secrets out of a body. Borrowed when there are none, and when the body is no JSON (then it is refused,
/// not stored).
pub fn strip(body: &[u8]) -> Cow<'_, [u8]> {
    let is_json = |text: &str| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    match characters(body) {
        Ok(text) if is_json(text) => without(body, &cuts(body)),
        _ => Cow::Borrowed(body),
    }
}

/// A piece of the body that goes, and what comes in its place.
#[derive(Debug)]
struct Cut {
    piece: Range<usize>,
    instead: &'static str,
}

fn without<'a>(body: &'a [u8], cuts: &[Cut]) -> Cow<'a, [u8]> {
    if cuts.is_empty() {
        return Cow::Borrowed(body);
    }
    let mut kept = Vec::with_capacity(body.len());
    let mut at = 0;
    for cut in cuts {
        kept.extend_from_slice(&body[at..cut.piece.start]);
        kept.extend_from_slice(cut.instead.as_bytes());
        at = cut.piece.end;
    }
    kept.extend_from_slice(&body[at..]);
    Cow::Owned(kept)
}

/// An object or array that is open.
struct Open {
    object: bool,
    /// A `service_data` object, whose `data` is the users'.
    service_data: bool,
    /// A member stays, so the next one that goes takes the comma before it along.
    stays: bool,
    /// Where the comma before the present member is.
    comma: usize,
    /// Members at the start went: their cut lasts up to the next member that stays.
    cut_from: Option<usize>,
}

/// Walks over the valid JSON `body` with a stack of its own.
fn cuts(body: &[u8]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut at = body.strip_prefix(b"\xEF\xBB\xBF").map_or(0, |_| 3);
    let mut service_data = false;
    loop {
        at = skip_space(body, at);
        let Some(byte) = body.get(at) else { return cuts };
        match byte {
            b'{' | b'[' => {
                let (object, service_data) = (*byte == b'{', std::mem::take(&mut service_data));
                open.push(Open { object, service_data, stays: false, comma: at, cut_from: None });
                at += 1;
            }
            b'}' | b']' => {
                if let Some(from) = open.pop().and_then(|closed| closed.cut_from) {
                    cuts.push(Cut { piece: from..at, instead: "" });
                }
                at += 1;
            }
            b',' => {
                if let Some(inner) = open.last_mut() {
                    inner.comma = at;
                }
                at += 1;
            }
            b'"' if open.last().is_some_and(|inner| inner.object) => {
                let inner = open.last_mut().expect("checked in the guard");
                (at, service_data) = member(body, at, inner, &mut cuts);
            }
            _ => at = value_end(body, at),
        }
    }
}

/// Decides about the member whose key starts at `at`. Returns where to go on: at its value when that is to be looked
/// into, else behind it; and whether the value is a `service_data` object.
fn member(body: &[u8], at: usize, inner: &mut Open, cuts: &mut Vec<Cut>) -> (usize, bool) {
    let key_end = string_end(body, at);
    let value = skip_space(body, skip_space(body, key_end) + 1); // behind the colon
    let key = std::str::from_utf8(&body[at..key_end]).ok().and_then(unescape).unwrap_or_default();
    let fate = fate(&key, inner.service_data);
    if fate == Fate::Goes {
        let end = value_end(body, value);
        if inner.stays {
            cuts.push(Cut { piece: inner.comma..end, instead: "" });
        } else {
            inner.cut_from.get_or_insert(at);
        }
        return (end, false);
    }
    if let Some(from) = inner.cut_from.take() {
        cuts.push(Cut { piece: from..at, instead: "" });
    }
    inner.stays = true;
    match fate {
        Fate::Emptied => (emptied(body, value, cuts), false),
        Fate::Stays if matches!(body.get(value), Some(b'{' | b'[')) => (value, key == "service_data"),
        _ => (value_end(body, value), false),
    }
}

/// Puts `{}` for a value that is not that already, and not `null`, which says the same as no member.
fn emptied(body: &[u8], value: usize, cuts: &mut Vec<Cut>) -> usize {
    let end = value_end(body, value);
    if !matches!(&body[value..end], b"{}" | b"null") {
        cuts.push(Cut { piece: value..end, instead: "{}" });
    }
    end
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    Emptied,
    Users,
}

fn fate(key: &str, in_service_data: bool) -> Fate {
    if USERS.contains(&key) || (in_service_data && key == "data") {
        return Fate::Users;
    }
    if key.len() > NAME_BYTES_MAX {
        return Fate::Stays;
    }
    let letters = |byte: u8| (!matches!(byte, b'_' | b'-')).then(|| byte.to_ascii_lowercase());
    let mut name = [0; NAME_BYTES_MAX];
    let mut length = 0;
    for byte in key.bytes().filter_map(letters) {
        name[length] = byte;
        length += 1;
    }
    match &name[..length] {
        name if name == APP_S_KEY.as_bytes() => Fate::Emptied,
        name if SECRETS.iter().any(|secret| secret.as_bytes() == name) => Fate::Goes,
        _ => Fate::Stays,
    }
}
