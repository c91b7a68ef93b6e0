//! The fields of described lists.

use bytes::Bytes;

use super::{Compound, DecodeError, Decoder};
use crate::value::{Fields, Symbol, Value};

/// Something that a field can hold.
pub(crate) trait Field: Sized {
    /// Reads what follows a constructor. Never called for null.
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError>;
}

impl<'a> Decoder<'a> {
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

impl Field for Value {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, _: &'static str) -> Result<Self, DecodeError> {
        decoder.value_of(constructor)
    }
}
