//! `[webhook]` and `[admin]`: who may come in.
//!
//! Promises that nothing listens beyond this machine without a key, nor without TLS unless a proxy has it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::reader::{At, Found, Reader, Section, Wanted, wrong_type};
use super::secrets;
use super::tree::{Node, Value};
use crate::config::{Admin, Place, Secret, TlsFiles, Webhook, WebhookKey};

/// Fewest characters of a key that strangers may guess at: 16 of base64 are 96 bits.
const KEY_CHARS_MIN: usize = 16;
/// Longest name of a network; it stands in every stored message.
const NETWORK_CHARS_MAX: usize = 64;
/// Bound of every count of connections and waiting puts; file descriptors end earlier.
const COUNT_MAX: i64 = 1_000_000;
/// A week, in seconds: whoever has not changed the network's side by then does not mean to.
const OVERLAP_MAX: i64 = 7 * 86_400;
/// A balancer that has not looked within a minute does not look.
const LINGER_MAX: i64 = 60;
/// Below this the largest body that is taken would never fit.
const MIB: i64 = 1 << 20;

const KEYS_EXAMPLE: &str = r#"keys = [{ env = "LONGHAUL_WEBHOOK_KEY" }]"#;
const APPLICATIONS_EXAMPLE: &str = r#"applications = ["building"]"#;
const ADDRESS_EXAMPLE: &str = r#"listen = "127.0.0.1:8080""#;

/// `[webhook]`.
pub(super) fn webhook(reader: &mut Reader<'_>, mut section: Section) -> Webhook {
    let doors = Doors {
        listen: section.at_key("listen"),
        keys: section.at_key("keys"),
        // What is there but wrong is reported as such; a second complaint would only confuse.
        has_files: section.has("cert_file") || section.has("key_file"),
    };
    let before = reader.count();
    let keys = keys(reader, &mut section);
    let keys_are_wrong = reader.count() > before;
    let overlap = section.number(reader, "key_overlap_seconds", 0..=OVERLAP_MAX, 3600);
    let webhook = Webhook {
        listen: address(reader, &mut section, 8080),
        keys,
        key_overlap: Duration::from_secs(overlap.try_into().expect("its bounds are not negative")),
        network: network(reader, &mut section).unwrap_or_else(|| "ttn".to_owned()),
        tls: tls(reader, &mut section),
        behind_proxy: section.boolean(reader, "behind_proxy"),
        max_connections: count(section.number(reader, "max_connections", 1..=COUNT_MAX, 8192)),
        max_waiting: count(section.number(reader, "max_waiting", 1..=COUNT_MAX, 4096)),
        max_waiting_bytes: count(section.number(reader, "max_waiting_bytes", MIB..=MIB << 20, 64 * MIB)),
        linger: linger(reader, &mut section),
    };
    section.finish(reader);
    if is_local(webhook.listen) {
        warn_open_proxy(reader, &webhook, &doors.keys);
    } else {
        doors.check(reader, &webhook, keys_are_wrong);
    }
    webhook
}

/// Nothing: as the kind of the queue says.
fn linger(reader: &mut Reader<'_>, section: &mut Section) -> Option<Duration> {
    let given = section.has("linger_seconds");
    let seconds = section.number(reader, "linger_seconds", 0..=LINGER_MAX, 0);
    given.then(|| Duration::from_secs(seconds.try_into().expect("its bounds are not negative")))
}

/// Where to complain about an open door.
struct Doors {
    listen: At,
    keys: At,
    has_files: bool,
}

impl Doors {
    fn check(&self, reader: &mut Reader<'_>, webhook: &Webhook, keys_are_wrong: bool) {
        let open = format!("{} can be reached from other machines", webhook.listen);
        if webhook.keys.is_empty() && !keys_are_wrong {
            let mend = format!("write {KEYS_EXAMPLE}, or listen on 127.0.0.1");
            reader.missing(&self.keys, format!("{open}, and there is no key"), mend);
        }
        if !self.has_files && !webhook.behind_proxy {
            let mend = "set cert_file and key_file, or behind_proxy = true if a proxy has TLS, or listen on 127.0.0.1";
            reader.missing(&self.listen, format!("{open}, and there is no TLS: keys would be seen"), mend);
        }
    }
}

