//! Through port 443.

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;

#[expect(clippy::result_large_err, reason = "as the library wants it")]
fn upgrade(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/$iothub/websocket");
    assert_eq!(request.headers()["sec-websocket-protocol"], "AMQPWSB10");
    response.headers_mut().insert("sec-websocket-protocol", "AMQPWSB10".parse().unwrap());
    Ok(response)
}

/// The hub's end: bytes of a pipe in binary messages.
pub(super) async fn serve(network: Network, stream: DuplexStream, number: usize) {
    let Ok(socket) = accept_hdr_async(stream, upgrade).await else { return };
    let (mut sink, mut source) = socket.split();
    let (near, far) = tokio::io::duplex(64 << 10);
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let pump = async {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Binary(bytes) = message
                && near_write.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
    };
    let pump_back = async {
        let mut bytes = vec![0; 1000];
        while let Ok(read @ 1..) = near_read.read(&mut bytes).await {
            let _ = sink.send(Message::Ping(bytes::Bytes::new())).await;
            if sink.send(Message::Binary(bytes[..read].to_vec().into())).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    tokio::select! {
        () = network.serve(far, number) => {}
        () = pump => {}
        () = pump_back => {}
    }
}

fn options() -> AmqpOptions {
    AmqpOptions { attaches_per_second: 0, ..AmqpOptions::new(AmqpTransport::WebSocket) }
}

#[tokio::test(start_paused = true)]
async fn messages_go_through_a_websocket_as_through_tcp() {
    let network = Network::of(Duration::from_millis(25), true, 64 << 10);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(1000), "m1").await.iter().all(Result::is_ok));
    assert_eq!((hub.standing().attached, network.dials()), (1000, 3), "450 on each");
    let largest = Telemetry { body: vec![0; crate::hub::MESSAGE_BYTES_MAX - 2].into(), ..telemetry("m2") };
    let began = Instant::now();
    assert!(hub.send("eui-00000", &signer(), &largest).await.is_ok(), "in several messages");
    assert!(began.elapsed() < SECOND);
    hub.close().await;
    sleep(SECOND).await;
    assert_eq!(network.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_none_is_unreachable_with_the_cause() {
    // It speaks AMQP, not HTTP.
    let network = Network::new(Duration::from_millis(25));
    let hub = client(&network, options());
    let began = Instant::now();
    let error = hub.send("eui-1", &signer(), &telemetry("m1")).await.unwrap_err();
    assert_eq!(error.why, Why::Unreachable, "{error}");
    assert!(began.elapsed() <= SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_takes_a_few_bytes_at_a_time_loses_none() {
    let network = Network::of(Duration::from_millis(1), true, 100);
    let hub = client(&network, options());
    assert!(send_all(&hub, names(50), "m1").await.iter().all(Result::is_ok));
    let large = Telemetry { body: vec![7; 150_000].into(), ..telemetry("m2") };
    assert!(hub.send("eui-00000", &signer(), &large).await.is_ok());
    assert_eq!(network.accepted("eui-00000"), ["m1", "m2"]);
}
