//! When two messages are the same message.
//!
//! Promises: the same message has the same fingerprint however its JSON is spelled (order of members, spaces, escapes),
//! because the network writes it anew for every attempt; any other content, however little, has another.
//!
//! Layout of what is hashed: every part is a length (8 bytes, little endian) and that many bytes; an absent part is the
//! length `u64::MAX` alone. Parts: network, application, device, event kind, session key id, counter (decimal), port
//! (decimal), received time as written, payload as written, canonical decoded value.
//!
//! Canonical form of a value, a tag and then: `{` count, members sorted by key (key as for `"`); `[` count, elements;
//! `"` length, text without escapes; anything else (numbers by their text: `1.0` and `1` are two contents) length, text.
//! Counts and lengths are as above.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::event::EventKind;
use crate::ordered::unescape;
use crate::text::{skip_space, string_end, value_end};
use crate::uplink::Uplink;

/// Deeper values count by their text as it stands: the network does not respell what a formatter never makes, and
/// the stack stays small.
const DEPTH_MAX: usize = 64;

/// 128 bits of SHA-256: accidents are out of the question, and nobody gains from making one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The fingerprint of an uplink. `network` is the name that the configuration gives to the sender.
pub fn of(network: &str, uplink: &Uplink<'_>) -> Fingerprint {
    let mut hash = Sha256::new();
    part(&mut hash, Some(network.as_bytes()));
    part(&mut hash, text(uplink.ids.application.as_ref()));
    part(&mut hash, text(uplink.ids.device.as_ref()));
    part(&mut hash, Some(EventKind::UplinkMessage.as_str().as_bytes()));
    part(&mut hash, text(uplink.session_key_id.as_ref()));
    part(&mut hash, uplink.f_cnt.map(|count| count.to_string()).as_deref().map(str::as_bytes));
    part(&mut hash, uplink.f_port.map(|port| port.to_string()).as_deref().map(str::as_bytes));
    part(&mut hash, text(uplink.received_at.as_ref().map(|time| &time.text)));
    part(&mut hash, text(uplink.payload_raw.as_ref()));
    part(&mut hash, uplink.decoded.map(|value| canonical(value.get())).as_deref());
    let mut short = [0; 16];
    short.copy_from_slice(&hash.finalize()[..16]);
    Fingerprint(short)
}

fn text<'a>(part: Option<&'a Cow<'_, str>>) -> Option<&'a [u8]> {
    part.map(|text| text.as_bytes())
}

fn part(hash: &mut Sha256, bytes: Option<&[u8]>) {
    hash.update(bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
    hash.update(bytes.unwrap_or_default());
}

/// The canonical form of a JSON value that is known to be valid.
fn canonical(value: &str) -> Vec<u8> {
    let mut form = Vec::with_capacity(value.len() * 2);
    write(value, skip_space(value.as_bytes(), 0), 0, &mut form);
    form
}

/// Writes the value that starts at `at`; returns where it ends.
fn write(text: &str, at: usize, depth: usize, form: &mut Vec<u8>) -> usize {
    match text.as_bytes().get(at) {
        Some(b'{') if depth < DEPTH_MAX => write_object(text, at, depth, form),
        Some(b'[') if depth < DEPTH_MAX => write_array(text, at, depth, form),
        Some(b'"') => {
            let end = string_end(text.as_bytes(), at);
            tagged(b'"', &plain(&text[at..end]), form);
            end
        }
        _ => {
            let end = value_end(text.as_bytes(), at);
            tagged(b'=', &text[at..end], form);
            end
        }
    }
}

fn write_object(text: &str, at: usize, depth: usize, form: &mut Vec<u8>) -> usize {
    let bytes = text.as_bytes();
    let mut members = Vec::new();
    let mut at = skip_space(bytes, at + 1);
    while bytes.get(at) == Some(&b'"') {
        let key_end = string_end(bytes, at);
        let key = plain(&text[at..key_end]);
        let mut value = Vec::new();
        let colon = skip_space(bytes, key_end);
        let end = write(text, skip_space(bytes, colon + 1), depth + 1, &mut value);
        members.push((key, value));
        at = next(bytes, end);
    }
    // Stable, so that members of the same name keep their order.
    members.sort_by(|a, b| a.0.cmp(&b.0));
    form.push(b'{');
    form.extend_from_slice(&(members.len() as u64).to_le_bytes());
    for (key, value) in members {
        tagged(b'"', &key, form);
        form.extend_from_slice(&value);
    }
    at + 1
}

fn write_array(text: &str, at: usize, depth: usize, form: &mut Vec<u8>) -> usize {
    let bytes = text.as_bytes();
    let mut elements = Vec::new();
    let mut count = 0_u64;
    let mut at = skip_space(bytes, at + 1);
    while !matches!(bytes.get(at), None | Some(b']')) {
        at = next(bytes, write(text, at, depth + 1, &mut elements));
        count += 1;
    }
    form.push(b'[');
    form.extend_from_slice(&count.to_le_bytes());
    form.extend_from_slice(&elements);
    at + 1
}

/// From the end of one element to the start of the next, or to the closing bracket.
fn next(bytes: &[u8], end: usize) -> usize {
    let at = skip_space(bytes, end);
    if bytes.get(at) == Some(&b',') { skip_space(bytes, at + 1) } else { at }
}

fn tagged(tag: u8, text: &str, form: &mut Vec<u8>) {
    form.push(tag);
    form.extend_from_slice(&(text.len() as u64).to_le_bytes());
    form.extend_from_slice(text.as_bytes());
}

/// Without escapes; half of a surrogate pair has no text, and counts as written.
fn plain(literal: &str) -> Cow<'_, str> {
    unescape(literal).unwrap_or(Cow::Borrowed(literal))
}
