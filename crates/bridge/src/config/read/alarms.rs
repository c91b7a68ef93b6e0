//! `[alarms]`: what is worth an alarm, and who is told.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use azure::net::Endpoint;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderValue, Uri};

use super::nearest::nearest;
use super::reader::{Found, Reader, Section, Wanted};
use super::secrets;
use crate::alarms::Kind;
use crate::config::{AlarmWebhook, Alarms, Secret, duration};

const WEBHOOK_EXAMPLE: &str = "webhook = { env = \"ALARM_WEBHOOK\" }";
/// Longest name of a bridge in reports.
const BRIDGE_CHARS_MAX: usize = 64;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

pub(super) fn read(reader: &mut Reader<'_>, mut section: Section) -> Alarms {
    let webhook = webhook(reader, &mut section);
    let alarms = Alarms {
        webhook,
        bridge: bridge(reader, &mut section),
        device_silent_intervals: super::per(section.number(reader, "device_silent_intervals", 2..=1_000, 3)),
        device_silent_min: time(reader, &mut section, "device_silent_min", (1..=30 * DAY, HOUR)),
        flow_silent_min: time(reader, &mut section, "flow_silent_min", (1..=7 * DAY, 15 * MINUTE)),
        queue_old: time(reader, &mut section, "queue_old", (1..=7 * DAY, 10 * MINUTE)),
        hub_down_min: time(reader, &mut section, "hub_down_min", (1..=DAY, MINUTE)),
        off: off(reader, &mut section),
    };
    section.finish(reader);
    alarms
}

/// `"20s"`, `"5m"`, `"2h"`, `"3d"`.
fn time(
    reader: &mut Reader<'_>,
    section: &mut Section,
    key: &'static str,
    (bounds, default): (RangeInclusive<u64>, u64),
) -> Duration {
    let default = Duration::from_secs(default);
    let Some(found) = section.text(reader, key, "device_silent_min = \"1h\"") else { return default };
    let mend = "write a time such as \"90s\", \"10m\", \"1h\" or \"2d\"";
    match duration::parse(&found.value) {
        Ok(time) if bounds.contains(&time.as_secs()) => time,
        Ok(_) => {
            let cause = format!("`{}` is not within {} s and {} s", found.value, bounds.start(), bounds.end());
            reader.mistake(&found.at, cause, mend);
            default
        }
        Err(cause) => {
            reader.mistake(&found.at, cause, mend);
            default
        }
    }
}

fn bridge(reader: &mut Reader<'_>, section: &mut Section) -> Option<String> {
    let found = section.text(reader, "bridge", "bridge = \"site-1\"")?;
    let is_good = !found.value.is_empty() && found.value.chars().count() <= BRIDGE_CHARS_MAX;
    if !is_good || found.value.chars().any(char::is_control) {
        reader.mistake(&found.at, "is no name for a bridge", format!("use 1 to {BRIDGE_CHARS_MAX} characters"));
        return None;
    }
    Some(found.value)
}

fn off(reader: &mut Reader<'_>, section: &mut Section) -> BTreeSet<Kind> {
    let Some(found) = section.take("off") else { return BTreeSet::new() };
    let mut off = BTreeSet::new();
    for item in found.into_list(reader, "off = [\"device_silent\"]") {
        let wanted = Wanted { kind: "a text", example: "off = [\"device_silent\"]" };
        let Some(word) = item.into_text(reader, wanted) else { continue };
        match Kind::ALL.into_iter().find(|kind| kind.word() == word.value) {
            Some(kind) => drop(off.insert(kind)),
            None => {
                let words = Kind::ALL.map(Kind::word);
                let hint =
                    nearest(&word.value, words).map_or(String::new(), |near| format!("did you mean \"{near}\"? "));
                let mend = format!("{hint}it is one of {}", words.join(", "));
                reader.mistake(&word.at, format!("`{}` is no alarm", word.value), mend);
            }
        }
    }
    off
}

/// The whole address is a secret: those of chat services are all that is needed to write there.
fn webhook(reader: &mut Reader<'_>, section: &mut Section) -> Option<AlarmWebhook> {
    let [token_at, header_at] = ["token", "header"].map(|key| section.at_key(key));
    let (has_token, has_webhook) = (section.has("token"), section.has("webhook"));
    let address = section.take("webhook").and_then(|found| secrets::sourced(reader, found));
    let token = section.take("token").and_then(|found| secrets::resolve(reader, found));
    let header = header(reader, section);
    if has_token && !has_webhook {
        reader.missing(
            &token_at,
            "is of no use without alarms.webhook",
            format!("write {WEBHOOK_EXAMPLE}, or remove it"),
        );
    }
    if header.is_some() && !has_token {
        reader.missing(&header_at, "is of no use without alarms.token", "set alarms.token, or remove it");
    }
    let address = address?;
    if address.is_unasked {
        return None;
    }
    let (endpoint, path) = match parse(&address.found.value) {
        Ok(parsed) => parsed,
        Err(cause) => {
            let mend = "write the address whole, as https://HOST/PATH; a receiver without TLS needs a proxy before it";
            reader.mistake(&address.found.at, cause, mend);
            return None;
        }
    };
    let header = header.unwrap_or(AUTHORIZATION);
    let token = match token {
        None => None,
        Some(found) => Some((header.clone(), in_header(reader, &header, &found)?)),
    };
    Some(AlarmWebhook { endpoint, path: Secret::new(path), token })
}

fn in_header(reader: &mut Reader<'_>, header: &HeaderName, token: &Found<String>) -> Option<Secret<HeaderValue>> {
    let text = if *header == AUTHORIZATION { format!("Bearer {}", token.value) } else { token.value.clone() };
    let Ok(mut value) = HeaderValue::from_str(&text) else {
        reader.mistake(&token.at, "the secret has a character that cannot stand in a header", "keep the token alone");
        return None;
    };
    value.set_sensitive(true);
    Some(Secret::new(value))
}

fn header(reader: &mut Reader<'_>, section: &mut Section) -> Option<HeaderName> {
    let found = section.text(reader, "header", "header = \"x-api-key\"")?;
    let name = HeaderName::try_from(found.value.as_str()).ok();
    if name.is_none() {
        reader.mistake(
            &found.at,
            format!("`{}` is no name of a header", found.value),
            "write a name such as x-api-key",
        );
    }
    name
}

/// Nothing of it is repeated in what is wrong.
fn parse(text: &str) -> Result<(Endpoint, String), String> {
    let Some(rest) = text.strip_prefix("https://") else { return Err("does not begin with https://".to_owned()) };
    let uri: Uri = text.parse().map_err(|_| "is no address".to_owned())?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("has a user or a password in it, which belongs into alarms.token".to_owned());
    }
    let endpoint = Endpoint::parse(authority, 443).map_err(|e| e.to_string())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Ok((endpoint, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_never_repeated() {
        let (endpoint, path) = parse("https://hooks.example.com/services/T0/canary?x=1").unwrap();
        assert_eq!(
            (endpoint.to_string().as_str(), path.as_str()),
            ("hooks.example.com:443", "/services/T0/canary?x=1")
        );
        let (endpoint, path) = parse("https://[::1]:9443").unwrap();
        assert_eq!((endpoint.to_string().as_str(), path.as_str()), ("[::1]:9443", "/"));
        for wrong in [
            "http://h/canary",
            "h/canary",
            "https://",
            "https://u:canary@h/",
            "https://h:0/canary",
            "https://h /canary",
        ] {
            let cause = parse(wrong).unwrap_err();
            assert!(!cause.contains("canary"), "{cause}");
        }
    }
}
