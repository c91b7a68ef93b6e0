//! The server by loopback: a plain client pushes, a plain receiver hears.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tts_sim::{Config, EventKind, Paths, Post, serve};

/// 2026-02-12T15:15:46Z.
const NOON_MS: i64 = 1_770_909_346_000;
const KEY: &str = "NNSXS.KEY.SECRET";
const WEAK: &str = "NNSXS.WEAK.SECRET";
/// Nothing here takes as long; what does is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message as it came in or back.
#[derive(Debug)]
struct Message {
    first_line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).expect("a status").parse().expect("a number")
    }
}

async fn message(stream: &mut BufReader<TcpStream>) -> Message {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a line");
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first_line = lines.remove(0);
    let headers: BTreeMap<String, String> = lines
        .iter()
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    Message { first_line, headers, body }
}

struct World {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Message>,
    _tasks: JoinSet<()>,
}

impl World {
    /// A server that posts to a receiver which answers 204, with what a test changes.
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let receiver = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}/hook/", receiver.local_addr().expect("an address"));
        let (hears, heard) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = receiver.accept().await.expect("a connection");
                let mut stream = BufReader::new(stream);
                let message = message(&mut stream).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = hears.send(message);
            }
        });
        let start = tokio::time::Instant::now();
        let elapsed = move || i64::try_from(start.elapsed().as_millis()).expect("not that long");
        let mut config = Config::new(KEY, Arc::new(move || NOON_MS + elapsed()));
        config.weak_api_key = Some(WEAK.to_owned());
        let headers = vec![("X-API-Key".to_owned(), "secret".to_owned())];
        config.post = Some(Post { headers, ..Post::to(&base_url) });
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tasks.spawn(async move {
            let ended = serve(listener, config).await;
            panic!("{ended:?}");
        });
        Self { address, heard, _tasks: tasks }
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Message {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.expect("a connection"));
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: sim\r\nContent-Length: {length}\r\n{headers}\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
        tokio::time::timeout(PATIENCE, message(&mut stream)).await.expect("an answer")
    }

    async fn sim(&self, method: &str, path: &str, body: Value) -> Message {
        let answer = self.ask(method, &format!("/sim/{path}"), "", &body.to_string()).await;
        assert!(answer.status() < 300, "{method} {path}: {answer:?}");
        answer
    }

    async fn down(&self, verb: &str, device: &str, key: &str, body: &Value) -> Message {
        let path = format!("/api/v3/as/applications/app1/webhooks/longhaul/devices/{device}/down/{verb}");
        self.ask("POST", &path, &format!("Authorization: Bearer {key}\r\n"), &body.to_string()).await
    }

    async fn heard(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.heard.recv()).await.expect("a post").expect("a receiver")
    }
}

fn one(id: &str) -> Value {
    json!({"downlinks": [{"f_port": 15, "frm_payload": "vu8=", "correlation_ids": [id]}]})
}

#[tokio::test]
async fn a_downlink_goes_from_the_push_over_the_radio_to_the_webhook() {
    let mut world = World::new(|_| ()).await;
    world.sim("POST", "devices", json!({"device_id": "dev1"})).await;
    let answer = world.down("push", "dev1", KEY, &one("c2d:1")).await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    let queued = world.heard().await;
    assert_eq!(queued.first_line, "POST /hook/ HTTP/1.1");
    let header = |name: &str| queued.headers.get(name).map(String::as_str);
    assert_eq!((header("x-api-key"), header("x-downlink-apikey")), (Some("secret"), Some(KEY)));
    let down = format!("http://{}/api/v3/as/applications/app1/webhooks/longhaul/devices/dev1/down", world.address);
    assert_eq!(header("x-downlink-push"), Some(format!("{down}/push").as_str()));
    assert_eq!(header("x-downlink-replace"), Some(format!("{down}/replace").as_str()));
    assert_eq!(header("content-type"), Some("application/json"));
    assert_eq!(queued.json()["downlink_queued"]["frm_payload"], "vu8=");

    world.sim("POST", "devices/dev1/uplinks", json!({"f_port": 1, "frm_payload": "AQ==", "data_rate": "DR0"})).await;
    assert_eq!(world.heard().await.json()["uplink_message"]["frm_payload"], "AQ==");
    assert_eq!(world.heard().await.json()["downlink_sent"]["f_cnt"], 1);
    let journal = world.sim("GET", "journal", json!(null)).await.json();
    assert_eq!((journal.as_array().map(Vec::len), &journal[0]["number"]), (Some(1), &json!(1)), "{journal}");
    assert_eq!(world.sim("GET", "journal?after=1", json!(null)).await.json(), json!([]));
    let view = world.sim("GET", "devices/dev1", json!(null)).await.json();
    assert_eq!((&view["queue"], &view["last_f_cnt_down"]), (&json!([]), &json!(1)));
    let events = world.sim("GET", "events?after=1", json!(null)).await.json();
    let kinds: Vec<_> = events.as_array().expect("events").iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["uplink_message", "downlink_sent"]);
}

