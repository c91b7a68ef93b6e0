//! The load: clients that keep their connection and post the next message when the last is answered. Knows only HTTP's
//! surface, so that it takes as little of the processor as possible.

use std::net::SocketAddr;
use std::time::Duration;

use bridge::cli::send::latency::Latencies;
use bridge::cli::send::uplinks::{self, Style, Uplinks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Devices whose messages come over one connection: so many lanes the queue sees for each.
const DEVICES: u32 = 16;
/// Answered and not measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// What one round came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Result {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// With the warm-up.
    pub(crate) answered: f64,
    /// Of the door's process, for each message.
    pub(crate) processor_us: f64,
}

impl Result {
    pub(crate) fn read(line: &str) -> Self {
        let figures: Vec<f64> = line.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        let [per_second, p50_ms, p99_ms, answered] = figures[..] else { panic!("{line}") };
        Self { per_second, p50_ms, p99_ms, answered, processor_us: 0.0 }
    }
}

/// Runs one round and prints its [`Result`].
pub(crate) fn main(address: SocketAddr, connections: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (measured, answered, latencies) = runtime.block_on(round(address, connections));
    let milliseconds = |share| latencies.at(share).as_secs_f64() * 1e3;
    let per_second = f64::from(measured) / super::ROUND.as_secs_f64();
    println!("{per_second} {} {} {answered}", milliseconds(0.5), milliseconds(0.99));
}

async fn round(address: SocketAddr, connections: u32) -> (u32, u32, Latencies) {
    let mut streams = Vec::new();
    for number in 0..connections {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        streams.push((stream, requests(number)));
    }
    let begin = Instant::now() + WARM_UP;
    let clients: Vec<_> =
        streams.into_iter().map(|(stream, requests)| tokio::spawn(client(stream, requests, begin))).collect();
    let (mut measured, mut answered, mut latencies) = (0, 0, Latencies::default());
    for client in clients {
        let (all, waits) = client.await.unwrap();
        answered += all;
        measured += u32::try_from(waits.len()).unwrap();
        waits.into_iter().for_each(|wait| latencies.note(wait));
    }
    (measured, answered, latencies)
}

/// How many were answered, and how long those waited that began and ended in the measured time.
async fn client(mut stream: TcpStream, requests: Vec<Vec<u8>>, begin: Instant) -> (u32, Vec<Duration>) {
    let end = begin + super::ROUND;
    let (mut answered, mut waits) = (0, Vec::new());
    for request in requests.iter().cycle() {
        let began = Instant::now();
        if began >= end {
            break;
        }
        stream.write_all(request).await.unwrap();
        is_kept(&mut stream).await;
        answered += 1;
        let ended = Instant::now();
        if began >= begin && ended <= end {
            waits.push(ended - began);
        }
    }
    (answered, waits)
}

/// Reads one answer, which has to be 202.
async fn is_kept(stream: &mut TcpStream) {
    let (mut bytes, mut length) = ([0; 1_024], 0);
    loop {
        let more = stream.read(&mut bytes[length..]).await.unwrap();
        assert!(more > 0, "cut after {}", String::from_utf8_lossy(&bytes[..length]));
        length += more;
        if is_whole(&bytes[..length]) {
            break;
        }
    }
    assert!(bytes.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&bytes[..length]));
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head_text = std::str::from_utf8(&bytes[..head]).unwrap();
    let length = head_text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    bytes.len() >= head + 4 + length.map_or(0, |length| length.parse().unwrap())
}

/// One message for each device of a connection, as the wire carries it.
pub(crate) fn requests(connection: u32) -> Vec<Vec<u8>> {
    let uplinks = Uplinks { style: Style::TtsV3, application: "building".to_owned() };
    let request = |device| {
        let body = uplinks.body(&uplinks::device_id(connection * DEVICES + device), 1, 1_790_000_000_000);
        let (length, key) = (body.len(), super::KEY);
        let head = format!(
            "POST /tts/uplink HTTP/1.1\r\nhost: door\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n\
             content-length: {length}\r\n\r\n"
        );
        [head.into_bytes(), body].concat()
    };
    (0..DEVICES).map(request).collect()
}
