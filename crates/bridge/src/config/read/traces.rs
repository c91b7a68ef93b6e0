//! `[traces]`: where the walks of messages are told.

use std::str::FromStr as _;

use azure::net::Endpoint;
use http::{HeaderName, HeaderValue, Uri};

use super::reader::{Reader, Section};
use super::secrets;
use super::tree::Value;
use crate::config::{Collector, Secret, Share, Traces};

const ENDPOINT: &str = "endpoint = \"http://localhost:4318/v1/traces\"";
/// A collector asks for one or two.
const HEADERS_MAX: usize = 16;

/// `[traces]`; none without an endpoint.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section) -> Option<Traces> {
    let endpoint_at = section.at_key("endpoint");
    let endpoint = section.text(reader, "endpoint", ENDPOINT);
    let sample = sample(reader, &mut section);
    let headers = headers(reader, &mut section);
    section.finish(reader);
    let collector = match collector(&endpoint?.value) {
        Ok(collector) => collector,
        Err(cause) => {
            reader.mistake(&endpoint_at, cause, format!("write {ENDPOINT}"));
            return None;
        }
    };
    if !collector.secure && !headers.is_empty() && !is_here(&collector.endpoint.host) {
        reader.warn(&endpoint_at, "sends its headers over a network without TLS", "write https://");
    }
    Some(Traces { collector, sample, headers })
}

/// OTLP's own path where there is none.
fn collector(text: &str) -> Result<Collector, String> {
    let uri = Uri::from_str(text).map_err(|why| format!("is no URL: {why}"))?;
    let (secure, port) = match uri.scheme_str() {
        Some("http") => (false, 80),
        Some("https") => (true, 443),
        _ => return Err("begins with neither http:// nor https://".to_owned()),
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let endpoint = Endpoint::parse(authority, port).map_err(|why| why.to_string())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path == "/" { "/v1/traces" } else { path };
    Ok(Collector { secure, endpoint, path: path.to_owned() })
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn sample(reader: &mut Reader<'_>, section: &mut Section) -> Share {
    let at = section.at_key("sample");
    let share = match section.take("sample").map(|found| found.value.value) {
        None => return Share::default(),
        Some(Value::Float(share)) => Share::new(share),
        Some(Value::Integer(0)) => Share::new(0.0),
        Some(Value::Integer(1)) => Share::new(1.0),
        Some(_) => None,
    };
    share.unwrap_or_else(|| {
        reader.mistake(&at, "is no share of the messages", "write a number from 0.0 to 1.0; the default is 0.01");
        Share::default()
    })
}

fn headers(reader: &mut Reader<'_>, section: &mut Section) -> Vec<(String, Secret)> {
    let at = section.at_key("headers");
    let mut table = section.section(reader, "headers", "headers = { authorization = { env = \"NAME\" } }");
    let entries = table.take_all();
    if entries.len() > HEADERS_MAX {
        reader.mistake(&at, format!("has more than {HEADERS_MAX} headers"), "a collector asks for one or two");
    }
    let mut headers = Vec::new();
    for (name, found) in entries {
        let at = found.at.clone();
        let Some(value) = secrets::resolve(reader, found) else { continue };
        if HeaderName::from_str(&name).is_err() || HeaderValue::from_str(&value.value).is_err() {
            reader.mistake(&at, "is no header of HTTP, by its name or by its value", "see what the collector asks for");
            continue;
        }
        headers.push((name, Secret::new(value.value)));
    }
    headers
}
