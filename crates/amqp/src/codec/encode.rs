//! Fields, out: always the shortest constructor.

use bytes::{BufMut, Bytes, BytesMut};

use crate::value::{Fields, Symbol, Value};

mod values; // any value

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
