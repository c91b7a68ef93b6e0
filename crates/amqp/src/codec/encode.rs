//! Values, out: always the shortest constructor.

use bytes::{BufMut, Bytes, BytesMut};

use crate::value::{Fields, Symbol, Value};

/// Something that stands in a field.
pub(crate) trait Put {
    /// Writes it with its constructor.
    fn put(&self, out: &mut BytesMut);
}

/// A described list of these fields, whole.
macro_rules! fields {
    ($out:expr, $code:expr; $($field:expr),* $(,)?) => {{
        const FIELDS: &[&str] = &[$(stringify!($field)),*];
        #[allow(unused_imports)]
        use $crate::codec::Put as _;
        $crate::codec::put_described($out, $code, FIELDS.len(), |_out| { $($field.put(_out);)* });
    }};
}
pub(crate) use fields;

/// Null.
impl Put for () {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(0x40);
    }
}

impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Some(field) => field.put(out),
            None => ().put(out),
        }
    }
}

impl<T: Put + ?Sized> Put for Box<T> {
    fn put(&self, out: &mut BytesMut) {
        (**self).put(out);
    }
}

impl Put for bool {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(if *self { 0x41 } else { 0x42 });
    }
}

impl Put for u8 {
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(&[0x50, *self]);
    }
}

impl Put for u16 {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(0x60);
        out.put_u16(*self);
    }
}

impl Put for u32 {
    fn put(&self, out: &mut BytesMut) {
        match u8::try_from(*self) {
            Ok(0) => out.put_u8(0x43),
            Ok(small) => out.put_slice(&[0x52, small]),
            Err(_) => {
                out.put_u8(0x70);
                out.put_u32(*self);
            }
        }
    }
}

impl Put for u64 {
    fn put(&self, out: &mut BytesMut) {
        match u8::try_from(*self) {
            Ok(0) => out.put_u8(0x44),
            Ok(small) => out.put_slice(&[0x53, small]),
            Err(_) => {
                out.put_u8(0x80);
                out.put_u64(*self);
            }
        }
    }
}

/// A moment, in milliseconds since 1970.
impl Put for i64 {
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(0x83);
        out.put_i64(*self);
    }
}

impl Put for Bytes {
    fn put(&self, out: &mut BytesMut) {
        put_variable(out, 0xa0, self);
    }
}

impl Put for String {
    fn put(&self, out: &mut BytesMut) {
        put_variable(out, 0xa1, self.as_bytes());
    }
}

impl Put for Symbol {
    fn put(&self, out: &mut BytesMut) {
        put_variable(out, 0xa3, self.as_str().as_bytes());
    }
}

/// An array, even of one; null when there are none.
impl Put for Vec<Symbol> {
    fn put(&self, out: &mut BytesMut) {
        if self.is_empty() {
            return ().put(out);
        }
        let is_wide = self.iter().any(|word| word.as_str().len() > 255);
        put_compound(out, 0xe0, self.len(), |out| {
            out.put_u8(if is_wide { 0xb3 } else { 0xa3 });
            self.iter().for_each(|word| put_sized(out, is_wide, word.as_str().as_bytes()));
        });
    }
}

/// Null when there are none.
impl Put for Fields {
    fn put(&self, out: &mut BytesMut) {
        if self.is_empty() { ().put(out) } else { put_map(out, &self.0) }
    }
}

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

/// A list, as list8 or list32.
pub(crate) fn put_list(out: &mut BytesMut, values: &[Value]) {
    put_compound(out, 0xc0, values.len(), |out| values.iter().for_each(|value| value.put(out)));
}

/// A map.
pub(crate) fn put_map<K: Put>(out: &mut BytesMut, pairs: &[(K, Value)]) {
    put_compound(out, 0xc1, pairs.len() * 2, |out| {
        for (key, value) in pairs {
            key.put(out);
            value.put(out);
        }
    });
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

/// A descriptor and a list of fields, as list8 or list32 even if there are none.
pub(crate) fn put_described(out: &mut BytesMut, code: u8, count: usize, fields: impl FnOnce(&mut BytesMut)) {
    out.put_slice(&[0x00, 0x53, code]);
    put_compound(out, 0xc0, count, fields);
}

/// A short constructor where it does; it is not known before all is written, so a long one makes room afterwards.
fn put_compound(out: &mut BytesMut, short: u8, count: usize, body: impl FnOnce(&mut BytesMut)) {
    let from = out.len();
    out.put_slice(&[short, 0, 0]);
    body(out);
    let bytes = out.len() - from - 3;
    if let (Ok(size), Ok(count)) = (u8::try_from(bytes + 1), u8::try_from(count)) {
        out[from + 1] = size;
        out[from + 2] = count;
        return;
    }
    out.put_slice(&[0; 6]);
    out.copy_within(from + 3..from + 3 + bytes, from + 9);
    out[from] = short | 0x10;
    out[from + 1..from + 5].copy_from_slice(&size(bytes + 4).to_be_bytes());
    out[from + 5..from + 9].copy_from_slice(&size(count).to_be_bytes());
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

fn put_variable(out: &mut BytesMut, short: u8, bytes: &[u8]) {
    let is_wide = bytes.len() > 255;
    out.put_u8(if is_wide { short | 0x10 } else { short });
    put_sized(out, is_wide, bytes);
}

fn put_sized(out: &mut BytesMut, is_wide: bool, bytes: &[u8]) {
    if is_wide {
        out.put_u32(size(bytes.len()));
    } else {
        out.put_u8(bytes.len() as u8);
    }
    out.put_slice(bytes);
}

/// What we write is a frame's or a message's part, and those are held to their bounds by whoever makes them.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("nothing as large as 4 GiB is written")
}
