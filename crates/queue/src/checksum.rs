//! CRC-32 (IEEE 802.3, reflected 0xEDB88320) of a row, so that a flipped bit is found before its payload is handed out.
//!
//! Enough against decay of a disk: every change of up to 32 bits in a row is found, others with 1 - 2^-32. Not a defence
//! against somebody who writes to the file.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// Fields go in with their lengths, so that moving a byte from one to the next is a difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u32);

impl Checksum {
    pub(crate) fn new() -> Self {
        Self(u32::MAX)
    }

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
        !self.0
    }

    fn raw(self, bytes: &[u8]) -> Self {
        let step = |crc: u32, byte: &u8| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8);
        Self(bytes.iter().fold(self.0, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_published_check_value() {
        assert_eq!(Checksum::new().raw(b"123456789").value(), 0xCBF4_3926);
    }

    #[test]
    fn where_a_field_ends_counts() {
        let of = |a: &[u8], b: &[u8]| Checksum::new().bytes(a).bytes(b).value();
        assert_ne!(of(b"ab", b"c"), of(b"a", b"bc"));
        assert_ne!(Checksum::new().maybe(None).value(), Checksum::new().maybe(Some(b"")).value());
    }
}
