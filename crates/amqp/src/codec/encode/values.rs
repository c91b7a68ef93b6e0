//! Any value, out. Recurs as deep as the value does: what we say ourselves is not deep, and what we read is bounded.

use bytes::{BufMut, BytesMut};

use super::{Put, put_compound, put_list, put_map, put_sized, size};
use crate::value::Value;

impl Put for Value {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::List(values) if values.is_empty() => out.put_u8(0x45),
            Self::List(values) => put_list(out, values),
            Self::Map(pairs) => put_map(out, pairs),
            Self::Array(values) => put_array(out, values),
            Self::Described(pair) => {
                out.put_u8(0x00);
                pair.0.put(out);
                pair.1.put(out);
            }
            _ => put_plain(out, self),
        }
    }
}

fn put_plain(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Bool(truth) => truth.put(out),
        Value::Uint(number) => number.put(out),
        Value::Ulong(number) => number.put(out),
        Value::Int(number) if i8::try_from(*number).is_ok() => out.put_slice(&[0x54, *number as u8]),
        Value::Long(number) if i8::try_from(*number).is_ok() => out.put_slice(&[0x55, *number as u8]),
        Value::Binary(bytes) => bytes.put(out),
        Value::String(text) => text.put(out),
        Value::Symbol(word) => word.put(out),
        _ => {
            let constructor = whole_constructor(value);
            out.put_u8(constructor);
            put_data(out, constructor, value);
        }
    }
}

/// The constructor that holds any value of the type.
fn whole_constructor(value: &Value) -> u8 {
    match value {
        Value::Null => 0x40,
        Value::Bool(_) => 0x56,
        Value::Ubyte(_) => 0x50,
        Value::Ushort(_) => 0x60,
        Value::Uint(_) => 0x70,
        Value::Ulong(_) => 0x80,
        Value::Byte(_) => 0x51,
        Value::Short(_) => 0x61,
        Value::Int(_) => 0x71,
        Value::Long(_) => 0x81,
        Value::Float(_) => 0x72,
        Value::Double(_) => 0x82,
        Value::Decimal32(_) => 0x74,
        Value::Decimal64(_) => 0x84,
        Value::Decimal128(_) => 0x94,
        Value::Char(_) => 0x73,
        Value::Timestamp(_) => 0x83,
        Value::Uuid(_) => 0x98,
        Value::Binary(_) => 0xb0,
        Value::String(_) => 0xb1,
        Value::Symbol(_) => 0xb3,
        Value::List(_) => 0xd0,
        Value::Map(_) => 0xd1,
        Value::Array(_) => 0xf0,
        Value::Described(_) => 0x00,
    }
}

/// What follows a constructor, which is the whole one, or a binary's, string's or symbol's short one.
fn put_data(out: &mut BytesMut, constructor: u8, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(truth) => out.put_u8((*truth).into()),
        Value::Ubyte(number) => out.put_u8(*number),
        Value::Ushort(number) => out.put_u16(*number),
        Value::Uint(number) => out.put_u32(*number),
        Value::Ulong(number) => out.put_u64(*number),
        Value::Byte(number) => out.put_i8(*number),
        Value::Short(number) => out.put_i16(*number),
        Value::Int(number) => out.put_i32(*number),
        Value::Long(number) | Value::Timestamp(number) => out.put_i64(*number),
        Value::Float(number) => out.put_f32(*number),
        Value::Double(number) => out.put_f64(*number),
        Value::Decimal32(bytes) => out.put_slice(bytes),
        Value::Decimal64(bytes) => out.put_slice(bytes),
        Value::Decimal128(bytes) | Value::Uuid(bytes) => out.put_slice(bytes),
        Value::Char(letter) => out.put_u32((*letter).into()),
        Value::Binary(bytes) => put_sized(out, constructor & 0x10 != 0, bytes),
        Value::String(text) => put_sized(out, constructor & 0x10 != 0, text.as_bytes()),
        Value::Symbol(word) => put_sized(out, constructor & 0x10 != 0, word.as_str().as_bytes()),
        Value::List(values) => put_wide(out, values.len(), |out| values.iter().for_each(|value| value.put(out))),
        Value::Map(pairs) => put_wide(out, pairs.len() * 2, |out| {
            for (key, value) in pairs {
                key.put(out);
                value.put(out);
            }
        }),
        Value::Array(values) => {
            put_wide(out, values.len(), |out| put_elements(out, &values.iter().collect::<Vec<_>>()))
        }
        Value::Described(pair) => put_data(out, whole_constructor(&pair.1), &pair.1),
    }
}

/// An array; a list where the values are of several types, which an array cannot hold.
fn put_array(out: &mut BytesMut, values: &[Value]) {
    let values: Vec<&Value> = values.iter().collect();
    if is_array(&values) {
        put_compound(out, 0xe0, values.len(), |out| put_elements(out, &values));
    } else {
        put_compound(out, 0xc0, values.len(), |out| values.iter().for_each(|value| value.put(out)));
    }
}

/// All have one constructor, and one descriptor if any.
fn is_array(values: &[&Value]) -> bool {
    let Some(first) = values.first() else { return true };
    if !values.iter().all(|value| std::mem::discriminant(*value) == std::mem::discriminant(*first)) {
        return false;
    }
    match first {
        Value::Described(first) => {
            let described = || values.iter().filter_map(|value| as_described(value));
            described().all(|pair| pair.0 == first.0) && is_array(&described().map(|pair| &pair.1).collect::<Vec<_>>())
        }
        Value::Array(_) => values.iter().all(|value| match value {
            Value::Array(inner) => is_array(&inner.iter().collect::<Vec<_>>()),
            _ => false,
        }),
        _ => true,
    }
}

fn as_described<'v>(value: &&'v Value) -> Option<&'v (Value, Value)> {
    match value {
        Value::Described(pair) => Some(&**pair),
        _ => None,
    }
}

/// The constructor that all have, and what follows it for each.
fn put_elements(out: &mut BytesMut, values: &[&Value]) {
    match values.first() {
        None => out.put_u8(0x40),
        Some(Value::Described(first)) => {
            out.put_u8(0x00);
            first.0.put(out);
            put_elements(out, &values.iter().filter_map(as_described).map(|pair| &pair.1).collect::<Vec<_>>());
        }
        Some(first) => {
            let is_short = values.iter().all(|value| variable_bytes(value).is_some_and(|bytes| bytes <= 255));
            let constructor = whole_constructor(first) & if is_short { 0xef } else { 0xff };
            out.put_u8(constructor);
            values.iter().for_each(|value| put_data(out, constructor, value));
        }
    }
}

fn variable_bytes(value: &Value) -> Option<usize> {
    match value {
        Value::Binary(bytes) => Some(bytes.len()),
        Value::String(text) => Some(text.len()),
        Value::Symbol(word) => Some(word.as_str().len()),
        _ => None,
    }
}

/// Size and count of four bytes, without a constructor.
fn put_wide(out: &mut BytesMut, count: usize, body: impl FnOnce(&mut BytesMut)) {
    let from = out.len();
    out.put_u32(0);
    out.put_u32(size(count));
    body(out);
    let bytes = size(out.len() - from - 4);
    out[from..from + 4].copy_from_slice(&bytes.to_be_bytes());
}
