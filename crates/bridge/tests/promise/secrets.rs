//! Promise: no secret leaks. A canary stands in every secret there is; afterwards everything that the bridge has
//! written, logged, shown or sent is searched for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http;
use crate::processes::run;
use crate::site::Site;
use crate::uplinks;

const PATIENCE: Duration = Duration::from_secs(30);
const WEBHOOK_KEY: &str = "canary-webhook-key-0001";
const LIMITED_KEY: &str = "canary-limited-key-0002";
pub(crate) const ADMIN_TOKEN: &str = "canary-admin-token-0003";
const WRONG_KEY: &str = "canary-wrong-key-0004";
const DOWNLINK_URL_KEY: &str = "ttn-account-v2.canary-downlink-0005";
const DOWNLINK_HEADER: &str = "NNSXS.CANARYAPIKEY0006";
const SESSION_KEY: &str = "CA4A9100070007CA4A9100070007CA4A";
const OTHER_KEYS: &str = "canary-session-keys-0008";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_stored_logged_shown_or_sent() {
    let mut site = Site::empty("secrets");
    site.settings.keys =
        vec![format!("\"{WEBHOOK_KEY}\""), format!("{{ key = \"{LIMITED_KEY}\", applications = [\"building\"] }}")];
    site.settings.more.push_str("[log]\nlevel = \"trace\"\n\n");
    site.start_simulator().await;
    site.env.push(("LONGHAUL__ADMIN__TOKEN".to_owned(), ADMIN_TOKEN.to_owned()));
    site.start_bridge().await;
    let posted = post_everything(&site).await;
    assert!(posted >= 10);

    let bearer = format!("Bearer {ADMIN_TOKEN}");
    site.drained(PATIENCE).await;
    let pages = shown(&site, &[("authorization", &bearer)]).await;
    let mut waiting = until_empty(&site).await;
    waiting.push_str(&explained(&site).await);
    let record = site.record().text();
    assert_eq!(record.lines().count(), 3, "the three uplinks with secrets arrived: {record}");

    let canaries = canaries(&site);
    let mut places: Vec<(String, Vec<u8>)> = vec![
        ("the record".to_owned(), record.into_bytes()),
        ("the pages".to_owned(), pages.into_bytes()),
        ("readyz and explain".to_owned(), waiting.into_bytes()),
    ];
    // Once while it runs, with the log that is not yet merged, and once after it has ended.
    places.extend(written(&site));
    site.bridge().signal("TERM");
    site.bridge().exit_within(PATIENCE).await;
    places.extend(written(&site));

    let bytes: usize = places.iter().map(|(_, content)| content.len()).sum();
    println!("searched {} places, {bytes} bytes, for {} canaries", places.len(), canaries.len());
    assert!(site.bridge().stdout().len() + site.bridge().stderr().len() > 1_000, "there is a log to search");
    search(places, &canaries);
}