#[tokio::test]
async fn who_has_no_right_is_told_so_in_the_stacks_words() {
    let world = World::new(|_| ()).await;
    world.sim("POST", "devices", json!({"device_id": "dev1"})).await;
    let body = one("c2d:1").to_string();
    let path = "/api/v3/as/applications/app1/webhooks/longhaul/devices/dev1/down/push";
    for (path, headers, status, name) in [
        (path, String::new(), 401, "unauthenticated"),
        (path, "Authorization: Bearer NNSXS.OTHER.SECRET\r\n".to_owned(), 401, "api_key_not_found"),
        (path, format!("Authorization: Basic {KEY}\r\n"), 401, "api_key_not_found"),
        (path, format!("Authorization: Bearer {WEAK}\r\n"), 403, "insufficient_application_rights"),
        (&path.replace("app1", "app2"), format!("Authorization: Bearer {KEY}\r\n"), 403, "no_application_rights"),
        (&path.replace("push", "pull"), format!("Authorization: Bearer {KEY}\r\n"), 404, "route_not_found"),
        (&path.replace("longhaul", "other"), format!("Authorization: Bearer {KEY}\r\n"), 404, "webhook_not_found"),
        (&path.replace("dev1", "dev2"), format!("Authorization: Bearer {KEY}\r\n"), 404, "device_not_found"),
    ] {
        let answer = world.ask("POST", path, &headers, &body).await;
        let told = answer.json();
        assert_eq!((answer.status(), told["details"][0]["name"].as_str()), (status, Some(name)), "{told}");
        assert_eq!(told["details"][0]["correlation_id"].as_str().map(str::len).unwrap_or_default() % 32, 0);
    }
    let view = world.sim("GET", "devices/dev1", json!(null)).await.json();
    assert_eq!(view["queue"], json!([]), "nothing of that was taken");
    let page = world.ask("POST", "/sim/faults", "Origin: https://example.org\r\n", "{}").await;
    assert_eq!(page.status(), 403);
}

