//! What a server is to be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Uri};

use crate::application::{Limits, is_id};
use crate::event::EventKind;

/// Milliseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
/// Headers of a webhook, by the API definition.
const HEADERS_MAX: usize = 50;
/// Posts under way at once; the Stack has 1024, a machine that also runs the receiver has enough with these.
const PARALLEL_MAX: usize = 64;

/// What a server is to be.
#[derive(Clone)]
pub struct Config {
    /// Its one application.
    pub application: String,
    /// Its one webhook.
    pub webhook: String,
    /// The API key that may queue downlinks.
    pub api_key: String,
    /// One that is known and may not.
    pub weak_api_key: Option<String>,
    /// Its own `host:port`, as the headers for downlinks name it; none: where it listens.
    pub address: Option<String>,
    /// Where events go; none: nowhere, they can be read over `/sim/events`.
    pub post: Option<Post>,
    /// What the Stack's operator sets.
    pub limits: Limits,
    /// What time it is.
    pub clock: Clock,
}

/// The webhook's receiver.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// `http://…`; there is no TLS here. May have `{appID}` and `{devID}`.
    pub base_url: String,
    /// What is appended to it.
    pub paths: Paths,
    /// Sent with each event, such as `X-API-Key`.
    pub headers: Vec<(String, String)>,
    /// Sends `X-Downlink-Apikey`, `X-Downlink-Push` and `X-Downlink-Replace`.
    pub has_downlink_key: bool,
    /// Posts under way at once, 1 to 64. The Stack has many, so that events overtake each other; with 1 they keep their
    /// order.
    pub parallel: usize,
}

/// Which events are posted, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// All, to this one; empty: to the base URL.
    One(String),
    /// These, each to its own.
    Each(BTreeMap<EventKind, String>),
}

/// What is wrong with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Ids of the API.
    #[error("{0}: must be 3 to 36 of a-z, 0-9, and - between them")]
    Id(&'static str),
    /// Not what a header can name.
    #[error("address: must be host:port")]
    Address,
    /// No address to post to.
    #[error("post.base_url: `{0}` is no http:// address of a host")]
    BaseUrl(String),
    /// No such header is possible.
    #[error("post.headers: `{0}` cannot be a header, or has a value that cannot stand in one")]
    Header(String),
    /// The API definition's bound.
    #[error("post.headers: at most {HEADERS_MAX}")]
    Headers,
    /// Out of its range.
    #[error("post.parallel: must be 1 to {PARALLEL_MAX}")]
    Parallel,
    /// Nobody could get in, or everybody.
    #[error("api_key: must not be empty, and weak_api_key must be another one")]
    Key,
}

impl Config {
    /// An application `app1` with the webhook `longhaul`, that posts nowhere.
    pub fn new(api_key: &str, clock: Clock) -> Self {
        Self {
            application: "app1".to_owned(),
            webhook: "longhaul".to_owned(),
            api_key: api_key.to_owned(),
            weak_api_key: None,
            address: None,
            post: None,
            limits: Limits::default(),
            clock,
        }
    }

    /// PURE: whether it can be served.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn checked(&self) -> Result<(), ConfigError> {
        for (name, id) in [("application", &self.application), ("webhook", &self.webhook)] {
            if !is_id(id) {
                return Err(ConfigError::Id(name));
            }
        }
        if self.address.as_ref().is_some_and(|address| address.parse::<http::uri::Authority>().is_err()) {
            return Err(ConfigError::Address);
        }
        if self.api_key.is_empty() || self.weak_api_key.as_ref() == Some(&self.api_key) {
            return Err(ConfigError::Key);
        }
        self.post.as_ref().map_or(Ok(()), Post::checked)
    }
}

impl Post {
    /// All events to this address, in order, with the headers for downlinks.
    pub fn to(base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            paths: Paths::One(String::new()),
            headers: Vec::new(),
            has_downlink_key: true,
            parallel: 1,
        }
    }

    fn checked(&self) -> Result<(), ConfigError> {
        let uri = expanded(&self.base_url, "app", "dev").parse::<Uri>().ok();
        let is_http = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
        if !uri.as_ref().is_some_and(is_http) {
            return Err(ConfigError::BaseUrl(self.base_url.clone()));
        }
        if self.headers.len() > HEADERS_MAX {
            return Err(ConfigError::Headers);
        }
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                return Err(ConfigError::Header(name.clone()));
            }
        }
        if (1..=PARALLEL_MAX).contains(&self.parallel) { Ok(()) } else { Err(ConfigError::Parallel) }
    }

    /// PURE: where an event goes; `None` where it is not wanted. A `/` in front of the path is dropped; a path may be a
    /// query alone.
    pub(crate) fn address(&self, kind: EventKind, application: &str, device: &str) -> Option<String> {
        let path = match &self.paths {
            Paths::One(path) => path,
            Paths::Each(paths) => paths.get(&kind)?,
        };
        let base = self.base_url.as_str();
        let address = match path.trim_start_matches('/') {
            "" => base.to_owned(),
            query if query.starts_with('?') => format!("{base}{query}"),
            path => format!("{}/{path}", base.trim_end_matches('/')),
        };
        Some(expanded(&address, application, device))
    }
}

/// The variables of an address that are known here.
fn expanded(template: &str, application: &str, device: &str) -> String {
    let pairs =
        [("{appID}", application), ("{applicationID}", application), ("{devID}", device), ("{deviceID}", device)];
    pairs.iter().fold(template.to_owned(), |text, (variable, value)| text.replace(variable, value))
}

impl fmt::Debug for Config {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = (&self.application, &self.webhook, &self.post, &self.limits);
        f.debug_tuple("Config").field(&shown).finish()
    }
}

impl fmt::Debug for Post {
    /// Without the headers' values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Post").field("base_url", &self.base_url).field("headers", &names).finish_non_exhaustive()
    }
}
