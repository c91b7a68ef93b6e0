//! CRC-32 of a row, so that a flipped bit is found before its payload is handed out.
//!
//! Enough against decay of a disk: every burst of up to 32 bits in a row is found, other damage with 1 - 2^-32. Not a
//! defence against somebody who writes to the file.

use crc32fast::Hasher;

/// Fields go in with their lengths, so that moving a byte from one to the next is a difference.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checksum(Hasher);

impl Checksum {
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        self.number(bytes.len() as i64).raw(bytes)
    }

    pub(crate) fn number(self, number: i64) -> Self {
        self.raw(&number.to_le_bytes())
    }

    /// Absent and empty differ.
    pub(crate) fn maybe(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    pub(crate) fn value(self) -> u32 {
        self.0.finalize()
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(Checksum::default().raw(b"123456789").value(), 0xCBF4_3926);
    }

    #[test]
    fn where_a_field_ends_counts() {
        let of = |a: &[u8], b: &[u8]| Checksum::default().bytes(a).bytes(b).value();
        assert_ne!(of(b"ab", b"c"), of(b"a", b"bc"));
        assert_ne!(Checksum::default().maybe(None).value(), Checksum::default().maybe(Some(b"")).value());
    }
}
