//! Ids as the server makes them, from the time and a count: the same story makes the same ids.

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Of a ULID: 48 bits of milliseconds and 80 bits, five to a character.
const ULID_CHARS: u32 = 26;

/// Counts what was made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    made: u64,
}

impl Ids {
    /// `as:downlink:<ULID>` and its kin.
    pub(crate) fn correlation(&mut self, prefix: &str, now_ms: i64) -> String {
        let time = u128::try_from(now_ms.max(0)).unwrap_or_default() & 0xFFFF_FFFF_FFFF;
        let number = (time << 80) | u128::from(self.next());
        let mut text = String::with_capacity(prefix.len() + ULID_CHARS as usize);
        text.push_str(prefix);
        for place in (0..ULID_CHARS).rev() {
            let five_bits = usize::try_from((number >> (5 * place)) & 31).unwrap_or_default();
            text.push(char::from(CROCKFORD[five_bits]));
        }
        text
    }

    /// Of an error.
    pub(crate) fn of_error(&mut self) -> u64 {
        self.next()
    }

    /// Of a session: 16 bytes.
    pub(crate) fn session_key(&mut self) -> [u8; 16] {
        u128::from(self.next()).to_be_bytes()
    }

    /// In the block of addresses of The Things Network, 260B0000 and up.
    pub(crate) fn address(&mut self) -> u32 {
        0x260B_0000 | (u32::try_from(self.next() & 0xFFFF).unwrap_or_default())
    }

    fn next(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
