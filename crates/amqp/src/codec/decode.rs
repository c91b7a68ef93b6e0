//! Bytes, sizes and bounds.

use bytes::Bytes;

use super::{Bound, DEPTH_MAX, DecodeError, VALUES_MAX, code};

mod fields; // described lists, and what their fields can be
mod values; // any value

pub(crate) use fields::{Field, List};

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
            constructor @ (0xa1 | 0xa3 | 0xb1 | 0xb3) => Ok(code::by_name(self.variable(constructor)?)),
            constructor => self.descriptor_of(constructor).map(|_| None),
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
}
