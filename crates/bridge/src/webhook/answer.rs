//! What the door says. Pure.
//!
//! Promises: only [`Answer::Kept`] is a 2xx, and no answer contains a key or anything of the body. The network shows
//! the first kilobyte of a refusal to the webhook's owner, so each says in a sentence what to do.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Seconds after which a sender with a retry queue may try again. Its shortest pause is four minutes; this is for the
/// others.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Committed, at this position.
    Kept(u64),
    /// Not JSON.
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser expected.
        cause: String,
    },
    /// The connection ended within the body, or it was cut.
    Incomplete,
    /// No key, or a wrong one.
    WrongKey,
    /// The key is not for the application in the body.
    WrongApplication,
    /// Nothing is here.
    Nowhere,
    /// Only POST.
    WrongMethod,
    /// Beyond [`MAX_BODY_BYTES`](super::MAX_BODY_BYTES).
    TooLarge,
    /// Cannot be made durable now.
    NotNow(Trouble),
}

/// Why a message cannot be made durable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Too many messages, or too many of their bytes, wait for the disk.
    Waiting,
    /// The commit takes too long; it may still come about.
    Slow,
    /// No room for more.
    Full,
    /// The disk refused.
    Failed,
    /// The queue is closed: shutting down.
    Closing,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Kept(_) => StatusCode::ACCEPTED,
            Self::NotJson { .. } | Self::Incomplete => StatusCode::BAD_REQUEST,
            Self::WrongKey => StatusCode::UNAUTHORIZED,
            Self::WrongApplication => StatusCode::FORBIDDEN,
            Self::Nowhere => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotNow(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A fixed word for logs and counters.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Kept(_) => "kept",
            Self::NotJson { .. } => "not_json",
            Self::Incomplete => "incomplete",
            Self::WrongKey => "wrong_key",
            Self::WrongApplication => "wrong_application",
            Self::Nowhere => "nowhere",
            Self::WrongMethod => "wrong_method",
            Self::TooLarge => "too_large",
            Self::NotNow(Trouble::Waiting) => "too_many_waiting",
            Self::NotNow(Trouble::Slow) => "commit_too_slow",
            Self::NotNow(Trouble::Full) => "queue_full",
            Self::NotNow(Trouble::Failed) => "disk_failed",
            Self::NotNow(Trouble::Closing) => "closing",
        }
    }

    /// As it goes over the wire.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let status = self.status();
        let (kind, body) = match &self {
            Self::Kept(seq) => ("application/json", format!(r#"{{"id":"{seq}"}}"#)),
            refused => ("application/problem+json", refused.problem()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        match self {
            Self::WrongKey => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::WrongMethod => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Self::NotNow(_) => drop(headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS)),
            _ => {}
        }
        if self.leaves_body_unread() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Answered before the whole body was read: the connection cannot carry another request.
    fn leaves_body_unread(&self) -> bool {
        !matches!(
            self,
            Self::Kept(_) | Self::NotJson { .. } | Self::WrongApplication | Self::NotNow(Trouble::Slow | Trouble::Full)
        )
    }

    /// A problem document (RFC 9457).
    fn problem(&self) -> String {
        let mut problem = serde_json::json!({
            "title": self.title(),
            "status": self.status().as_u16(),
        });
        if let Self::NotJson { line, column, cause } = self {
            problem["detail"] = format!("line {line}, column {column}: {cause}").into();
            problem["line"] = (*line).into();
            problem["column"] = (*column).into();
        }
        problem.to_string()
    }

    fn title(&self) -> &'static str {
        match self {
            Self::Kept(_) => "kept",
            Self::NotJson { .. } => "the body is not JSON; set the webhook's format to JSON",
            Self::Incomplete => "the body ended early",
            Self::WrongKey => {
                "the key is missing or wrong; send it as Authorization: Bearer, as the password of Basic, as X-API-Key \
                 or as x-functions-key"
            }
            Self::WrongApplication => "this key is not valid for the application of the message",
            Self::Nowhere => "nothing is here; messages go to /tts, /tts/{event} or /ttn/v2",
            Self::WrongMethod => "messages are sent with POST",
            Self::TooLarge => "the body is larger than 1 MiB",
            Self::NotNow(Trouble::Waiting) => "not kept: too many messages wait for the disk",
            Self::NotNow(Trouble::Slow) => "not known to be kept: the disk takes too long",
            Self::NotNow(Trouble::Full) => "not kept: the queue is full",
            Self::NotNow(Trouble::Failed) => "not known to be kept: the disk refused",
            Self::NotNow(Trouble::Closing) => "not kept: shutting down",
        }
    }
}
