//! The same in a WebSocket on the HTTPS port.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::client::{Client, connack, puback, with_devices};
use crate::https::tls_to;

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

#[tokio::test]
async fn a_device_sends_through_a_websocket() {
    let simulator = with_devices(&["d1"]).await;
    let mut tls = tls_to(&simulator, simulator.started().https).await;
    let request = "GET /$iothub/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tls.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-protocol: mqtt\r\n"), "{head}");
    let stream = WebSocketStream::from_raw_socket(tls, Role::Client, None).await;
    let mut client = Client::on(Inside(stream, Bytes::new()));
    client.connect_device(&simulator, "d1").await;
    assert_eq!(client.next().await, Some(connack(false, 0)));
    client.publish(1, "devices/d1/messages/events/", &[b'x'; 200_000]).await;
    assert_eq!(client.next().await, Some(puback(1)));
    assert_eq!((simulator.counts().messages_total, simulator.counts().mqtt.connections_ever), (1, 1));
}
