//! AMQP through a WebSocket: bytes in binary messages, whose borders mean nothing.
//!
//! ```text
//! GET /$iothub/websocket HTTP/1.1
//! Upgrade: websocket  Sec-WebSocket-Protocol: AMQPWSB10
//! ```
//! Bounds: an incoming message of 1 MiB (the hub's frames have at most 64 KiB), one of ours of 64 KiB, and as much again
//! that waits to be written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream as _};
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::net::{Endpoint, Stream};

const PROTOCOL: &str = "AMQPWSB10";
const PATH: &str = "/$iothub/websocket";
const MESSAGE_IN_MAX: usize = 1 << 20;
const MESSAGE_OUT_MAX: usize = 64 << 10;

/// Upgrades a stream. Bounded by the caller.
pub(super) async fn connect(endpoint: &Endpoint, stream: Box<dyn Stream>) -> io::Result<WebSocket> {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = 16 << 10;
    config.write_buffer_size = 0;
    config.max_write_buffer_size = 2 * MESSAGE_OUT_MAX;
    config.max_message_size = Some(MESSAGE_IN_MAX);
    config.max_frame_size = Some(MESSAGE_IN_MAX);
    let request = request(endpoint).map_err(io::Error::other)?;
    let (stream, response) = client_async_with_config(request, stream, Some(config)).await.map_err(into_io)?;
    match response.headers().get("sec-websocket-protocol").map(HeaderValue::as_bytes) {
        Some(chosen) if chosen == PROTOCOL.as_bytes() => {
            Ok(WebSocket { stream, unread: Bytes::new(), is_ended: false })
        }
        _ => Err(io::Error::other("the server does not speak AMQP over WebSockets")),
    }
}

fn request(endpoint: &Endpoint) -> http::Result<Request<()>> {
    Request::builder()
        .uri(format!("wss://{}{PATH}", endpoint.authority()))
        .header(HOST, endpoint.authority())
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key())
        .header("sec-websocket-protocol", PROTOCOL)
        .header(USER_AGENT, crate::USER_AGENT)
        .body(())
}

/// A byte stream over a WebSocket.
pub(super) struct WebSocket {
    stream: WebSocketStream<Box<dyn Stream>>,
    /// Of the last message.
    unread: Bytes,
    is_ended: bool,
}

impl AsyncRead for WebSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() && !self.is_ended {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::other("text where AMQP was expected")));
                }
                // Pings are answered underneath.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => self.is_ended = true,
                Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
            }
        }
        let bytes = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..bytes]);
        self.unread.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // What was written before has gone out first, so that no more than one message waits.
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(into_io)?;
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(into_io)?;
        let bytes = buf.len().min(MESSAGE_OUT_MAX);
        let message = Message::Binary(Bytes::copy_from_slice(&buf[..bytes]));
        Pin::new(&mut self.stream).start_send(message).map_err(into_io)?;
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(into_io(error))),
        }
    }
}

fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        // Its body may be a proxy's page.
        Error::Http(response) => io::Error::other(format!("the upgrade was answered with {}", response.status())),
        other => io::Error::other(other),
    }
}