fn warn_open_proxy(reader: &mut Reader<'_>, webhook: &Webhook, at: &At) {
    if webhook.behind_proxy && webhook.keys.is_empty() {
        reader.warn(at, "whoever reaches the proxy can post, for there is no key", format!("write {KEYS_EXAMPLE}"));
    }
}

/// `[admin]`.
pub(super) fn admin(reader: &mut Reader<'_>, mut section: Section) -> Admin {
    let at = section.at_key("token");
    let broken = section.has("token");
    let listen = address(reader, &mut section, 8081);
    let token = section.take("token").and_then(|found| secrets::resolve(reader, found));
    section.finish(reader);
    if !is_local(listen) {
        match &token {
            Some(token) => warn_short(reader, token),
            None if broken => {}
            None => {
                let cause = format!("{listen} can be reached from other machines, and there is no token");
                reader.missing(&at, cause, "write token = { env = \"LONGHAUL_ADMIN_TOKEN\" }, or listen on 127.0.0.1");
            }
        }
    }
    Admin { listen, token: token.map(|token| Secret::new(token.value)) }
}

/// Two listeners cannot share a port; port 0 is a free one each time.
pub(super) fn check_apart(reader: &mut Reader<'_>, at: &At, webhook: SocketAddr, admin: SocketAddr) {
    let everywhere = webhook.ip().is_unspecified() || admin.ip().is_unspecified();
    if webhook.port() == admin.port() && webhook.port() != 0 && (everywhere || webhook.ip() == admin.ip()) {
        let cause = format!("{admin} is taken by webhook.listen already ({webhook})");
        reader.mistake(at, cause, "choose another port, such as 8081");
    }
}

/// Can only this machine reach it?
fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn address(reader: &mut Reader<'_>, section: &mut Section, port: u16) -> SocketAddr {
    let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let Some(found) = section.text(reader, "listen", ADDRESS_EXAMPLE) else { return default };
    // A name would need a resolver, and may mean several addresses; this one is known.
    let text = found.value.replace("localhost:", "127.0.0.1:");
    text.parse().unwrap_or_else(|_| {
        let mend = format!("write IP:PORT, such as \"{default}\", or \"0.0.0.0:{port}\" for all addresses");
        reader.mistake(&found.at, format!("`{}` is not an address to listen on", found.value), mend);
        default
    })
}

fn network(reader: &mut Reader<'_>, section: &mut Section) -> Option<String> {
    let found = section.text(reader, "network", "network = \"ttn\"")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if found.value.is_empty() || found.value.len() > NETWORK_CHARS_MAX || !found.value.chars().all(good) {
        let cause = format!("`{}` is not a name for a network", found.value);
        reader.mistake(&found.at, cause, "use up to 64 letters, digits, '-', '_' and '.'");
        return None;
    }
    Some(found.value)
}

fn tls(reader: &mut Reader<'_>, section: &mut Section) -> Option<TlsFiles> {
    let (cert_at, key_at) = (section.at_key("cert_file"), section.at_key("key_file"));
    let cert = section.text(reader, "cert_file", "cert_file = \"cert.pem\"");
    let key = section.text(reader, "key_file", "key_file = \"key.pem\"");
    match (cert, key) {
        (None, None) => None,
        (Some(_), None) => {
            reader.missing(
                &key_at,
                "is missing, for cert_file is set",
                "name the PEM file with the certificate's private key",
            );
            None
        }
        (None, Some(_)) => {
            reader.missing(&cert_at, "is missing, for key_file is set", "name the PEM file with the certificate chain");
            None
        }
        (Some(cert), Some(key)) => {
            pem(reader, &cert, "CERTIFICATE", "a certificate");
            pem(reader, &key, "PRIVATE KEY", "a private key");
            Some(TlsFiles { cert_file: reader.path(&cert.value), key_file: reader.path(&key.value) })
        }
    }
}

