//! What bytes mean, and that everything we can say is understood.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::value::Value;

mod fields; // described lists, by hand
mod roundtrips;
pub(crate) mod strategies;
mod vectors; // values, by hand

/// Bytes from their hexadecimal digits; what stands in quotes is text.
pub(crate) fn bytes(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part.bytes().filter(u8::is_ascii_hexdigit).collect();
        bytes.extend(digits.chunks(2).map(|two| {
            let two = std::str::from_utf8(two).expect("they are digits");
            u8::from_str_radix(two, 16).expect("they are digits")
        }));
    }
    bytes.into()
}

/// The digits of a list8.
pub(crate) fn list(count: u8, fields: &str) -> String {
    format!("c0 {:02x} {count:02x} {fields}", bytes(fields).len() + 1)
}

fn read(text: &str) -> Result<Value, DecodeError> {
    let bytes = bytes(text);
    let mut decoder = Decoder::new(&bytes);
    let value = decoder.value()?;
    assert!(decoder.is_done(), "{text}: something is left");
    Ok(value)
}

fn written(value: &impl Put) -> Bytes {
    let mut out = BytesMut::new();
    value.put(&mut out);
    out.freeze()
}
