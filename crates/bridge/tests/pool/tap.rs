//! An ear on the wire, between the client and its TLS: reads the frames that pass, in both directions, by its own and very
//! small knowledge of AMQP, and notes what concerns devices.
//!
//! Relies on the client giving each device a session of its own: what ends a channel ends a device. A frame that cannot be
//! read fails the test that notices.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

const ATTACH: u8 = 0x12;
const TRANSFER: u8 = 0x14;
const DETACH: u8 = 0x16;
const END: u8 = 0x17;
const CLOSE: u8 = 0x18;

/// What was heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// When a device was attached, and which.
    pub(crate) attaches: Vec<(Instant, String)>,
    /// When a token was put.
    pub(crate) tokens: Vec<Instant>,
    /// The other side took something back: a link, a session, the connection.
    pub(crate) taken: usize,
    /// Devices on the wire now, and the most that there were.
    pub(crate) attached: usize,
    pub(crate) attached_most: usize,
    pub(crate) connections: usize,
    by_channel: BTreeMap<(usize, u16), String>,
}

/// Dials through another dial and listens.
#[derive(Debug)]
pub(crate) struct Tap {
    dial: Arc<dyn Dial>,
    notes: Arc<Notes>,
}

#[derive(Debug)]
struct Notes {
    heard: Mutex<Heard>,
    changes: watch::Sender<usize>,
}

impl Tap {
    pub(crate) fn new(dial: Arc<dyn Dial>) -> Arc<Self> {
        let notes = Notes { heard: Mutex::default(), changes: watch::Sender::new(0) };
        Arc::new(Self { dial, notes: Arc::new(notes) })
    }

    /// All of it so far.
    pub(crate) fn heard(&self) -> Heard {
        self.notes.heard().clone()
    }

    /// Waits until something was heard.
    pub(crate) async fn until(&self, what: &str, patience: Duration, is_so: impl Fn(&Heard) -> bool) {
        let mut changes = self.notes.changes.subscribe();
        let wait = changes.wait_for(|_| is_so(&self.notes.heard()));
        let heard = timeout(patience, wait).await;
        assert!(heard.is_ok(), "waited {patience:?} in vain: {what}");
    }
}

impl Notes {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, connection: usize, from_us: bool, frame: &[u8]) {
        let Some((code, channel, rest)) = performative(frame) else { return };
        let mut heard = self.heard();
        match code {
            ATTACH if from_us => heard.attach(connection, channel, rest),
            TRANSFER if from_us && contains(rest, b"put-token") => heard.tokens.push(Instant::now()),
            DETACH | END if from_us => heard.leave(connection, channel),
            DETACH | END | CLOSE if !from_us => heard.taken += 1,
            _ => return,
        }
        drop(heard);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The connection is gone, and everybody on it.
    fn cut(&self, connection: usize) {
        let mut heard = self.heard();
        heard.by_channel.retain(|(on, _), _| *on != connection);
        heard.attached = heard.by_channel.len();
        drop(heard);
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Heard {
    fn attach(&mut self, connection: usize, channel: u16, rest: &[u8]) {
        let Some(device) = device_in(rest) else { return };
        self.attaches.push((Instant::now(), device.clone()));
        self.by_channel.insert((connection, channel), device);
        self.attached = self.by_channel.len();
        self.attached_most = self.attached_most.max(self.attached);
    }

    fn leave(&mut self, connection: usize, channel: u16) {
        self.by_channel.remove(&(connection, channel));
        self.attached = self.by_channel.len();
    }
}

/// Code, channel, and what follows the code; `None` for an empty frame and for SASL.
fn performative(frame: &[u8]) -> Option<(u8, u16, &[u8])> {
    let (offset, kind) = (usize::from(frame[4]) * 4, frame[5]);
    let channel = u16::from_be_bytes([frame[6], frame[7]]);
    match (kind, &frame[offset..]) {
        (0, [0x00, 0x53, code, rest @ ..]) => Some((*code, channel, rest)),
        (0, [0x00, 0x80, 0, 0, 0, 0, 0, 0, 0, code, rest @ ..]) => Some((*code, channel, rest)),
        (0, []) | (1, _) => None,
        (_, body) => panic!("what is this frame? {body:02x?}"),
    }
}

/// From the address of its telemetry.
fn device_in(attach: &[u8]) -> Option<String> {
    let begin = find(attach, b"/devices/")? + b"/devices/".len();
    let length = find(&attach[begin..], b"/messages/events")?;
    Some(String::from_utf8_lossy(&attach[begin..begin + length]).into_owned())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    find(text, what).is_some()
}

impl Dial for Tap {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let (dialing, notes) = (self.dial.dial(endpoint), self.notes.clone());
        Box::pin(async move {
            let inner = dialing.await?;
            let number = {
                let mut heard = notes.heard();
                heard.connections += 1;
                heard.connections
            };
            Ok(Box::new(Tapped { inner, number, notes, sent: Frames::default(), received: Frames::default() }) as _)
        })
    }
}

/// A stream that is listened to.
struct Tapped {
    inner: Box<dyn Stream>,
    number: usize,
    notes: Arc<Notes>,
    sent: Frames,
    received: Frames,
}

impl Drop for Tapped {
    fn drop(&mut self) {
        self.notes.cut(self.number);
    }
}

impl AsyncRead for Tapped {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(context, buffer))?;
        this.received.pass(&buffer.filled()[before..], |frame| this.notes.note(this.number, false, frame));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut this.inner).poll_write(context, bytes))?;
        this.sent.pass(&bytes[..count], |frame| this.notes.note(this.number, true, frame));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn pass(&mut self, bytes: &[u8], mut note: impl FnMut(&[u8])) {
        self.0.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(size) = whole(&self.0[at..]) {
            if !self.0[at..].starts_with(b"AMQP") {
                note(&self.0[at..at + size]);
            }
            at += size;
        }
        self.0.drain(..at);
    }
}

/// The size of what stands at the beginning, if it is all there: a protocol header or a frame.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.first_chunk::<8>()?;
    if head.starts_with(b"AMQP") {
        return Some(8);
    }
    let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    assert!(size >= 8, "no frame begins like this: {head:02x?}");
    (bytes.len() >= size).then_some(size)
}
