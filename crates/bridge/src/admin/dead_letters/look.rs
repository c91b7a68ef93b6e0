//! Reading the dead letters, a bounded piece at a time.

use queue::{LeaseError, Queue, Seq, UnixMillis};

use super::view::{Letter, Page};
use crate::reason::Class;

/// Letters read from the queue at once: 20 MiB where all are as large as the door takes.
const PIECE: usize = 20;
/// Letters looked at for one page, matching or not: a hundred pieces, each of which the queue's thread reads between two commits.
const LOOKED_AT_MAX: usize = 2_000;
/// A page with messages ends once they have this many bytes: one more of 1 MiB, and twice as much in JSON, stay below what the
/// command line takes in an answer.
const WHOLE_BYTES: usize = 1 << 20;

/// Which letters; what is not set leaves none out.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) reason: Option<String>,
    pub(super) class: Option<Class>,
    pub(super) network: Option<String>,
    pub(super) application: Option<String>,
    pub(super) device: Option<String>,
    pub(super) buried_before: Option<UnixMillis>,
    pub(super) buried_after: Option<UnixMillis>,
}

impl Filter {
    fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        is(&self.reason, Some(&letter.reason))
            && self.class.is_none_or(|class| class == letter.class)
            && is(&self.network, Some(&letter.network))
            && is(&self.application, letter.application.as_deref())
            && is(&self.device, letter.device.as_deref())
            && self.buried_before.is_none_or(|before| letter.buried_at < before)
            && self.buried_after.is_none_or(|after| letter.buried_at >= after)
    }
}

/// The next letters after `after`: ends at `limit`, at the end, or when it has looked at enough.
pub(super) async fn page(
    queue: &Queue,
    filter: &Filter,
    mut after: Option<Seq>,
    limit: usize,
    whole: bool,
) -> Result<Page, LeaseError> {
    let (mut letters, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
    while looked_at < LOOKED_AT_MAX {
        let piece = queue.dead_letters(after, PIECE).await?;
        if piece.is_empty() {
            return Ok(Page { letters, next: None });
        }
        looked_at += piece.len();
        for letter in piece {
            after = Some(letter.message.seq);
            let letter = Letter::of(letter, whole);
            if filter.takes(&letter) {
                bytes += letter.bytes;
                letters.push(letter);
            }
            if letters.len() == limit || (whole && bytes >= WHOLE_BYTES) {
                return Ok(Page { letters, next: after.map(|after| after.0) });
            }
        }
    }
    Ok(Page { letters, next: after.map(|after| after.0) })
}
