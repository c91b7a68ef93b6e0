//! Carries one line: a task that dials, reads, writes, and wakes the line in time.
//!
//! Memory: 64 KiB to read into, and what the line hands out to be written, about 256 KiB; no more is asked for before that
//! is written. While nothing can be written no more than [`UNWRITTEN_READS_MAX`] is read, because some of it is answered.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};

use super::inbox::{Command, Inbox, Reply};
use super::line::{Line, Now, Ticket};
use super::shared::{Clocks, Shared};
use super::{AmqpTransport, websocket};
use crate::exchange::chain;
use crate::hub::{SendError, Why};
use crate::net::{Dial, Endpoint, Stream};

/// How long messages under way may still be answered when the hub is closed.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How long the other side may take to answer a close, and for our last words.
pub(super) const CLOSE_MAX: Duration = Duration::from_millis(500);
/// A connection without devices is kept for the next one so long.
const LINGER: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 64 << 10;
const UNWRITTEN_READS_MAX: usize = 1 << 20;

/// Runs a line from its first dial to its end.
pub(super) async fn run(shared: Weak<Shared>, inbox: Arc<Inbox>) {
    let watch = Watch { shared: shared.clone(), inbox: inbox.clone() };
    let Some(hub) = shared.upgrade() else { return };
    let opening = open(hub.endpoint.clone(), hub.dial.clone(), hub.options.transport);
    let opening = timeout(hub.options.connect_timeout, opening);
    let (endpoint, clocks, settings) = (hub.endpoint.clone(), hub.clocks.clone(), hub.settings.clone());
    // Not held while waiting: the last handle that goes closes the connections.
    drop(hub);
    let opened = tokio::select! {
        biased;
        () = inbox.closing() => Err(SendError::unanswered(Why::Closed, "the connections are closed")),
        opened = opening => match opened {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(cause)) => Err(unreachable(&endpoint, &chain(&cause))),
            Err(_elapsed) => Err(unreachable(&endpoint, "did not connect in time")),
        },
    };
    match opened {
        Err(error) => watch.failed(&error),
        Ok(stream) => {
            let line = Line::new(settings, inbox.line, clocks.now());
            let (reader, writer) = tokio::io::split(stream);
            let replies = HashMap::new();
            let driver =
                Driver { shared, inbox, clocks, line, replies, closing: None, empty_since: None, is_retired: false };
            driver.run(reader, writer).await;
        }
    }
}

fn unreachable(endpoint: &Endpoint, words: &str) -> SendError {
    SendError::unanswered(Why::Unreachable, format!("cannot reach {endpoint}: {words}"))
}

async fn open(endpoint: Endpoint, dial: Arc<dyn Dial>, transport: AmqpTransport) -> io::Result<Box<dyn Stream>> {
    let stream = dial.dial(&endpoint).await?;
    match transport {
        AmqpTransport::Tcp => Ok(stream),
        AmqpTransport::WebSocket => Ok(Box::new(websocket::connect(&endpoint, stream).await?)),
    }
}

/// Sees to it that the fleet hears of a line's end, however its task ends.
struct Watch {
    shared: Weak<Shared>,
    inbox: Arc<Inbox>,
}

impl Watch {
    fn failed(&self, error: &SendError) {
        if let Some(hub) = self.shared.upgrade() {
            hub.failed(&self.inbox, error);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.failed(&SendError::unanswered(Why::Lost, "the connection's task has ended"));
    }
}

struct Driver {
    shared: Weak<Shared>,
    inbox: Arc<Inbox>,
    clocks: Clocks,
    line: Line,
    /// Of the messages that the line has.
    replies: HashMap<Ticket, Reply>,
    closing: Option<Closing>,
    empty_since: Option<Duration>,
    /// The fleet has given it up, because nobody needs it.
    is_retired: bool,
}

#[derive(Clone, Copy)]
enum Closing {
    /// When it has no more messages, or then.
    By(Duration),
    /// It is closed. Not waited for any longer than this.
    Said(Duration),
}

impl Driver {
    async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(mut self, mut reader: R, mut writer: W) {
        let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
        let (mut is_unflushed, mut unwritten_reads) = (false, 0);
        while !self.turn(&mut out) {
            let is_writing = !out.is_empty() || is_unflushed || self.line.has_output();
            if out.is_empty() {
                unwritten_reads = 0;
            }
            let wake = self.wake();
            tokio::select! {
                // The same order in every run. A hub that sends all the time keeps nobody out: mailbox and timers are looked
                // at in each turn, and after UNWRITTEN_READS_MAX something has to be written first.
                biased;
                got = read(&mut reader, &mut input), if unwritten_reads < UNWRITTEN_READS_MAX => {
                    unwritten_reads += input.len();
                    self.received(got, &input);
                }
                written = write(&mut writer, &mut out), if is_writing => match written {
                    Ok(bytes) => {
                        is_unflushed = bytes > 0;
                        unwritten_reads = 0;
                    }
                    Err(cause) => self.line.cut(&chain(&cause), self.clocks.now()),
                },
                () = self.inbox.told() => {}
                () = sleep_until(self.clocks.instant(wake)) => {}
            }
        }
        self.line.output(&mut out, self.clocks.now());
        // Our last words, if the other side still listens.
        let last = async { writer.write_all(&out).await.and(writer.shutdown().await) };
        let _ = timeout(CLOSE_MAX, last).await;
    }

