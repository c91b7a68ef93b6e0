//! PURE: what the blobs of a shared queue hold.
//!
//! `LHQ`, a format number, MessagePack with the names of its fields, and a CRC-32 of all that. The names are there because
//! replicas are replaced one by one: an older one skips a field that it does not know, and a newer one does without.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::names::{Log, Partition};
use crate::{DeadLetter, Message, Note, Put, Retry, Seen, Seq, UnixMillis};

const MAGIC: &[u8; 4] = b"LHQ\x01";

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it was written by a newer version of this program")]
    Newer,
    #[error("its checksum does not match")]
    Damaged,
}

/// Whether this is what somebody has written.
pub(crate) fn is_sealed(body: &[u8]) -> bool {
    let parts = body.split_last_chunk::<4>();
    parts.is_some_and(|(content, sum)| crc32fast::hash(content) == u32::from_le_bytes(*sum))
}

/// A blob's body.
pub(crate) fn seal(content: &impl Serialize) -> Bytes {
    let mut body = MAGIC.to_vec();
    // Fails for what cannot be written to memory only, and for maps of unknown length, of which there are none.
    if rmp_serde::encode::write_named(&mut body, content).is_err() {
        tracing::error!("a blob cannot be encoded; this is a defect of longhaul");
    }
    let sum = crc32fast::hash(&body);
    body.extend_from_slice(&sum.to_le_bytes());
    body.into()
}

/// The other way round.
pub(crate) fn unseal<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unreadable> {
    let content = body.split_last_chunk::<4>().filter(|_| is_sealed(body)).ok_or(Unreadable::Damaged)?.0;
    let content = content.strip_prefix(MAGIC).ok_or(Unreadable::Newer)?;
    // The sum is right: somebody has written it so.
    rmp_serde::from_slice(content).map_err(|_| Unreadable::Newer)
}

/// `store`: what all who share the account have to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Store {
    pub(crate) partitions: u16,
}

/// `doors/…`: whose log this is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) process: String,
    pub(crate) at: UnixMillis,
}

/// `door/…`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Commit {
    Rows {
        process: String,
        rows: Vec<Row>,
    },
    /// Nothing follows.
    End {
        process: String,
    },
}

/// One thing that was asked of the partition that a lane belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) seq: Seq,
    pub(crate) wish: Wish,
}

impl Row {
    pub(crate) fn lane(&self) -> &str {
        match &self.wish {
            Wish::Put(put) => &put.lane,
            Wish::Replay(message) => &message.lane,
            Wish::Discard { lane } => lane,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Wish {
    Put(Box<Put>),
    /// A dead letter back to its lane. What was tried is forgotten already.
    Replay(Box<Message>),
    /// A dead letter that nobody wants.
    Discard {
        lane: String,
    },
}

/// `part/…/log/…`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Rises with every new owner. What is of a lower one than an earlier blob was written by who did not own the partition any
    /// more, and does not count.
    pub(crate) epoch: u64,
    pub(crate) process: String,
    pub(crate) at: UnixMillis,
    /// Empty in the first one of an owner.
    pub(crate) changes: Vec<Change>,
}

/// What became of a message, or of something kept beside them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Out of its lane, or never there.
    Gone {
        lane: Arc<str>,
        seq: Seq,
    },
    /// Set aside; it is not read again.
    Kept {
        lane: Arc<str>,
        seq: Seq,
        at: UnixMillis,
    },
    /// To the dead letters, where its blob is already. With the wish for it, where a door had one.
    Dead {
        seq: Seq,
        letter: Buried,
        wish: Option<At>,
    },
    /// Back to its lane, as a door wished.
    Risen {
        wish: At,
        seq: Seq,
    },
    /// Out of the dead letters for good, as a door wished.
    Discarded {
        wish: At,
        seq: Seq,
    },
    /// A wish that came to nothing: somebody else had the same one before.
    Heard {
        wish: At,
    },
    Retried {
        lane: Arc<str>,
        seq: Seq,
        retry: Retry,
        ended_at: UnixMillis,
    },
    Seen {
        lane: Arc<str>,
        seen: Seen,
    },
    Note(Note),
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) log: Log,
    pub(crate) number: u64,
    pub(crate) index: u32,
}

/// What an owner remembers of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Buried {
    pub(crate) lane: Arc<str>,
    pub(crate) code: Arc<str>,
    pub(crate) buried_at: UnixMillis,
    /// Of head and body.
    pub(crate) bytes: u64,
}

/// `live/owner-…`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) epoch: u64,
    pub(crate) process: String,
    /// Where its pages are.
    pub(crate) address: String,
    /// Where the state is.
    pub(crate) state: Picture,
    /// What of the doors' logs is still needed to get from there to now.
    pub(crate) needs: Needs,
}

/// A state that was written down, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// What all commits before this one come to; 0: nothing was written yet.
    pub(crate) number: u64,
    /// An owner writes no name twice, so that a piece that comes late spoils nothing.
    pub(crate) attempt: u32,
    pub(crate) pieces: u32,
}

/// Which blobs of doors somebody may still read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Needs {
    /// The first log that has not been seen.
    pub(crate) next_log: Log,
    /// All from this number on, of the logs that are open.
    pub(crate) from: Vec<(Log, u64)>,
    /// And these, first and last.
    pub(crate) waiting: Vec<(Log, u64, u64)>,
}

/// `dead/…`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) partition: Partition,
    pub(crate) letter: DeadLetter,
}

/// `claims/…`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    #[serde(with = "serde_bytes")]
    pub(crate) value: Vec<u8>,
}

/// `live/worker-…`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) process: String,
    pub(crate) address: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        seq: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        seq: u64,
        #[serde(default)]
        added: Option<String>,
    }

    #[test]
    fn replicas_of_two_versions_read_each_other() {
        let (old, new) = (Old { seq: 7 }, New { seq: 7, added: Some("x".into()) });
        assert_eq!(unseal::<Old>(&seal(&new)), Ok(Old { seq: 7 }));
        assert_eq!(unseal::<New>(&seal(&old)), Ok(New { seq: 7, added: None }));
    }

    #[test]
    fn each_flipped_bit_is_found() {
        let sealed = seal(&Old { seq: 7 });
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unseal::<Old>(&flipped), Err(Unreadable::Damaged), "bit {bit}");
        }
        assert_eq!(unseal::<Old>(b""), Err(Unreadable::Damaged));
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut other = seal(&Old { seq: 7 }).to_vec();
        other[3] = 2;
        let end = other.len() - 4;
        let sum = crc32fast::hash(&other[..end]);
        other[end..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(unseal::<Old>(&other), Err(Unreadable::Newer));
    }

    /// As they are in accounts out there: a field that is renamed would not be found any more.
    #[test]
    fn what_was_written_by_the_first_version_can_be_read() {
        let put = Put {
            lane: "t/n/a/d".into(),
            kind: "uplink_message".into(),
            head: b"h".to_vec(),
            body: b"{}".to_vec(),
            accepted_at: 5,
            place: crate::Place::Lane,
        };
        let row = Row { seq: Seq(9), wish: Wish::Put(Box::new(put)) };
        let sealed = seal(&Commit::Rows { process: "p".into(), rows: vec![row] });
        let golden = include_bytes!("format/commit.1");
        assert_eq!(&sealed[..], &golden[..], "{:?}", String::from_utf8_lossy(&sealed));
        let Ok(Commit::Rows { process, rows }) = unseal::<Commit>(golden) else { panic!("not rows") };
        assert_eq!((process.as_str(), rows.len(), rows[0].seq), ("p", 1, Seq(9)));
    }
}
