//! Who may ask: under which name of this machine, and from which page; and what a browser is told with each answer.
//!
//! There is no token: the page is for this machine alone. So a name of others that points here is not answered, and where a browser tells
//! whose page asks, it must be ours.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::connections::Ask;

const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered.
pub(super) fn refused(ask: &Ask) -> Option<&'static str> {
    let (headers, is_read) = (&ask.parts.headers, ask.parts.method.is_safe());
    if !is_local(text(headers, header::HOST).unwrap_or_default()) {
        return Some("host: not a name of this machine, use localhost or 127.0.0.1");
    }
    // Browsers name the page that asks wherever something could change, programs do not.
    let origin = text(headers, header::ORIGIN).map(|origin| origin.strip_prefix("http://").unwrap_or_default());
    let is_ours = origin.is_none_or(is_local);
    let site = text(headers, SEC_FETCH_SITE).is_none_or(|site| matches!(site, "same-origin" | "none"));
    (!is_ours || !(is_read || site)).then_some("origin: a page of another site asks, or none that can be told")
}

/// Whether a body says that it is JSON, which no page of another site can make it say unasked.
pub(super) fn is_json(ask: &Ask) -> bool {
    let kind = text(&ask.parts.headers, header::CONTENT_TYPE).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The page shows strings that devices made up: nothing but our own files may run, and nobody may frame it.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in page::HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// A name of this machine with or without a port.
fn is_local(host: &str) -> bool {
    LOCAL_NAMES.iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
    })
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}
