//! The same in a WebSocket on the HTTPS port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use amqp::sasl::Mechanism;
use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use simulator::Simulator;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{Client, accepted, with_devices};
use crate::https::{Device, tls_to};

type Tls = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

/// Bytes in binary messages, a few at a time: where messages begin and end must not matter.
struct Inside(WebSocketStream<Tls>, Bytes);

impl AsyncRead for Inside {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.1.is_empty() {
            match ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.1 = bytes,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
            }
        }
        let length = self.1.len().min(buf.remaining());
        buf.put_slice(&self.1.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inside {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.0).poll_ready(cx)).map_err(io::Error::other)?;
        let part = &buf[..buf.len().min(1000)];
        let message = Message::Binary(Bytes::copy_from_slice(part));
        Poll::Ready(Pin::new(&mut self.0).start_send(message).map(|()| part.len()).map_err(io::Error::other))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(io::Error::other)
    }
}

/// Asks for a WebSocket; the head of the answer, and the connection.
async fn upgrade(simulator: &Simulator, path: &str, protocol: &str) -> (String, Tls) {
    let mut tls = tls_to(simulator, simulator.started().https).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {protocol}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    );
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), tls)
}

async fn connect(simulator: &Simulator, path: &str) -> Client {
    let (head, tls) = upgrade(simulator, path, "AMQPWSB10").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
    let stream = WebSocketStream::from_raw_socket(tls, Role::Client, None).await;
    Client::on(Box::new(Inside(stream, Bytes::new())), Mechanism::None)
}

#[tokio::test]
async fn a_device_sends_through_a_websocket_at_either_address() {
    let simulator = with_devices(&["d1"]).await;
    for path in ["/$iothub/websocket", "/$servicebus/websocket?iothub-no-client-cert=true"] {
        let mut client = connect(&simulator, path).await;
        let link = client.telemetry(&Device::new(&simulator, "d1")).await;
        assert_eq!(client.send(link, &"x".repeat(200_000)).await, accepted());
    }
    assert_eq!(simulator.counts().messages_total, 2);
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let simulator = with_devices(&[]).await;
    for (path, protocol) in [("/$iothub/websocket", "soap"), ("/$servicebus/websocket", "mqtt")] {
        let (head, _) = upgrade(&simulator, path, protocol).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    }
}
