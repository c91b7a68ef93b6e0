//! What stands between a bridge and its storage account and says, for chosen requests, what the service may say instead of doing what it
//! is asked: before it is done, or after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// Of a head, in bytes; the requests of storage have less than two thousand.
const HEAD_MAX: usize = 64 << 10;
/// Of a body, either way.
const BODY_MAX: u64 = 80 << 20;
/// Longest that the account behind has for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    CreateContainer,
    PutNew,
    PutOver,
    Get,
    List,
    Delete,
    Acquire,
    Renew,
    Release,
    Other,
    /// Of a rule: whatever is asked.
    Anything,
}

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Status and code, as the service says them; without a code where that is empty.
    Error(u16, &'static str),
    /// The same, and the time after which to come again.
    Later(u16, &'static str, u32),
    /// The connection is cut.
    Cut,
    /// Nothing is said within the bound of any call.
    Silence,
    /// Something that is no HTTP.
    NoHttp,
    /// It is done, but of the answer's body half comes, and then the end.
    Half,
    /// It is done, but of the answer's body the last byte is another one.
    Flipped,
    /// 200 with a body that is not what was asked for.
    Nonsense,
}

/// How long it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ends {
    After(usize),
    Within(Duration),
}

/// For which requests, and what is said to them.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The request's id in the answer.
    pub(crate) id: String,
    pub(crate) asked: Asked,
    /// What the name begins with, without the container.
    pub(crate) begins: String,
    pub(crate) answer: Answer,
    /// It is carried out first.
    pub(crate) is_done: bool,
    pub(crate) ends: Ends,
}

/// What a rule has met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    /// The requests that were answered by it, by name.
    pub(crate) hits: Vec<(String, Instant)>,
    /// One like them has passed since the rule ended.
    pub(crate) is_over: bool,
}

#[derive(Debug)]
struct Ordered {
    rule: Rule,
    at: Instant,
    met: Met,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Ordered>,
    requests: u64,
}

/// Forwards as long as this lives.
#[derive(Debug)]
pub(crate) struct BadAccount {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
    /// Ends with this.
    _serving: tokio::task::JoinSet<()>,
}

impl BadAccount {
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        let state = Arc::<Mutex<State>>::default();
        let mut serving = tokio::task::JoinSet::new();
        let shared = state.clone();
        serving.spawn(async move {
            let mut clients = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client, upstream, shared.clone()));
                while clients.try_join_next().is_some() {}
            }
        });
        Self { port, state, _serving: serving }
    }

    /// From now on, before those that were ordered earlier have their turn no more.
    pub(crate) fn order(&self, rule: Rule) -> usize {
        let mut state = lock(&self.state);
        state.rules.push(Ordered { rule, at: Instant::now(), met: Met::default() });
        state.rules.len() - 1
    }

    pub(crate) fn met(&self, order: usize) -> Met {
        lock(&self.state).rules[order].met.clone()
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        lock(&self.state).requests
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What is to be said to this request, if not what the account says.
    fn meets(&mut self, asked: Asked, name: &str) -> Option<Rule> {
        self.requests += 1;
        let now = Instant::now();
        let fits = |rule: &Rule| {
            (rule.asked == asked || rule.asked == Asked::Anything) && name.starts_with(rule.begins.as_str())
        };
        let mut found = None;
        for ordered in self.rules.iter_mut().filter(|ordered| fits(&ordered.rule)) {
            let goes_on = match ordered.rule.ends {
                Ends::After(times) => ordered.met.hits.len() < times,
                Ends::Within(long) => now < ordered.at + long,
            };
            if goes_on && found.is_none() {
                ordered.met.hits.push((name.to_owned(), now));
                found = Some(ordered.rule.clone());
            } else if !goes_on && found.is_none() {
                ordered.met.is_over = true;
            }
        }
        found
    }

    /// It was not met after all.
    fn take_back(&mut self, rule: &Rule) {
        for ordered in self.rules.iter_mut().filter(|ordered| ordered.rule.id == rule.id) {
            ordered.met.hits.pop();
        }
    }
}

