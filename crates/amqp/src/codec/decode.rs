//! Bytes, constructors, and the fields of described lists.

use bytes::Bytes;

use super::{Bound, DEPTH_MAX, DecodeError, VALUES_MAX, code};
use crate::value::{Fields, Symbol, Value};

/// Reads one frame or message, from its beginning to its end.
pub(crate) struct Decoder<'a> {
    bytes: &'a Bytes,
    at: usize,
    /// Of the innermost list, map or array that is open.
    end: usize,
    depth: usize,
    values_left: usize,
}

/// A list, map or array that is open.
pub(super) struct Compound {
    pub(super) count: usize,
    outer_end: usize,
}

/// Something that a field can hold.
pub(crate) trait Field: Sized {
    /// Reads what follows a constructor. Never called for null.
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError>;
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, at: 0, end: bytes.len(), depth: 0, values_left: VALUES_MAX }
    }

    fn left(&self) -> usize {
        self.end - self.at
    }

    /// Nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        self.left() == 0
    }

    /// All that is left.
    pub(crate) fn rest(self) -> Bytes {
        self.bytes.slice(self.at..self.end)
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], DecodeError> {
        if size > self.left() {
            return Err(DecodeError::Short);
        }
        let taken = &self.bytes[self.at..self.at + size];
        self.at += size;
        Ok(taken)
    }

    fn share(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        let from = self.at;
        self.take(size)?;
        Ok(self.bytes.slice(from..self.at))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Short)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.fixed().map(|[byte]| byte)
    }

    /// A size or count of four bytes or one.
    fn number(&mut self, is_wide: bool) -> Result<usize, DecodeError> {
        if is_wide { Ok(u32::from_be_bytes(self.fixed()?) as usize) } else { self.byte().map(usize::from) }
    }

    /// The size and bytes of a binary, string or symbol: constructors differ in bit 4 alone.
    fn variable(&mut self, constructor: u8) -> Result<&'a [u8], DecodeError> {
        let size = self.number(constructor & 0x10 != 0)?;
        self.take(size)
    }

    pub(super) fn binary(&mut self, constructor: u8) -> Result<Bytes, DecodeError> {
        let size = self.number(constructor & 0x10 != 0)?;
        self.share(size)
    }

    pub(super) fn text(&mut self, constructor: u8, name: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.variable(constructor)?).map_err(|_| DecodeError::Invalid(name))
    }

    /// So many values are announced; memory is asked for only after this.
    pub(crate) fn spend(&mut self, values: usize) -> Result<(), DecodeError> {
        self.values_left = self.values_left.checked_sub(values).ok_or(DecodeError::Bound(Bound::Values))?;
        Ok(())
    }

    pub(super) fn descend(&mut self, levels: usize) -> Result<(), DecodeError> {
        self.depth += levels;
        if self.depth > DEPTH_MAX { Err(DecodeError::Bound(Bound::Depth)) } else { Ok(()) }
    }

    pub(super) fn ascend(&mut self, levels: usize) {
        self.depth -= levels;
    }

    /// Size and count of a list, map or array. What is read until [`Decoder::close`] stays within its size.
    pub(super) fn open(&mut self, constructor: u8) -> Result<Compound, DecodeError> {
        let is_wide = constructor & 0x10 != 0;
        let size = self.number(is_wide)?;
        if size > self.left() {
            return Err(DecodeError::Short);
        }
        let outer_end = std::mem::replace(&mut self.end, self.at + size);
        let count = self.number(is_wide)?;
        Ok(Compound { count, outer_end })
    }

    /// The same where every element has at least so many bytes.
    pub(super) fn open_with(&mut self, constructor: u8) -> Result<Compound, DecodeError> {
        let compound = self.open(constructor)?;
        self.hold(compound.count, 1)?;
        Ok(compound)
    }

    /// So many elements of at least so many bytes must be there.
    pub(super) fn hold(&self, count: usize, bytes: usize) -> Result<(), DecodeError> {
        if count.saturating_mul(bytes) > self.left() { Err(DecodeError::Short) } else { Ok(()) }
    }

    /// Whatever is left in it was announced by its size alone and is no value.
    pub(super) fn close(&mut self, compound: &Compound, name: &'static str) -> Result<(), DecodeError> {
        if !self.is_done() {
            return Err(DecodeError::Invalid(name));
        }
        self.end = compound.outer_end;
        Ok(())
    }

    /// The number of a descriptor whose zero was read; none where nobody here knows it.
    pub(crate) fn descriptor(&mut self) -> Result<Option<u8>, DecodeError> {
        match self.byte()? {
            0x44 => Ok(Some(0)),
            0x53 => self.byte().map(Some),
            0x80 => Ok(u8::try_from(u64::from_be_bytes(self.fixed()?)).ok()),
            constructor @ (0xa3 | 0xb3) => Ok(code::by_name(self.variable(constructor)?)),
            _ => Err(DecodeError::Type("descriptor")),
        }
    }

    /// As [`Decoder::descriptor`], where a described value must stand.
    pub(crate) fn described(&mut self, name: &'static str) -> Result<Option<u8>, DecodeError> {
        match self.byte()? {
            0x00 => self.descriptor(),
            _ => Err(DecodeError::Type(name)),
        }
    }

    /// Back to the constructor that was read last before `work`, if work is not content with what follows it.
    pub(super) fn try_or_back<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Option<T>, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let from = self.at;
        let result = work(self)?;
        if result.is_none() {
            self.at = from;
        }
        Ok(result)
    }

    /// Passes over a value without a look at what is in it.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        let mut constructor = self.byte()?;
        while constructor == 0x00 {
            self.descriptor()?;
            constructor = self.byte()?;
        }
        let size = match constructor >> 4 {
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xa | 0xc | 0xe => self.number(false)?,
            0xb | 0xd | 0xf => self.number(true)?,
            _ => return Err(DecodeError::Code(constructor)),
        };
        self.take(size).map(drop)
    }

    /// The fields of a list; those that `read` does not want are passed over.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut List<'_, 'a>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let constructor = self.byte()?;
        if constructor == 0x45 {
            return read(&mut List { decoder: self, left: 0 });
        }
        if !matches!(constructor, 0xc0 | 0xd0) {
            return Err(DecodeError::Type(name));
        }
        let Compound { count, outer_end } = self.open_with(constructor)?;
        let result = read(&mut List { decoder: self, left: count })?;
        self.at = self.end;
        self.end = outer_end;
        Ok(result)
    }

    /// Pairs whose keys are words. Others (annotations may have numbers, which are reserved) are passed over.
    pub(crate) fn map<K: From<String>>(
        &mut self,
        constructor: u8,
        name: &'static str,
    ) -> Result<Vec<(K, Value)>, DecodeError> {
        if !matches!(constructor, 0xc1 | 0xd1) {
            return Err(DecodeError::Type(name));
        }
        let compound = self.open_with(constructor)?;
        if compound.count % 2 == 1 {
            return Err(DecodeError::Invalid(name));
        }
        self.spend(compound.count)?;
        let mut pairs = Vec::with_capacity(compound.count / 2);
        for _ in 0..compound.count / 2 {
            let key = self.try_or_back(|decoder| match decoder.byte()? {
                constructor @ (0xa1 | 0xa3 | 0xb1 | 0xb3) => decoder.text(constructor, name).map(Some),
                _ => Ok(None),
            })?;
            if let Some(key) = key {
                pairs.push((K::from(key.to_owned()), self.value()?));
            } else {
                self.skip()?;
                self.skip()?;
            }
        }
        self.close(&compound, name)?;
        Ok(pairs)
    }
}

