//! Other protocols in WebSocket frames: the same bytes, in binary messages of any length.
//!
//! Promises: of what the client offers, the first that is spoken at its address is taken, and no extension.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::sockets::Wire;

/// What is spoken inside, in the client's list and ours.
pub(crate) const AMQP: &str = "AMQPWSB10";
pub(crate) const MQTT: &str = "mqtt";
const VERSION: &str = "13";
/// Largest message, bytes. Clients write a frame of AMQP at a time, 64 KiB, or a packet of MQTT, 256 KiB with its topic, or a
/// few of them together.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What is put into a message of ours.
const CHUNK_BYTES: usize = 64 << 10;

/// Read at a time. The buffer lives as long as the connection: by default it would be 128 KiB.
const READ_BYTES: usize = 4 << 10;

/// Answers a request for a WebSocket: 101 with the one of `spoken` that it is to be, or 400 with the reason.
pub(crate) fn answer(headers: &HeaderMap, spoken: &[&'static str]) -> Response<Full<Bytes>> {
    match accept(headers, spoken) {
        Ok((key, protocol)) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            if let Ok(key) = HeaderValue::try_from(key) {
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
            }
            response
        }
        Err(reason) => {
            let mut response = Response::new(Full::from(reason));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

fn accept(headers: &HeaderMap, spoken: &[&'static str]) -> Result<(String, &'static str), &'static str> {
    let words = |name: header::HeaderName| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim)
    };
    let lists = |name, wanted: &str| words(name).any(|one| one.eq_ignore_ascii_case(wanted));
    if !lists(header::UPGRADE, "websocket") || !lists(header::CONNECTION, "upgrade") {
        return Err("this address speaks WebSocket");
    }
    if !lists(header::SEC_WEBSOCKET_VERSION, VERSION) {
        return Err("the version of WebSocket is not 13");
    }
    let known = |one: &str| spoken.iter().copied().find(|known| known.eq_ignore_ascii_case(one));
    let protocol = words(header::SEC_WEBSOCKET_PROTOCOL).find_map(known);
    let protocol = protocol.ok_or("the subprotocol is not spoken here")?;
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or("the key is missing")?;
    Ok((derive_accept_key(key.as_bytes()), protocol))
}

/// The bytes inside a WebSocket.
pub(crate) struct WebSocket<S> {
    stream: WebSocketStream<S>,
    /// What is left of the last message.
    rest: Bytes,
}

impl<S: Wire> WebSocket<S> {
    /// The server's end, after the upgrade.
    pub(crate) async fn server(wire: S) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES_MAX);
        Self { stream: WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await, rest: Bytes::new() }
    }
}

impl<S: Wire> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
        let length = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: Wire> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_ready(cx)).map_err(failed)?;
        let length = buf.len().min(CHUNK_BYTES);
        let message = Message::Binary(Bytes::copy_from_slice(&buf[..length]));
        Pin::new(&mut self.stream).start_send(message).map_err(failed)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(failed)
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(protocol: &'static str) -> HeaderMap {
        let pairs = [
            (header::UPGRADE, "WebSocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, protocol),
        ];
        pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn an_upgrade_is_answered_with_the_key_of_rfc_6455_and_no_extension() {
        let mut headers = asked("soap, AMQPWSB10, mqtt");
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        let response = answer(&headers, &[MQTT, AMQP]);
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], AMQP);
        assert!(response.headers().get(header::SEC_WEBSOCKET_EXTENSIONS).is_none());
    }

    #[test]
    fn what_is_no_such_request_is_refused() {
        assert_eq!(answer(&asked("mqtt"), &[AMQP]).status(), StatusCode::BAD_REQUEST);
        assert_eq!(answer(&HeaderMap::new(), &[AMQP]).status(), StatusCode::BAD_REQUEST);
        for name in [header::UPGRADE, header::CONNECTION, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_KEY] {
            let mut headers = asked(AMQP);
            headers.remove(&name);
            assert_eq!(answer(&headers, &[MQTT, AMQP]).status(), StatusCode::BAD_REQUEST, "{name}");
        }
    }
}
