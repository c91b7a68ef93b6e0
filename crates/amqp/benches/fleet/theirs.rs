//! fe2o3-amqp, used as its documentation shows: a session and a sender for each device, sends as futures.

use std::sync::Arc;

use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp::types::messaging::{ApplicationProperties, Data, Message, Outcome, Properties};
use fe2o3_amqp::types::primitives::Binary;
use fe2o3_amqp::{Connection, Sender, Session};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{BODY_BYTES, Figures, Load, held};

/// What both sides announce where their defaults (255 sessions) would not do.
const CHANNEL_MAX: u16 = 8191;

pub(crate) async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let acceptor =
        ConnectionAcceptor::builder().container_id("server").channel_max(CHANNEL_MAX).session_max(CHANNEL_MAX).build();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let mut connection = acceptor.accept(stream).await.unwrap();
        let sessions = SessionAcceptor::builder().incoming_window(5000).build();
        while let Ok(mut session) = sessions.accept(&mut connection).await {
            tokio::spawn(async move {
                while let Ok(LinkEndpoint::Receiver(mut receiver)) = LinkAcceptor::new().accept(&mut session).await {
                    tokio::spawn(async move {
                        while let Ok(delivery) = receiver.recv::<Data>().await {
                            receiver.accept(&delivery).await.unwrap();
                        }
                    });
                }
            });
        }
    }
}

fn message() -> Message<Data> {
    Message::builder()
        .properties(Properties::builder().message_id("0123456789abcdef".to_owned()).build())
        .application_properties(ApplicationProperties::builder().insert("DeviceEUI", "0004A30B001C0530").build())
        .data(Binary::from(vec![b'x'; BODY_BYTES]))
        .build()
}

pub(crate) async fn measure(port: u16, load: Load) -> Figures {
    let url = format!("amqp://127.0.0.1:{port}");
    let mut connection =
        Connection::builder().container_id("client").channel_max(CHANNEL_MAX).open(&url[..]).await.unwrap();
    let (before, began) = (held::bytes(), Instant::now());
    let mut fleet = Vec::new();
    for device in 0..load.devices {
        let mut session = Session::begin(&mut connection).await.unwrap();
        let address = format!("/devices/device-{device}/messages/events");
        let sender = Sender::attach(&mut session, format!("telemetry-{device}"), address).await.unwrap();
        fleet.push((session, sender));
    }
    let attach = began.elapsed();
    let bytes_a_device = held::bytes().saturating_sub(before) / load.devices;
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for (session, sender) in fleet {
        sending.spawn(send_all(session, sender, load));
    }
    let kept = sending.join_all().await;
    let send = began.elapsed();
    drop((kept, connection));
    Figures { attach, bytes_a_device, send }
}

async fn send_all(
    session: fe2o3_amqp::session::SessionHandle<()>,
    mut sender: Sender,
    load: Load,
) -> (fe2o3_amqp::session::SessionHandle<()>, Sender) {
    let window = Arc::new(tokio::sync::Semaphore::new(load.window));
    for _ in 0..load.messages {
        let permit = window.clone().acquire_owned().await.unwrap();
        let settled = sender.send_batchable(message()).await.unwrap();
        tokio::spawn(async move {
            assert!(matches!(settled.await.unwrap(), Outcome::Accepted(_)));
            drop(permit);
        });
    }
    let all = u32::try_from(load.window).unwrap();
    drop(window.acquire_many(all).await.unwrap());
    (session, sender)
}
