//! HTTP/1.1 by hand, so that a test can also say what no well-behaved client would say.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// No answer takes longer; the door promises 4 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in an answer that should be JSON: {self:?}"))
    }
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(("127.0.0.1", port))).await.map_err(|_| too_late())??;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// Posts and waits for the answer. A server that answers before it has read the whole body is heard.
    pub(crate) async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("content-type: application/json\r\n");
        }
        self.exchange(head, headers, body).await
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n"), headers, &[]).await
    }

    async fn exchange(&mut self, mut head: String, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        let Self { reader, writer } = self;
        let exchange = async {
            let mut writing = Box::pin(writer.write_all(&message));
            let mut reading = Box::pin(read_reply(reader));
            tokio::select! {
                biased;
                reply = &mut reading => return reply,
                // A broken pipe does not matter when an answer came before it.
                _ = &mut writing => {}
            }
            reading.await
        };
        timeout(PATIENCE, exchange).await.map_err(|_| too_late())?
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(port: u16, path: &str) -> Result<Reply> {
    Connection::open(port).await?.get(path, &[("connection", "close")]).await
}

/// One request on a connection of its own.
pub(crate) async fn post(port: u16, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
    Connection::open(port).await?.post(path, headers, body).await
}

async fn read_reply(reader: &mut BufReader<OwnedReadHalf>) -> Result<Reply> {
    let status_line = line(reader).await?;
    let status = status_line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| Error::new(ErrorKind::InvalidData, status_line))?;
    let mut headers = Vec::new();
    loop {
        let text = line(reader).await?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text.split_once(':').unwrap_or((&text, ""));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    match reply.header("content-length").and_then(|text| text.parse().ok()) {
        Some(length) => {
            reply.body = vec![0; length];
            reader.read_exact(&mut reply.body).await?;
        }
        None if reply.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) => {
            reply.body = chunks(reader).await?;
        }
        None => {
            reader.read_to_end(&mut reply.body).await?;
        }
    }
    Ok(reply)
}

async fn chunks(reader: &mut BufReader<OwnedReadHalf>) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader).await?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| Error::new(ErrorKind::InvalidData, size))?;
        let begin = body.len();
        body.resize(begin + size, 0);
        reader.read_exact(&mut body[begin..]).await?;
        line(reader).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn line(reader: &mut BufReader<OwnedReadHalf>) -> Result<String> {
    let mut text = String::new();
    if reader.read_line(&mut text).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end().to_owned())
}

fn too_late() -> Error {
    Error::new(ErrorKind::TimedOut, "no answer within the test's patience")
}
