//! The services, a clock that is moved by hand, random bytes from a seed, and wires that keep what is written on them.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use amqp::sasl::Mechanism;
use simulator::{Options, RandomBytes, Setup, Unplugged};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::https::{hmac, token_until};

const START_MS: i64 = 1_767_225_600_000;
pub const SCOPE: &str = "0ne00AAAA01";
pub const GROUP: &str = "simulated-group";
pub const HUBS: [&str; 2] = ["hub1.azure-devices.net", "hub2.azure-devices.net"];
const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
/// Of tokens.
const HOUR_S: i64 = 3600;

/// One thread, and a clock that waits for nobody.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Random bytes that a seed decides (splitmix64).
fn seeded(seed: u64) -> RandomBytes {
    let state = Mutex::new(seed);
    Arc::new(move |bytes: &mut [u8]| {
        let mut state = state.lock().unwrap();
        for byte in bytes {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (mixed >> 56) as u8;
        }
    })
}

pub struct World {
    pub services: Unplugged,
    now_ms: Arc<AtomicI64>,
    wires: AtomicU8,
    said: Arc<Mutex<Vec<u8>>>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let now_ms = Arc::new(AtomicI64::new(START_MS));
        let clock = Arc::clone(&now_ms);
        let options = Options {
            random: Some(seeded(seed)),
            id_scope: Some(SCOPE.to_owned()),
            group_key: Some(GROUP_KEY.to_owned()),
            setup: Some(Setup { hubs: HUBS.map(str::to_owned).into(), ..Setup::default() }),
            ..Options::new(Arc::new(move || clock.load(Ordering::Relaxed)))
        };
        let services = Unplugged::new(&options).unwrap();
        Self { services, now_ms, wires: AtomicU8::default(), said: Arc::default() }
    }

    /// All that the services wrote, with the wire and the length of each piece.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    /// Lets so many seconds go by.
    pub async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.now_ms.fetch_add(1000, Ordering::Relaxed);
            self.services.let_time_pass();
        }
    }

    fn expiry_s(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed) / 1000 + HOUR_S
    }

    /// The host name of the hub that has a device.
    pub fn hub_of(&self, id: &str) -> String {
        self.services.registration(id).map_or_else(|| HUBS[0].to_owned(), |registration| registration.hub)
    }

    pub fn token(&self, id: &str) -> String {
        token_until(&format!("{}/devices/{id}", self.hub_of(id)), &hmac(GROUP_KEY, id), None, self.expiry_s())
    }

    /// A token of the owner of a hub.
    pub fn owner_token(&self, hub: &str) -> String {
        let address = self.services.hubs().into_iter().find(|one| one.hub == hub).unwrap();
        let key = address.service_connection_string.rsplit_once("SharedAccessKey=").unwrap().1.to_owned();
        token_until(hub, &key, Some("iothubowner"), self.expiry_s())
    }

    fn wire(&self) -> (DuplexStream, Kept) {
        let (theirs, stream) = duplex(64 << 10);
        let number = self.wires.fetch_add(1, Ordering::Relaxed);
        (theirs, Kept { stream, number, said: Arc::clone(&self.said) })
    }

    /// A new connection of AMQP to a hub.
    pub fn amqp(&self, hub: &str) -> Client {
        let (theirs, ours) = self.wire();
        let services = self.services.clone();
        tokio::spawn(async move { services.amqp(ours).await });
        Client::opening(Box::new(theirs), hub, Mechanism::None)
    }

    /// One request on a wire of its own: what came back.
    pub async fn https(&self, method: &str, path: &str, authorization: &str, body: &str) -> String {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            HUBS[0],
            body.len()
        );
        self.http(&request).await
    }

    /// The same, as it stands.
    pub async fn http(&self, request: &str) -> String {
        let (mut theirs, ours) = self.wire();
        let services = self.services.clone();
        tokio::spawn(async move { services.https(ours).await });
        theirs.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Registers a device and asks until it has its hub.
    pub async fn register(&self, id: &str) {
        let resource = format!("{SCOPE}/registrations/{id}");
        let token = token_until(&resource, &hmac(GROUP_KEY, id), Some("registration"), self.expiry_s());
        let version = "api-version=2019-03-31";
        let body = format!(r#"{{"registrationId":"{id}"}}"#);
        let answer = self.https("PUT", &format!("/{resource}/register?{version}"), &token, &body).await;
        let operation = answer.split(r#""operationId":""#).nth(1).unwrap().split('"').next().unwrap();
        let path = format!("/{resource}/operations/{operation}?{version}");
        while !self.https("GET", &path, &token, "").await.contains(r#""status":"assigned""#) {
            self.pass(3).await;
        }
    }
}

/// The services' end of a wire.
struct Kept {
    stream: DuplexStream,
    number: u8,
    said: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Kept {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        let mut said = self.said.lock().unwrap();
        said.push(self.number);
        said.extend_from_slice(&u32::try_from(written).unwrap().to_be_bytes());
        said.extend_from_slice(&buf[..written]);
        drop(said);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
