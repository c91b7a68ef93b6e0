//! Who we are, put onto each request: an account's key signs it (Microsoft's crates do not), a SAS is added to its address.
//!
//! What is signed is told by [`string_to_sign`], PURE, as Microsoft documents it ("Authorize with Shared Key", version 2015-02-21 and
//! later). A policy behind the retries: a request is signed once for each time that it is sent, with the time of then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, MS_DATE};
use azure_core::http::policies::{Policy, PolicyResult};
use azure_core::http::{Context, Request, Url};
use azure_core::{Error, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use percent_encoding::percent_decode_str;
use queue::Clock;
use sha2::Sha256;

use crate::account::{Account, Key, Sas, Who};

/// Signs what passes. Prints no secret.
pub(crate) enum Signing {
    Key { account: String, key: Key, clock: Clock },
    Sas(Sas),
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing")
    }
}

impl Signing {
    /// None, where a token of Entra's is added by Microsoft's crates.
    pub(crate) fn of(account: &Account, clock: &Clock) -> Option<Self> {
        match (&account.who, &account.name) {
            (Who::Key(key), Some(name)) => {
                Some(Self::Key { account: name.clone(), key: key.clone(), clock: clock.clone() })
            }
            (Who::Sas(sas), _) => Some(Self::Sas(sas.clone())),
            // A key without a name is refused where it is read.
            (Who::Key(_), None) | (Who::Entra(_), _) => None,
        }
    }
}

#[async_trait]
impl Policy for Signing {
    async fn send(&self, ctx: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        match self {
            Self::Sas(sas) => {
                let url = request.url_mut();
                let query = url.query().filter(|query| !query.is_empty()).map(|query| format!("{query}&{}", sas.0));
                url.set_query(Some(query.as_deref().unwrap_or(&sas.0)));
            }
            Self::Key { account, key, clock } => {
                request.insert_header(MS_DATE, date(clock())?);
                let signature = signature(key, &string_to_sign(request, account));
                request.insert_header(AUTHORIZATION, format!("SharedKey {account}:{signature}"));
            }
        }
        let Some((policy, rest)) = next.split_first() else {
            return Err(Error::with_message(ErrorKind::Other, "nobody sends what was signed"));
        };
        policy.send(ctx, request, rest).await
    }
}

/// `Fri, 26 Jun 2015 23:39:12 GMT`.
fn date(now: queue::UnixMillis) -> Result<String> {
    let told =
        Timestamp::from_millisecond(now).and_then(|now| DateTimePrinter::new().timestamp_to_rfc9110_string(&now));
    told.map_err(|_| Error::with_message(ErrorKind::Other, "a clock that shows no time"))
}

/// HMAC-SHA256, in base64.
fn signature(key: &Key, text: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key.0).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Headers that stand in it by their value alone, in this order; the length of the body between the second and the third.
const BEFORE_LENGTH: [&str; 2] = ["content-encoding", "content-language"];
const AFTER_LENGTH: [&str; 8] = [
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

fn string_to_sign(request: &Request, account: &str) -> String {
    let header =
        |name: &&'static str| request.headers().get_optional_str(&HeaderName::from_static(name)).unwrap_or_default();
    // Zero is written as nothing.
    let length = request.body().len().filter(|length| *length > 0).map(|length| length.to_string());
    let mut lines = vec![request.method().as_str().to_owned()];
    lines.extend(BEFORE_LENGTH.iter().map(header).map(str::to_owned));
    lines.push(length.unwrap_or_default());
    lines.extend(AFTER_LENGTH.iter().map(header).map(str::to_owned));
    lines.extend(own_headers(request));
    lines.push(resource(request.url(), account));
    lines.join("\n")
}

/// `x-ms-…`, by name.
fn own_headers(request: &Request) -> impl Iterator<Item = String> {
    let own: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_str().trim().to_owned()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    own.into_iter().map(|(name, value)| format!("{name}:{value}"))
}

/// The account, the path as it is sent, and the query decoded, by name. An emulator has the account in its path as well.
fn resource(url: &Url, account: &str) -> String {
    let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        asked.entry(decoded(name).to_lowercase()).or_default().push(decoded(value));
    }
    let mut text = format!("/{account}{}", url.path());
    for (name, mut values) in asked {
        values.sort_unstable();
        text.push_str(&format!("\n{name}:{}", values.join(",")));
    }
    text
}

#[cfg(test)]
mod tests {
    use azure_core::http::Method;

    use super::*;

    fn request(method: Method, url: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(url.parse().unwrap(), method);
        for (name, value) in headers {
            request.insert_header(*name, *value);
        }
        request
    }

    #[test]
    fn what_is_signed_is_what_microsoft_documents() {
        let metadata = request(
            Method::Get,
            "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20",
            &[("x-ms-version", "2015-02-21"), ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT")],
        );
        let documented = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
                          /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20";
        assert_eq!(string_to_sign(&metadata, "myaccount"), documented);
        let list = "https://myaccount.blob.core.windows.net/container?restype=container&comp=list&include=snapshots\
                    &include=metadata&include=uncommittedblobs";
        let documented =
            "/myaccount/container\ncomp:list\ninclude:metadata,snapshots,uncommittedblobs\nrestype:container";
        assert_eq!(resource(&list.parse().unwrap(), "myaccount"), documented);
    }

    #[test]
    fn a_body_is_signed_by_its_length_and_conditions_by_their_place() {
        let mut put = request(
            Method::Put,
            "http://127.0.0.1:10000/devstoreaccount1/c/door%2F0001",
            &[("if-none-match", "*"), ("content-type", "application/octet-stream"), ("x-ms-blob-type", " BlockBlob ")],
        );
        let signed = |put: &Request| string_to_sign(put, "devstoreaccount1");
        let rest = "\n\napplication/octet-stream\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\n\
                    /devstoreaccount1/devstoreaccount1/c/door%2F0001";
        assert_eq!(signed(&put), format!("PUT\n\n\n{rest}"), "an empty body has no length");
        put.set_body("12345");
        assert_eq!(signed(&put), format!("PUT\n\n\n5{rest}"));
    }

    #[test]
    fn markers_are_signed_as_they_are_meant() {
        let url = "https://a.blob.core.windows.net/c?marker=2%21%2B8%3D+x&prefix=door%2F";
        assert_eq!(resource(&url.parse().unwrap(), "a"), "/a/c\nmarker:2!+8= x\nprefix:door/");
    }

    #[test]
    fn times_are_told_as_http_tells_them() {
        assert_eq!(date(1_435_361_952_000).unwrap(), "Fri, 26 Jun 2015 23:39:12 GMT");
        assert_eq!(date(1_404_345_608_999).unwrap(), "Thu, 03 Jul 2014 00:00:08 GMT", "two digits, whole seconds");
    }
}
