//! Random bytes, and the names, keys and etags that are made of them.
//!
//! Promises: everything random in the simulator but its certificates comes from the source that it was started with: the
//! same bytes and the same calls make the same names. Knows no clock.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::identity::Keys;
use crate::options::RandomBytes;

/// The longest key that is made, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// Where random bytes come from.
#[derive(Clone)]
pub(crate) struct Random(RandomBytes);

impl Default for Random {
    /// The operating system.
    fn default() -> Self {
        Self(Arc::new(|bytes| getrandom::fill(bytes).expect("the operating system has random bytes")))
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

impl From<Option<RandomBytes>> for Random {
    fn from(source: Option<RandomBytes>) -> Self {
        source.map(Self).unwrap_or_default()
    }
}

impl Random {
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// Two keys of so many bytes each, base64.
    pub(crate) fn keys(&self, bytes: usize) -> Keys {
        Keys { primary: self.key(bytes), secondary: self.key(bytes) }
    }

    fn key(&self, bytes: usize) -> String {
        let source: [u8; KEY_BYTES_MAX] = self.bytes();
        STANDARD.encode(source.get(..bytes).unwrap_or(&source))
    }

    /// A name in the form that tracking ids, operation ids and etags have.
    pub(crate) fn guid(&self) -> String {
        let hex = format!("{:032x}", u128::from_be_bytes(self.bytes()));
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// A name as its bytes: RFC 4122, version 4. Node's SDK echoes no other as an AMQP uuid.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        let mut bytes: [u8; 16] = self.bytes();
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        bytes
    }

    /// Quoted and encoded, as both services hand out etags.
    pub(crate) fn etag(&self) -> String {
        STANDARD.encode(format!("\"{}\"", self.guid()))
    }
}

/// What is stamped on what the services make: when it was, and names of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    /// Since 1970.
    pub(crate) now_ms: i64,
    pub(crate) random: &'a Random,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// For tests that do not care.
    static ANY: LazyLock<Random> = LazyLock::new(Random::default);

    /// A stamp of this time.
    pub(crate) fn stamp(now_ms: i64) -> Stamp<'static> {
        Stamp { now_ms, random: &ANY }
    }

    #[test]
    fn names_and_keys_are_made_of_the_bytes_that_were_handed_in() {
        let count = AtomicU8::new(0);
        let source: RandomBytes = Arc::new(move |bytes| bytes.fill(count.fetch_add(1, Ordering::Relaxed)));
        let random = Random::from(Some(source));
        assert_eq!(random.guid(), "00000000-0000-4000-a000-000000000000");
        assert_eq!(random.uuid(), [1, 1, 1, 1, 1, 1, 0x41, 1, 0x81, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(random.keys(3), Keys { primary: "AgIC".to_owned(), secondary: "AwMD".to_owned() });
        assert_eq!(STANDARD.decode(random.etag()).unwrap(), b"\"04040404-0404-4404-a404-040404040404\"");
    }
}
