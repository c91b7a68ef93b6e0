//! A socket around the engine: what the client and the simulator do as well, in the least code that does it.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp::connection::{Connection, Ended, Event, Options};
use amqp::sasl::Mechanism;
use amqp::value::Symbol;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What everybody saw, for whoever has to find out why a test failed.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

/// The end is what matters; two thousand deliveries are not.
const LOG_LINES_SHOWN: usize = 80;
const LOG_LINE_CHARS: usize = 300;

impl Log {
    pub(crate) fn note(&self, who: &str, what: &str) {
        let line = format!("{who}: {what}").chars().take(LOG_LINE_CHARS).collect();
        self.0.lock().expect("nobody panics with it").push(line);
    }

    pub(crate) fn end(&self) -> String {
        let lines = self.0.lock().expect("nobody panics with it");
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// One connection of ours.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    stream: TcpStream,
    input: Vec<u8>,
    output: BytesMut,
    began: Instant,
    has_ended: bool,
    log: Log,
    who: &'static str,
}

/// Both sides announce the half of what they bear.
pub(crate) fn options(who: &str, idle: Option<Duration>) -> Options {
    Options { silence_max: idle.map(|announced| 2 * announced), ..Options::new(who) }
}

impl Wire {
    pub(crate) async fn client(port: u16, mechanism: Mechanism, idle: Option<Duration>, log: Log) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
        let connection = Connection::client(options("our-client", idle), mechanism, Duration::ZERO);
        Self::new(connection, stream, log, "our client")
    }

    pub(crate) fn server(stream: TcpStream, idle: Option<Duration>, log: Log) -> Self {
        let mechanisms = ["ANONYMOUS", "PLAIN"].map(Symbol::known).into();
        let connection = Connection::server(options("our-server", idle), mechanisms, true, Duration::ZERO);
        Self::new(connection, stream, log, "our server")
    }

    fn new(connection: Connection, stream: TcpStream, log: Log, who: &'static str) -> Self {
        let (input, output) = (vec![0; 64 << 10], BytesMut::new());
        Self { connection, stream, input, output, began: Instant::now(), has_ended: false, log, who }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The next thing that happens; none after the end, when all is written.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.connection.poll() {
                self.log.note(self.who, &shown(&event));
                self.has_ended |= matches!(event, Event::Ended(_));
                return Some(event);
            }
            let now = self.now();
            if self.output.is_empty() {
                self.connection.output(&mut self.output, now);
            }
            if self.has_ended && self.output.is_empty() {
                // Whether the peer still listens is its own business.
                let _ = self.stream.shutdown().await;
                return None;
            }
            self.turn().await;
        }
    }

    /// Reads, writes or waits, whichever comes first.
    async fn turn(&mut self) {
        let deadline = self.connection.deadline().map(|at| self.began + at);
        let tick = async move {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let (mut reads, mut writes) = self.stream.split();
        let is_cut = tokio::select! {
            read = reads.read(&mut self.input), if !self.has_ended => match read {
                Ok(0) | Err(_) => true,
                Ok(count) => {
                    self.connection.receive(&self.input[..count], self.began.elapsed());
                    false
                }
            },
            written = writes.write_buf(&mut self.output), if !self.output.is_empty() => written.is_err(),
            () = tick => {
                self.connection.tick(self.began.elapsed());
                false
            }
        };
        if is_cut {
            self.output.clear();
            self.has_ended = true;
            self.connection.cut();
        }
    }

    /// Tells the peer that it is over, and waits for its word.
    pub(crate) async fn close(&mut self, error: Option<amqp::performative::Error>) {
        let now = self.now();
        self.connection.close(error, now);
        while let Some(event) = self.event().await {
            if let Event::Ended(ended) = event {
                assert_eq!(ended, Ended::ByUs);
            }
        }
    }
}

/// Without the payload.
fn shown(event: &Event) -> String {
    match event {
        Event::Delivered(link, delivery) => {
            format!("Delivered({link:?}, {} of {} bytes)", delivery.id, delivery.payload.len())
        }
        other => format!("{:?}", other as &dyn Debug),
    }
}