/// A request as it came.
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    async fn read(from: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Self> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head).await.ok()? == 0 || head.len() > HEAD_MAX {
                return None;
            }
        }
        let mut request = Self { head, body: Vec::new() };
        let length = request.header("content-length").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        assert!(length <= BODY_MAX && request.header("transfer-encoding").is_none(), "{}", request.head);
        from.take(length).read_to_end(&mut request.body).await.ok()?;
        Some(request)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// `PUT /account/container/door%2F00000001%2F…?comp=lease HTTP/1.1`: what is asked, and of which blob.
    fn asked(&self) -> (Asked, String) {
        let mut words = self.head.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let name = path.splitn(4, '/').nth(3).unwrap_or_default();
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let parameter = |wanted: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(name, _)| *name == wanted).map(|(_, value)| decode(value))
        };
        let asked = match (method, parameter("comp").as_deref(), self.header("x-ms-lease-action")) {
            ("PUT", Some("lease"), Some("acquire")) => Asked::Acquire,
            ("PUT", Some("lease"), Some("renew")) => Asked::Renew,
            ("PUT", Some("lease"), Some("release")) => Asked::Release,
            ("PUT", None, _) if parameter("restype").is_some() => Asked::CreateContainer,
            ("PUT", None, _) if self.header("if-none-match") == Some("*") => Asked::PutNew,
            ("PUT", None, _) => Asked::PutOver,
            ("GET", Some("list"), _) => return (Asked::List, parameter("prefix").unwrap_or_default()),
            ("GET", None, _) => Asked::Get,
            ("DELETE", None, _) => Asked::Delete,
            _ => Asked::Other,
        };
        (asked, decode(name))
    }

    /// What the account says to it: head and body.
    async fn forward(&self, upstream: u16) -> Option<(String, Vec<u8>)> {
        let mut account = TcpStream::connect(("127.0.0.1", upstream)).await.ok()?;
        let head = without_connection(&self.head);
        let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        account.write_all(head.as_bytes()).await.ok()?;
        account.write_all(&self.body).await.ok()?;
        let mut said = Vec::new();
        account.take(BODY_MAX).read_to_end(&mut said).await.ok()?;
        let end = said.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let body = said.split_off(end);
        Some((without_connection(&String::from_utf8(said).ok()?), body))
    }
}

fn without_connection(head: &str) -> String {
    let is_ours = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        name.eq_ignore_ascii_case("connection") || name.eq_ignore_ascii_case("keep-alive")
    };
    head.split_inclusive("\r\n").filter(|line| !is_ours(line)).collect()
}

async fn serve(client: TcpStream, upstream: u16, state: Arc<Mutex<State>>) {
    let _ = client.set_nodelay(true);
    let (from, mut to) = client.into_split();
    let mut from = BufReader::new(from);
    while let Some(request) = Request::read(&mut from).await {
        let (asked, name) = request.asked();
        let mut rule = lock(&state).meets(asked, &name);
        let does =
            rule.as_ref().is_none_or(|rule| rule.is_done || matches!(rule.answer, Answer::Half | Answer::Flipped));
        let said = match does {
            true => timeout(ANSWER_MAX, request.forward(upstream)).await.ok().flatten(),
            false => None,
        };
        // Of a blob that is not there nothing can be spoiled.
        let is_there = said.as_ref().is_some_and(|(head, _)| head.starts_with("HTTP/1.1 20"));
        if let Some(spoils) = rule.take_if(|rule| matches!(rule.answer, Answer::Half | Answer::Flipped) && !is_there) {
            lock(&state).take_back(&spoils);
        }
        let Some(bytes) = answer(rule.as_ref(), said).await else { return };
        let Bytes { bytes, is_last } = bytes;
        if to.write_all(&bytes).await.is_err() || is_last {
            return;
        }
    }
}

struct Bytes {
    bytes: Vec<u8>,
    /// And then the end.
    is_last: bool,
}

/// `None`: nothing, and the end.
async fn answer(rule: Option<&Rule>, said: Option<(String, Vec<u8>)>) -> Option<Bytes> {
    let whole = |head: String, body: &[u8]| Bytes { bytes: [head.as_bytes(), body].concat(), is_last: false };
    let Some(Rule { answer, id, .. }) = rule else {
        let (head, body) = said?;
        return Some(whole(head, &body));
    };
    match answer {
        Answer::Error(status, code) => Some(whole(error(id, *status, code, None), &xml(id, code))),
        Answer::Later(status, code, after) => Some(whole(error(id, *status, code, Some(*after)), &xml(id, code))),
        Answer::Cut => None,
        Answer::Silence => {
            tokio::time::sleep(ANSWER_MAX).await;
            None
        }
        Answer::NoHttp => Some(Bytes { bytes: b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), is_last: true }),
        Answer::Half => {
            let (head, body) = said?;
            Some(Bytes { is_last: true, ..whole(head, &body[..body.len() / 2]) })
        }
        Answer::Flipped => {
            let (head, mut body) = said?;
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
            Some(whole(head, &body))
        }
        Answer::Nonsense => {
            let body = b"<html>Please sign in to the guest network</html>";
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ndate: {}\r\nx-ms-request-id: {id}\r\ncontent-length: {}\r\n\r\n",
                date(),
                body.len()
            );
            Some(whole(head, body))
        }
    }
}

fn xml(id: &str, code: &str) -> Vec<u8> {
    if code.is_empty() {
        return b"<html><h1>Bad gateway</h1></html>".to_vec();
    }
    format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>It is so.\nRequestId:{id}\n\
         Time:2026-03-04T05:06:07.0000000Z</Message></Error>"
    )
    .into_bytes()
}

fn error(id: &str, status: u16, code: &str, after: Option<u32>) -> String {
    let length = xml(id, code).len();
    let mut head = format!("HTTP/1.1 {status} As ordered\r\ndate: {}\r\ncontent-length: {length}\r\n", date());
    // Whoever has no code is no storage service.
    if !code.is_empty() {
        head.push_str(&format!(
            "content-type: application/xml\r\nx-ms-error-code: {code}\r\nx-ms-request-id: {id}\r\n"
        ));
    }
    if let Some(after) = after {
        head.push_str(&format!("retry-after: {after}\r\n"));
    }
    head.push_str("\r\n");
    head
}

fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
