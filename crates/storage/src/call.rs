//! One call: its time, what was seen of its answer, and how it ended.
//!
//! Every answer passes [`Noting`], a policy: so date, status and code are known alike for an answer that Microsoft's crates take, and
//! for one that they make an error of.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Error;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{ClientMethodOptions, Context, Request};
use queue::UnixMillis;
use queue::blobs::{Failure, FailureKind, Reply};
use tokio::time::timeout;

use crate::meaning::{Meaning, Operation, meaning, mend};

const DATE: HeaderName = HeaderName::from_static("date");
const CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
const REQUEST: HeaderName = HeaderName::from_static("x-ms-request-id");
const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");
/// A code or an id that is longer, or has other characters than these have, is not repeated: it was not the service who wrote it.
const WORD_MAX: usize = 64;
/// Nobody means more by it; what is longer is taken for so long.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// What counts of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    status: u16,
    code: String,
    request: String,
    date: Option<UnixMillis>,
    retry_after: Option<Duration>,
}

impl Seen {
    fn of(status: u16, headers: &Headers) -> Self {
        let text = |name: &HeaderName| headers.get_optional_str(name).unwrap_or_default();
        let word = |name: &HeaderName| {
            let text = text(name);
            let is_word = text.len() <= WORD_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if is_word { text.to_owned() } else { String::new() }
        };
        // In seconds; the other form, a date, no service of storage sends.
        let retry_after = text(&RETRY_AFTER).parse().ok().map(|s| Duration::from_secs(s).min(RETRY_AFTER_MAX));
        Self { status, code: word(&CODE), request: word(&REQUEST), date: date(text(&DATE)), retry_after }
    }
}

/// `Fri, 26 Jun 2015 23:39:12 GMT`.
fn date(text: &str) -> Option<UnixMillis> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

/// The last answer to one call.
#[derive(Debug, Default)]
struct Note(Mutex<Option<Seen>>);

/// Notes each answer for the call that it is for.
#[derive(Debug)]
pub(crate) struct Noting;

#[async_trait]
impl Policy for Noting {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        let Some((policy, rest)) = next.split_first() else {
            return Err(Error::with_message(ErrorKind::Other, "nobody answers"));
        };
        let answer = policy.send(ctx, request, rest).await?;
        if let Some(note) = ctx.value::<Arc<Note>>() {
            let seen = Seen::of(u16::from(answer.status()), answer.headers());
            *note.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        }
        Ok(answer)
    }
}