/// The fields of a described list, in order. Those at its end may be missing.
pub(crate) struct List<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    left: usize,
}

impl List<'_, '_> {
    fn next(&mut self) -> bool {
        let is_there = self.left > 0;
        self.left -= usize::from(is_there);
        is_there
    }

    /// A field that may be null.
    pub(crate) fn optional<T: Field>(&mut self, name: &'static str) -> Result<Option<T>, DecodeError> {
        if !self.next() {
            return Ok(None);
        }
        match self.decoder.byte()? {
            0x40 => Ok(None),
            constructor => T::take(self.decoder, constructor, name).map(Some),
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T: Field>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        self.optional(name)?.ok_or(DecodeError::Missing(name))
    }

    /// A field with a default, which is the type's own.
    pub(crate) fn or_default<T: Field + Default>(&mut self, name: &'static str) -> Result<T, DecodeError> {
        Ok(self.optional(name)?.unwrap_or_default())
    }

    /// A field with a default.
    pub(crate) fn or<T: Field>(&mut self, name: &'static str, default: T) -> Result<T, DecodeError> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// A field that nobody here wants.
    pub(crate) fn pass(&mut self) -> Result<(), DecodeError> {
        if self.next() { self.decoder.skip() } else { Ok(()) }
    }
}

/// A whole number of any width: some peers write a count as they hold it.
fn unsigned(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<u64, DecodeError> {
    match constructor {
        0x43 | 0x44 => Ok(0),
        0x50 | 0x52 | 0x53 => decoder.byte().map(u64::from),
        0x60 => decoder.fixed().map(|bytes| u16::from_be_bytes(bytes).into()),
        0x70 => decoder.fixed().map(|bytes| u32::from_be_bytes(bytes).into()),
        0x80 => decoder.fixed().map(u64::from_be_bytes),
        _ => Err(DecodeError::Type(name)),
    }
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
                unsigned(decoder, constructor, name)?.try_into().map_err(|_| DecodeError::Invalid(name))
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);

/// A moment, in milliseconds since 1970.
impl Field for i64 {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        if constructor == 0x83 { decoder.fixed().map(Self::from_be_bytes) } else { Err(DecodeError::Type(name)) }
    }
}

impl Field for bool {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match constructor {
            0x41 => Ok(true),
            0x42 => Ok(false),
            0x56 => match decoder.byte()? {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(DecodeError::Invalid(name)),
            },
            _ => Err(DecodeError::Type(name)),
        }
    }
}

impl Field for Bytes {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        if matches!(constructor, 0xa0 | 0xb0) { decoder.binary(constructor) } else { Err(DecodeError::Type(name)) }
    }
}

/// Strings and symbols are both taken for text: peers confuse them.
impl Field for String {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match constructor {
            0xa1 | 0xa3 | 0xb1 | 0xb3 => decoder.text(constructor, name).map(str::to_owned),
            _ => Err(DecodeError::Type(name)),
        }
    }
}

impl Field for Symbol {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        String::take(decoder, constructor, name).map(Self::from)
    }
}

/// One symbol, an array of them or, from some peers, a list.
impl Field for Vec<Symbol> {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        let symbol = |value| match value {
            Value::Symbol(word) => Ok(word),
            Value::String(text) => Ok(text.into()),
            _ => Err(DecodeError::Type(name)),
        };
        match decoder.value_of(constructor)? {
            Value::Array(values) | Value::List(values) => values.into_iter().map(symbol).collect(),
            value => symbol(value).map(|word| vec![word]),
        }
    }
}

impl Field for Fields {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        decoder.map(constructor, name).map(Self)
    }
}