/// No canary stands in any of these places.
pub(crate) fn search(places: Vec<(String, Vec<u8>)>, canaries: &[(&'static str, String)]) {
    let places: Vec<_> = places.into_iter().map(|(place, content)| (place, in_lower_case(&content))).collect();
    for (name, canary) in canaries {
        let canary = canary.to_ascii_lowercase();
        let found: Vec<_> = places.iter().filter(|(_, text)| text.contains(&canary)).map(|(place, _)| place).collect();
        assert!(found.is_empty(), "{name} ({canary}) stands in {found:?}");
    }
}

/// Path, headers, body, and the answer.
type Post<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [u8], u16);

/// Every way in which a secret can come to the door, in good messages and in bad ones.
async fn post_everything(site: &Site) -> usize {
    let bearer = format!("Bearer {WEBHOOK_KEY}");
    let basic = format!("Basic {}", STANDARD.encode(format!("user:{WEBHOOK_KEY}")));
    let wrong = format!("Bearer {WRONG_KEY}");
    let downlink = ("x-downlink-apikey", DOWNLINK_HEADER);
    let v2 = uplinks::ttn_v2("building", "old-1", 1, false, DOWNLINK_URL_KEY);
    let join = format!(
        r#"{{"end_device_ids":{{"device_id":"d","application_ids":{{"application_id":"building"}}}},"join_accept":{{"session_key_id":"AA==","app_s_key":{{"key":"{SESSION_KEY}"}}}}}}"#
    );
    let strange = format!(
        r#"{{"data":{{"uplink_message":{{"app_s_key":{{"key":"{SESSION_KEY}"}}}},"session_keys":{{"x":"{OTHER_KEYS}"}},"downlink_url":"https://x?key={DOWNLINK_URL_KEY}"}}}}"#
    );
    let broken = format!(r#"{{"downlink_url":"{DOWNLINK_URL_KEY}","app_s_key":{{"key":"{SESSION_KEY}"#);
    let vehicles = uplinks::tts("vehicles", "car-1", 1);
    let code = format!("/api/UplinkProcessor?code={WEBHOOK_KEY}");
    let wrong_code = format!("/api/UplinkProcessor?code={WRONG_KEY}");
    let octets = ("content-type", "application/octet-stream");
    let protobuf = protobuf_uplink();
    let posts: [Post; 12] = [
        ("/ttn/v2", vec![("authorization", &bearer), downlink], &v2, 202),
        ("/tts", vec![("authorization", &basic), downlink], &encrypted_uplink(), 202),
        (&code, vec![downlink], &uplinks::tts("building", "dev-2", 1), 202),
        ("/tts/join_accept", vec![("x-api-key", WEBHOOK_KEY), downlink], join.as_bytes(), 202),
        ("/tts", vec![("x-functions-key", WEBHOOK_KEY)], strange.as_bytes(), 202),
        ("/tts", vec![("x-api-key", WEBHOOK_KEY), octets], &protobuf, 202),
        ("/tts", vec![("x-api-key", WEBHOOK_KEY), octets], SESSION_KEY.as_bytes(), 202),
        ("/tts", vec![("x-api-key", WEBHOOK_KEY)], broken.as_bytes(), 400),
        ("/tts", vec![("x-api-key", LIMITED_KEY)], &vehicles, 403),
        ("/tts", vec![("authorization", &wrong)], &v2, 401),
        ("/tts", vec![("x-api-key", WRONG_KEY), downlink], &v2, 401),
        (&wrong_code, vec![], &v2, 401),
    ];
    for (path, headers, body, status) in &posts {
        let reply = http::post(site.ports.webhook, path, headers, body).await.expect("the door answers");
        assert_eq!(reply.status, *status, "{path} {headers:?}: {}", reply.text());
        assert!(!reply.text().to_lowercase().contains("canary"), "{path}: {}", reply.text());
    }
    posts.len()
}

/// Everything that the admin listener shows.
pub(crate) async fn shown(site: &Site, headers: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for path in
        ["/", "/page/main.js", "/metrics", "/healthz", "/readyz", "/api/v1/snapshot", "/api/v1/dead-letters", "/none"]
    {
        let mut connection = http::Connection::open(site.ports.admin).await.expect("the admin listener is there");
        let reply = connection.get(path, headers).await.expect("the admin listener answers");
        assert!(matches!(reply.status, 200 | 404), "{path}: {}", reply.status);
        text.push_str(&reply.text());
        for (name, value) in &reply.headers {
            text.push_str(&format!("{name}: {value}\n"));
        }
    }
    let without = http::get(site.ports.admin, "/metrics").await.expect("the admin listener answers");
    assert_eq!(without.status, 401, "the token is wanted");
    text
}

async fn until_empty(site: &Site) -> String {
    site.drained(PATIENCE).await;
    site.admin("/readyz").await.text()
}

/// What `explain` and `check` print of a message and a configuration full of secrets.
async fn explained(site: &Site) -> String {
    let file = site.dir.join("message");
    std::fs::write(&file, encrypted_uplink()).expect("the file can be written");
    let config = std::fs::read_to_string(site.config()).expect("it was written");
    let plain = config.replace("{ env = \"GROUP_KEY\" }", &format!("\"{}\"", site.group_key()));
    std::fs::write(site.config(), plain).expect("the file can be written");
    let file = file.to_str().expect("a path of ours");
    let mut text = String::new();
    for arguments in [&["explain", file][..], &["explain", "--json", file], &["check", "--offline"]] {
        let (_, stdout, stderr) = run(&site.dir, arguments, PATIENCE).await;
        text.push_str(&stdout);
        text.push_str(&stderr);
    }
    text
}

/// Name and text of every secret.
fn canaries(site: &Site) -> Vec<(&'static str, String)> {
    let scope_key = site.group_key();
    vec![
        ("a webhook key", WEBHOOK_KEY.to_owned()),
        ("a webhook key as it comes in Basic", STANDARD.encode(format!("user:{WEBHOOK_KEY}"))),
        ("a webhook key for one application", LIMITED_KEY.to_owned()),
        ("the admin token", ADMIN_TOKEN.to_owned()),
        ("a wrong key", WRONG_KEY.to_owned()),
        ("the key in downlink_url", DOWNLINK_URL_KEY.to_owned()),
        ("X-Downlink-Apikey", DOWNLINK_HEADER.to_owned()),
        ("app_s_key", SESSION_KEY.to_owned()),
        ("session_keys", OTHER_KEYS.to_owned()),
        ("the group key", scope_key.clone()),
        ("the group key, percent-encoded", scope_key.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")),
        ("a token", "SharedAccessSignature sr".to_owned()),
    ]
}

/// All files below the site's directory but those that hold secrets by their purpose: the configuration, the message
/// given to `explain`, and what belongs to the simulator.
pub(crate) fn written(site: &Site) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    collect(&site.dir, &mut files);
    let named = files.into_iter().filter_map(|path| {
        let place = path.strip_prefix(&site.dir).ok()?.display().to_string();
        let is_theirs = place.starts_with("azure") || place == "longhaul.toml" || place == "message";
        if is_theirs { None } else { Some((place, std::fs::read(&path).ok()?)) }
    });
    let named: Vec<_> = named.collect();
    assert!(named.iter().any(|(place, _)| place.starts_with("data/")), "the queue's files are among them");
    named
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// In any case, since keys in hexadecimal may be written either way.
fn contains(content: &[u8], canary: &str) -> bool {
    in_lower_case(content).contains(&canary.to_ascii_lowercase())
}

/// What is no text becomes signs that stand in no canary.
fn in_lower_case(content: &[u8]) -> String {
    String::from_utf8_lossy(content).to_ascii_lowercase()
}

fn encrypted_uplink() -> Vec<u8> {
    format!(
        r#"{{"end_device_ids":{{"device_id":"dev-1","application_ids":{{"application_id":"building"}}}},
"uplink_message":{{"session_key_id":"AA==","f_port":1,"f_cnt":3,"frm_payload":"AQID","app_s_key":{{"key":"{SESSION_KEY}"}},
"settings":{{"frequency":"868300000"}}}}}}"#
    )
    .into_bytes()
}

/// An uplink in the wire format, with a session key: `ApplicationUp{1: ids, 3: uplink_message{2: port, 9: {1: key}}}`.
fn protobuf_uplink() -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("a short field");
        [&[number << 3 | 2, length], content].concat()
    };
    let ids = field(1, b"dev-1");
    let key = field(9, &field(1, SESSION_KEY.as_bytes()));
    let uplink = [vec![2 << 3, 1], key].concat();
    [field(1, &ids), field(3, &uplink)].concat()
}

#[test]
fn the_search_finds_a_planted_canary() {
    assert!(contains(b"....key=ca4a9100070007ca4a9100070007ca4a\0\0", SESSION_KEY));
    assert!(!contains(b"....", SESSION_KEY));
    assert!(contains(&protobuf_uplink(), SESSION_KEY) && contains(&encrypted_uplink(), SESSION_KEY));
}