#[tokio::test]
async fn trouble_comes_as_it_was_asked_for() {
    let mut world = World::new(|_| ()).await;
    world.sim("POST", "devices", json!({"device_id": "dev1", "class": "C"})).await;
    let limited = json!({"trouble": {"answer": {"status": 429, "retry_after_s": 7}}});
    world.sim("POST", "faults", limited).await;
    world.sim("POST", "faults", json!({"trouble": {"answer": {"status": 406}}})).await;
    let late = json!({"trouble": {"event": {"kind": "downlink_queued", "fate": {"delayed": 50}}}});
    world.sim("POST", "faults", late).await;
    let answer = world.down("push", "dev1", KEY, &one("c2d:1")).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("7"));
    assert_eq!(answer.headers.get("x-rate-limit-retry").map(String::as_str), Some("7"));
    assert_eq!(answer.json()["code"], 8);
    let answer = world.down("push", "dev1", KEY, &one("c2d:1")).await;
    assert_eq!((answer.status(), answer.body.len()), (406, 0));
    assert_eq!(world.down("push", "dev1", KEY, &one("c2d:1")).await.status(), 200);
    assert!(world.heard().await.json().get("downlink_sent").is_some(), "queued is late");
    assert!(world.heard().await.json().get("downlink_queued").is_some(), "nothing but time brings it");
    assert_eq!(world.sim("GET", "faults", json!(null)).await.json(), json!([]));
    let wrong = world.ask("POST", "/sim/faults", "", r#"{"trouble":{"answer":{"status":99}}}"#).await;
    assert_eq!(wrong.status(), 400);
    let misspelt = world.ask("POST", "/sim/faults", "", r#"{"truble":{}}"#).await;
    assert!(String::from_utf8_lossy(&misspelt.body).contains("truble"), "{misspelt:?}");
}

#[tokio::test]
async fn an_event_goes_to_the_path_of_its_kind_or_nowhere() {
    let mut world = World::new(|config| {
        let post = config.post.as_mut().expect("a receiver");
        post.base_url = post.base_url.replace("hook/", "hook/{appID}");
        post.has_downlink_key = false;
        post.paths = Paths::Each(BTreeMap::from([(EventKind::DownlinkSent, "/sent/{devID}?x=1".to_owned())]));
    })
    .await;
    world.sim("POST", "devices", json!({"device_id": "dev1", "class": "C"})).await;
    assert_eq!(world.down("replace", "dev1", KEY, &one("c2d:1")).await.status(), 200);
    let sent = world.heard().await;
    assert_eq!(sent.first_line, "POST /hook/app1/sent/dev1?x=1 HTTP/1.1");
    assert!(sent.headers.keys().all(|name| !name.starts_with("x-downlink")), "{sent:?}");
}

#[tokio::test]
async fn a_post_is_tried_once() {
    let refuser = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base_url = format!("http://{}", refuser.local_addr().expect("an address"));
    let world = World::new(|config| config.post = Some(Post::to(&base_url))).await;
    world.sim("POST", "devices", json!({"device_id": "dev1", "class": "C"})).await;
    world.down("push", "dev1", KEY, &one("c2d:1")).await;
    for answer in ["HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", ""] {
        let (stream, _) = tokio::time::timeout(PATIENCE, refuser.accept()).await.expect("a try").expect("a connection");
        let mut stream = BufReader::new(stream);
        let _ = message(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.expect("answered");
    }
    // A third event: what comes next is that one, and not one of the two again.
    world.sim("POST", "devices/dev1/uplinks", json!({"f_port": 1})).await;
    let (stream, _) = tokio::time::timeout(PATIENCE, refuser.accept()).await.expect("a try").expect("a connection");
    // Not answered, and not closed before the others are counted.
    let mut stream = BufReader::new(stream);
    let third = message(&mut stream).await;
    assert!(third.json().get("uplink_message").is_some(), "{third:?}");
    let posts = world.sim("GET", "posts", json!(null)).await.json();
    assert_eq!((&posts["taken"], &posts["lost"], &posts["last"][0]["status"]), (&json!(0), &json!(2), &json!(503)));
    drop(stream);
}

#[tokio::test]
async fn what_finds_too_many_posts_waiting_is_dropped_and_counted() {
    let world = World::new(|_| ()).await;
    world.sim("POST", "devices", json!({"device_id": "dev1"})).await;
    let downlinks = vec![json!({"f_port": 1, "frm_payload": "AQ=="}); 1024 + 76];
    assert_eq!(world.down("push", "dev1", KEY, &json!({"downlinks": downlinks})).await.status(), 200);
    assert_eq!(world.sim("GET", "posts", json!(null)).await.json()["dropped"], 76);
}

#[tokio::test]
async fn a_server_that_is_set_up_wrong_does_not_start() {
    let bad = |change: fn(&mut Config)| async move {
        let mut config = Config::new(KEY, Arc::new(|| NOON_MS));
        config.post = Some(Post::to("http://127.0.0.1:1/"));
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        serve(listener, config).await.expect_err("wrong").to_string()
    };
    assert!(bad(|config| config.application = "A".to_owned()).await.starts_with("application: "));
    assert!(bad(|config| config.api_key = String::new()).await.starts_with("api_key: "));
    assert!(bad(|config| config.post = Some(Post::to("https://localhost/"))).await.starts_with("post.base_url: "));
    let parallel = |config: &mut Config| config.post = Some(Post { parallel: 0, ..Post::to("http://localhost/") });
    assert!(bad(parallel).await.starts_with("post.parallel: "));
}
