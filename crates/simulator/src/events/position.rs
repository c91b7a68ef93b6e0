//! Where a reader wants to start, as selector filters spell it: one comparison.
//!
//! ```text
//! amqp.annotation.x-opt-offset           >  '-1'        from the oldest event on
//! amqp.annotation.x-opt-offset           >  '@latest'   only what comes from now on
//! amqp.annotation.x-opt-offset           >  '4711'      after this event; >= with it
//! amqp.annotation.x-opt-sequence-number  >= '12'
//! amqp.annotation.x-opt-enqueued-time    >  '1767225600000'   milliseconds; older clients x-opt-enqueuedtimeutc
//! ```
//!
//! Quotes and spaces may be left out.

const PREFIX: &str = "amqp.annotation.";
/// The longest filter that is looked at, in characters: twice the longest that means something
/// (prefix 16, name 21, comparison 4, quoted number 22).
const FILTER_CHARS_MAX: usize = 128;

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the oldest event that is kept.
    Earliest,
    /// At the next to come.
    Latest,
    /// After an event, or with it.
    At { mark: Mark, value: i64, inclusive: bool },
}

/// What of an event is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Offset,
    Sequence,
    /// Milliseconds since 1970.
    Enqueued,
}

impl Position {
    /// Reads a filter; none when it is anything else than one such comparison.
    pub(crate) fn parse(filter: &str) -> Option<Self> {
        if filter.len() > FILTER_CHARS_MAX {
            return None;
        }
        let (name, rest) = filter.trim().strip_prefix(PREFIX)?.split_once('>')?;
        let (rest, inclusive) = rest.strip_prefix('=').map_or((rest, false), |rest| (rest, true));
        let mark = match name.trim_end() {
            "x-opt-offset" => Mark::Offset,
            "x-opt-sequence-number" => Mark::Sequence,
            "x-opt-enqueued-time" | "x-opt-enqueuedtimeutc" => Mark::Enqueued,
            _ => return None,
        };
        match (mark, unquoted(rest.trim())?) {
            (Mark::Offset, "-1") => Some(Self::Earliest),
            (Mark::Offset, "@latest") => Some(Self::Latest),
            (_, number) => Some(Self::At { mark, value: number.parse().ok()?, inclusive }),
        }
    }
}

/// Both quotes or none.
fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\''),
        None => Some(text),
    }
}

#[cfg(test)]
mod tests;