    /// All that can be done without waiting. True: it is over.
    fn turn(&mut self, out: &mut BytesMut) -> bool {
        let now = self.clocks.now();
        for command in self.inbox.take() {
            self.obey(command, now);
        }
        self.close_in_time(now);
        if self.line.deadline().is_some_and(|deadline| deadline <= now.at) {
            self.line.tick(now);
        }
        self.carry_out();
        if out.is_empty() && self.line.has_output() {
            self.line.output(out, now);
            self.carry_out();
        }
        self.line.is_over()
    }

    fn obey(&mut self, command: Command, now: Now) {
        match command {
            Command::Post(post, reply) => {
                self.replies.insert(post.ticket, reply);
                self.line.post(post, now);
            }
            Command::Cancel(ticket) => self.line.cancel(ticket, now),
            Command::Forget(name) => self.line.forget(&name, now),
        }
    }

    fn close_in_time(&mut self, now: Now) {
        self.retire_if_needless(now);
        match self.closing {
            None if self.is_retired || self.inbox.is_closing() => {
                self.closing = Some(Closing::By(now.at + CLOSE_GRACE))
            }
            _ => {}
        }
        match self.closing {
            Some(Closing::By(at)) if self.replies.is_empty() || at <= now.at => {
                self.line.close(now);
                self.closing = Some(Closing::Said(now.at + CLOSE_MAX));
            }
            Some(Closing::Said(at)) if at <= now.at => self.line.cut("the hub did not answer our close", now),
            _ => {}
        }
    }

    fn retire_if_needless(&mut self, now: Now) {
        if self.is_retired || !self.line.is_empty() || !self.replies.is_empty() {
            self.empty_since = None;
            return;
        }
        if now.at >= *self.empty_since.get_or_insert(now.at) + LINGER {
            self.empty_since = None;
            self.is_retired = self.shared.upgrade().is_none_or(|hub| hub.retire(self.inbox.line));
        }
    }

    fn carry_out(&mut self) {
        match self.shared.upgrade() {
            Some(hub) => hub.carry_out(&self.inbox, &mut self.line, &mut self.replies),
            // Nobody is left to be told, and the inbox says that it is to close.
            None => while self.line.effect().is_some() {},
        }
    }

    fn received(&mut self, got: io::Result<usize>, input: &[u8]) {
        let now = self.clocks.now();
        match got {
            Ok(0) => self.line.cut("the hub hung up", now),
            Ok(_) => self.line.receive(input, now),
            Err(cause) => self.line.cut(&chain(&cause), now),
        }
    }

    /// When there is something to do, whatever happens outside.
    fn wake(&self) -> Duration {
        let closing = self.closing.map(|(Closing::By(at) | Closing::Said(at))| at);
        let linger = self.empty_since.map(|since| since + LINGER);
        let now = self.clocks.now().at;
        [self.line.deadline(), closing, linger].into_iter().flatten().min().unwrap_or(now + LINGER)
    }
}

/// Safe to be dropped: nothing is lost between two calls.
async fn read<R: AsyncRead + Unpin>(reader: &mut R, input: &mut BytesMut) -> io::Result<usize> {
    input.clear();
    input.reserve(READ_BYTES);
    reader.read_buf(input).await
}

/// Writes some, or flushes where nothing is left to be written (0). Safe to be dropped.
async fn write<W: AsyncWrite + Unpin>(writer: &mut W, out: &mut BytesMut) -> io::Result<usize> {
    if out.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write_buf(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        bytes => Ok(bytes),
    }
}
