//! The network server: it posts what devices say, once, and waits five seconds for an answer.
//!
//! Its HTTP is its own, by hand: what the door says is read as bytes. What it does oddly is in `fault/door.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::chance::stream;
use crate::fault::DoorFault;
use crate::judge::{End, Post, Posted};
use crate::plan::Settings;
use crate::story::World;
use crate::uplink::Uplink;
use crate::wire::{Wire, pair};

/// The Things Stack waits so long for an answer, and does not try again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Over what the door takes.
const TOO_LARGE_BYTES: usize = (1 << 20) + 1;
/// A piece of a slow body, and how long until the next: it is whole within the 20 s that the door gives it.
const PIECE_BYTES: usize = 64;
const PIECE_WAIT: Duration = Duration::from_millis(1_000);

/// Whoever posts again does so after this, and up to so many milliseconds more.
const LATER_MIN: Duration = Duration::from_secs(30);
const LATER_MS: u32 = 600_000;

/// Which key it shows.
enum Key {
    /// The one that the network server has just then.
    Its,
    /// One that was replaced twice since.
    Old,
    Nobodys,
}

/// A request as it goes out.
struct Request {
    path: &'static str,
    key: Key,
    body: Vec<u8>,
    what: Posted,
}

impl Key {
    /// While the network server knows of this edition of the configuration.
    fn at(&self, edition: u32) -> String {
        match self {
            Self::Its => Settings::webhook_key(edition),
            Self::Old => edition.checked_sub(2).map_or_else(String::new, Settings::webhook_key),
            Self::Nobodys => "a-key-of-nobody".to_owned(),
        }
    }
}

/// Posts one message, as `how` says.
pub(crate) async fn post(world: Arc<World>, uplink: Uplink, how: Option<DoorFault>, amount: u32) {
    let body = uplink.body(&world.plan.devices[uplink.device], world.clock.true_now());
    let request = Request { path: "/tts", key: Key::Its, body, what: Posted::Uplink(uplink.id) };
    let refusable = |status, request: Request| {
        let name = how.map_or("", |how| how.facts().name);
        Request { what: Posted::Refusable(name, status), ..request }
    };
    let request = match how {
        Some(DoorFault::NotJson) => {
            let mut request = refusable(400, request);
            let half = request.body.len() / 2;
            request.body.truncate(half);
            request
        }
        Some(DoorFault::WrongKey) => {
            let key = if amount.is_multiple_of(2) { Key::Old } else { Key::Nobodys };
            Request { key, ..refusable(401, request) }
        }
        Some(DoorFault::WrongPath) => Request { path: "/nowhere", ..refusable(404, request) },
        Some(DoorFault::TooLargeForTheDoor) => Request { body: vec![b' '; TOO_LARGE_BYTES], ..refusable(413, request) },
        _ => request,
    };
    match how {
        Some(DoorFault::PostedTwice) => {
            exchange(&world, &request, None, amount).await;
            exchange(&world, &request, None, amount / 2).await;
        }
        Some(DoorFault::PostedLater) => {
            exchange(&world, &request, None, amount).await;
            tokio::time::sleep(LATER_MIN + Duration::from_millis((amount % LATER_MS).into())).await;
            exchange(&world, &request, None, amount / 2).await;
        }
        Some(DoorFault::PostedTwiceAtOnce) => {
            tokio::join!(exchange(&world, &request, None, amount), exchange(&world, &request, None, amount / 2));
        }
        _ => exchange(&world, &request, how, amount).await,
    }
}

/// One request and what comes of it.
async fn exchange(world: &World, request: &Request, how: Option<DoorFault>, amount: u32) {
    let number = world.begin_post(request.what);
    let end = timeout(PATIENCE + body_takes(request, how), converse(world, request, how, amount, number)).await;
    let hangs_up = [DoorFault::HangsUp, DoorFault::HangsUpAmid, DoorFault::BodyStops];
    let end = match end {
        Ok(Ok(status)) => End::Status(status),
        _ if how.is_some_and(|how| hangs_up.contains(&how)) => End::HungUp,
        Ok(Err(_)) | Err(_) => End::Nothing,
    };
    world.end_post(number, end);
}

fn body_takes(request: &Request, how: Option<DoorFault>) -> Duration {
    let pieces = u32::try_from(request.body.len() / PIECE_BYTES).unwrap_or(u32::MAX);
    if how == Some(DoorFault::SlowBody) { PIECE_WAIT * pieces } else { Duration::ZERO }
}

async fn converse(
    world: &World,
    request: &Request,
    how: Option<DoorFault>,
    amount: u32,
    number: usize,
) -> io::Result<u16> {
    let mut wire = world.knock(number).ok_or(io::ErrorKind::ConnectionRefused)?;
    let key = request.key.at(world.known_edition());
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: bridge.example\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        request.path,
        key,
        request.body.len(),
    );
    wire.write_all(head.as_bytes()).await?;
    let cut = amount as usize % request.body.len().max(1);
    match how {
        Some(DoorFault::HangsUpAmid) => {
            wire.write_all(&request.body[..cut]).await?;
            return Err(io::ErrorKind::Interrupted.into());
        }
        Some(DoorFault::BodyStops) => {
            wire.write_all(&request.body[..cut]).await?;
            std::future::pending::<()>().await;
        }
        Some(DoorFault::SlowBody) => {
            for piece in request.body.chunks(PIECE_BYTES) {
                wire.write_all(piece).await?;
                tokio::time::sleep(PIECE_WAIT).await;
            }
        }
        // As Go's client: an answer that comes before all is written is an answer.
        _ => {
            let (mut answer, mut question) = tokio::io::split(&mut wire);
            tokio::select! {
                biased;
                early = status(&mut answer) => return early,
                written = question.write_all(&request.body) => written?,
            }
        }
    }
    world.whole_post(number);
    if how == Some(DoorFault::HangsUp) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    status(&mut wire).await
}

/// The status of an answer.
async fn status(wire: &mut (impl AsyncRead + Unpin)) -> io::Result<u16> {
    let mut answer = Vec::with_capacity(256);
    while !answer.contains(&b'\n') {
        if wire.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl World {
    /// A connection to the door; none while nobody listens.
    fn knock(&self, number: usize) -> Option<Wire> {
        let door = self.door()?;
        let (near, far, line) =
            pair(self.plan.settings.latency, stream(self.plan.seed.wrapping_add(number as u64), "post"));
        self.at_the_door(line);
        door.send(far).ok()?;
        Some(near)
    }

    fn begin_post(&self, what: Posted) -> usize {
        let now = self.clock.true_now();
        let mut evidence = self.evidence();
        evidence.posts.push(Post { what, sent: now, whole: None, end: None });
        evidence.posts.len() - 1
    }

    fn whole_post(&self, number: usize) {
        let now = self.clock.true_now();
        self.evidence().posts[number].whole = Some(now);
    }

    fn end_post(&self, number: usize, end: End) {
        let now = self.clock.true_now();
        let what = {
            let post = &mut self.evidence().posts[number];
            post.end = Some((now, end));
            post.what
        };
        self.log.line(format_args!("post {number} {what:?}: {end:?}"));
    }
}