/// Is there a PEM file with at least one block of `label`? What is in the block shows when it is used.
pub(super) fn pem(reader: &mut Reader<'_>, found: &Found<String>, label: &str, what: &str) {
    let path = reader.path(&found.value);
    match reader.file(&path) {
        Ok(text) => {
            if !text.contains(&format!("{label}-----")) {
                let cause = format!("the file {} holds no {label} in PEM", path.display());
                reader.mistake(&found.at, cause, format!("name a file with {what} that begins with -----BEGIN"));
            }
        }
        Err(e) => {
            let mend = "correct the path (relative ones count from the configuration's directory) or its permissions";
            reader.mistake(&found.at, format!("the file {} cannot be read: {e}", path.display()), mend);
        }
    }
}

fn keys(reader: &mut Reader<'_>, section: &mut Section) -> Vec<WebhookKey> {
    let Some(found) = section.take("keys") else { return Vec::new() };
    let all_at = found.at.clone();
    // One key from a variable needs no brackets.
    let items = match (&found.value.value, &found.at.place) {
        (Value::Text(_), Some(Place::Variable(_))) => vec![found],
        _ => found.into_list(reader, KEYS_EXAMPLE),
    };
    if items.is_empty() {
        reader.warn(&all_at, "is an empty list, so no key is asked for", format!("write {KEYS_EXAMPLE}, or remove it"));
    }
    let keys: Vec<_> = items.into_iter().filter_map(|item| Some((item.at.clone(), key(reader, item)?))).collect();
    let mut seen: Vec<&WebhookKey> = Vec::new();
    for (at, key) in &keys {
        if seen.iter().any(|other| other.secret == key.secret) {
            reader.mistake(
                at,
                "is the same key as one before it",
                "give every entry its own key, or join their applications",
            );
        }
        seen.push(key);
    }
    keys.into_iter().map(|(_, key)| key).collect()
}

fn key(reader: &mut Reader<'_>, item: Found<Node>) -> Option<WebhookKey> {
    if !matches!(item.value.value, Value::Table(_)) {
        let secret = secrets::sourced(reader, item)?;
        return Some(webhook_key(reader, secret, None, None));
    }
    let mut section = item.into_section(reader, KEYS_EXAMPLE)?;
    let secret = match section.take("key") {
        Some(found) => secrets::sourced(reader, found),
        None => secrets::from_table(reader, &mut section),
    };
    let applications = applications(reader, &mut section);
    let network = network(reader, &mut section);
    section.finish(reader);
    Some(webhook_key(reader, secret?, applications, network))
}

fn webhook_key(
    reader: &mut Reader<'_>,
    secret: secrets::Sourced,
    applications: Option<BTreeSet<String>>,
    network: Option<String>,
) -> WebhookKey {
    warn_short(reader, &secret.found);
    WebhookKey { secret: Secret::new(secret.found.value), source: secret.source, applications, network }
}

fn applications(reader: &mut Reader<'_>, section: &mut Section) -> Option<BTreeSet<String>> {
    let found = section.take("applications")?;
    let at = found.at.clone();
    if !matches!(found.value.value, Value::List(_)) {
        wrong_type(reader, &at, &found.value.value, Wanted { kind: "a list", example: APPLICATIONS_EXAMPLE });
        return Some(BTreeSet::new());
    }
    let items = found.into_list(reader, APPLICATIONS_EXAMPLE);
    if items.is_empty() {
        reader.mistake(
            &at,
            "is an empty list, so the key would open for nobody",
            "name applications, or remove it to allow all",
        );
    }
    let wanted = Wanted { kind: "a text", example: APPLICATIONS_EXAMPLE };
    Some(items.into_iter().filter_map(|item| item.into_text(reader, wanted)).map(|found| found.value).collect())
}

fn warn_short(reader: &mut Reader<'_>, secret: &Found<String>) {
    if secret.value.chars().count() < KEY_CHARS_MIN {
        let mend = "take at least 16 random characters, as from `openssl rand -base64 24`";
        reader.warn(&secret.at, format!("is shorter than {KEY_CHARS_MIN} characters and can be guessed"), mend);
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).expect("its bounds are positive")
}