/// A call that is about to be made.
pub(crate) struct Call<'a> {
    operation: Operation,
    /// Of the blob, the container or the queue.
    name: &'a str,
    /// Who we are to Entra, if it is Entra whom we ask.
    entra: Option<&'a str>,
    note: Arc<Note>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(operation: Operation, name: &'a str, entra: Option<&'a str>) -> Self {
        Self { operation, name, entra, note: Arc::default() }
    }

    /// What the call has to be made with.
    pub(crate) fn context(&self) -> Context<'static> {
        Context::new().with_value(self.note.clone())
    }

    pub(crate) fn options(&self) -> ClientMethodOptions<'static> {
        ClientMethodOptions { context: self.context() }
    }

    /// Makes it: `otherwise` is what the operation's other decision is called.
    pub(crate) async fn made<T>(
        self,
        within: Duration,
        asking: impl Future<Output = azure_core::Result<T>>,
        otherwise: impl FnOnce() -> Option<T>,
    ) -> Reply<T> {
        let ended = timeout(within, asking).await;
        let seen = self.note.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let date = seen.as_ref().and_then(|seen| seen.date);
        let mut said_otherwise = None;
        let result = match ended {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => match self.judge(&error, seen.as_ref()) {
                Ok(()) => {
                    said_otherwise = seen.as_ref().map(answered);
                    otherwise().ok_or_else(|| self.odd("an answer that decides nothing here"))
                }
                Err(failure) => Err(failure),
            },
            Err(_elapsed) => Err(self.passing(&format!("no answer within {} s", within.as_secs()))),
        };
        Reply { date, otherwise: said_otherwise, result }
    }

    /// Without asking.
    pub(crate) fn refused<T>(&self, cause: &str) -> Reply<T> {
        Reply { date: None, otherwise: None, result: Err(self.odd(cause)) }
    }

    /// `Ok`: it was a decision, the other one.
    fn judge(&self, error: &Error, seen: Option<&Seen>) -> Result<(), Failure> {
        if let Some(refused) = self.entra.and_then(|entra| microsoft::refused(error, entra)) {
            let kind = if refused.transient { FailureKind::Passing } else { FailureKind::Denied };
            return Err(self.failure(kind, &refused.cause, &refused.cause, &refused.mend));
        }
        if let Some(trouble) = microsoft::trouble(error) {
            return Err(self.passing(&trouble.to_string()));
        }
        match seen {
            Some(seen) if !(200..300).contains(&seen.status) => {
                match meaning(self.operation, seen.status, &seen.code) {
                    Meaning::Otherwise => Ok(()),
                    Meaning::Failed(kind) => {
                        let failure = self.failure(kind, &said(seen), &answered(seen), mend(kind, &seen.code));
                        Err(Failure { retry_after: seen.retry_after, ..failure })
                    }
                }
            }
            _ => Err(self.odd("an answer that cannot be read")),
        }
    }

    /// A defect of ours, or of whoever answered.
    pub(crate) fn odd(&self, cause: &str) -> Failure {
        self.failure(FailureKind::Odd, cause, cause, mend(FailureKind::Odd, ""))
    }

    fn passing(&self, cause: &str) -> Failure {
        self.failure(FailureKind::Passing, cause, cause, mend(FailureKind::Passing, ""))
    }

    fn failure(&self, kind: FailureKind, code: &str, cause: &str, mend: &str) -> Failure {
        let cause = format!("cannot {} {:?}: {cause}; {mend}", self.operation.words(), self.name);
        Failure { kind, code: code.to_owned(), cause, retry_after: None }
    }
}

/// An answer without what it has to have.
pub(crate) fn odd(what: &'static str) -> Error {
    Error::with_message(ErrorKind::DataConversion, what)
}

/// `409 LeaseIdMissing`.
fn said(seen: &Seen) -> String {
    let code = if seen.code.is_empty() { "without a code" } else { &seen.code };
    format!("{} {code}", seen.status)
}

/// `409 LeaseIdMissing (request 1f2e…)`.
fn answered(seen: &Seen) -> String {
    match seen.request.as_str() {
        "" => format!("{} (no request id)", said(seen)),
        request => format!("{} (request {request})", said(seen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_of_an_answer_is_read_and_what_may_hold_anything_is_not_repeated() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("date", "Fri, 26 Jun 2015 23:39:12 GMT"),
            ("x-ms-error-code", "ServerBusy"),
            ("x-ms-request-id", "1f2e-33"),
            ("retry-after", "7"),
        ] {
            headers.insert(name, value);
        }
        let seen = Seen::of(503, &headers);
        assert_eq!((seen.date, seen.retry_after), (Some(1_435_361_952_000), Some(Duration::from_secs(7))));
        assert_eq!(answered(&seen), "503 ServerBusy (request 1f2e-33)");
        headers.insert("x-ms-error-code", "sig=canary");
        headers.insert("retry-after", "999999999");
        headers.insert("date", "today");
        let seen = Seen::of(503, &headers);
        assert_eq!((seen.date, seen.retry_after, seen.code.as_str()), (None, Some(RETRY_AFTER_MAX), ""));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_in_time_and_says_so() {
        let call = Call::new(Operation::Renew, "p/000/owner", None);
        let begun = tokio::time::Instant::now();
        let reply =
            call.made(Duration::from_secs(3), std::future::pending::<azure_core::Result<bool>>(), || Some(false)).await;
        assert_eq!(begun.elapsed().as_secs(), 3);
        let failure = reply.result.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Passing);
        assert!(
            failure.cause.starts_with("cannot renew the lease of \"p/000/owner\": no answer within 3 s"),
            "{failure}"
        );
    }
}
