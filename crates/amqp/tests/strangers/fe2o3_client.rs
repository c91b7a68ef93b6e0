//! A client written with fe2o3-amqp: plays the scenes of the play, as `our_client.rs` does.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use fe2o3_amqp::connection::{ConnectionHandle, OpenError};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{DetachError, SenderAttachError};
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::{self, SessionHandle};
use fe2o3_amqp::types::messaging::Data;
use fe2o3_amqp::{Connection, Receiver, Sender, Session, connection};
use serde_json::{Value, json};

use crate::fe2o3_words::{Answer, bye, data, fate, judge, told};
use crate::words::{NUMBERS, VERDICTS, big, sum, tally};
use crate::{CREDIT, IDLE, QUIET, Scene};

type Line = ConnectionHandle<()>;
type Room = SessionHandle<()>;

pub(crate) async fn play(scene: Scene, port: u16) -> Value {
    match scene {
        Scene::Work => work(port).await,
        Scene::Errors => errors(port).await,
        Scene::Quiet => quiet(port).await,
        Scene::Doors => doors(port).await,
    }
}

async fn open(port: u16, profile: Option<SaslProfile>, idle_ms: Option<u32>) -> Result<Line, OpenError> {
    let mut builder = Connection::builder().container_id("fe2o3-client").max_frame_size(16_384_u32);
    if let Some(profile) = profile {
        builder = builder.sasl_profile(profile);
    }
    if let Some(idle_ms) = idle_ms {
        builder = builder.idle_time_out(idle_ms);
    }
    builder.open(format!("amqp://127.0.0.1:{port}").as_str()).await
}

async fn anonymous(port: u16) -> Line {
    open(port, Some(SaslProfile::Anonymous), None).await.expect("everybody is let in")
}

async fn begin(line: &mut Line) -> Room {
    Session::begin(line).await.expect("a session fits")
}

fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("fe2o3-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn sender(room: &mut Room, address: &str) -> Sender {
    Sender::attach(room, name(), address).await.expect("a link fits")
}

/// Hands messages over as credit allows.
async fn hand_over(sender: &mut Sender, bodies: &[Bytes]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for body in bodies {
        answers.push(sender.send_batchable(data(body)).await.expect("it is sent"));
    }
    answers
}

async fn fates(answers: Vec<Answer>) -> Vec<String> {
    let mut fates = Vec::new();
    for answer in answers {
        fates.push(fate(&answer.await.expect("it is settled")));
    }
    fates
}

async fn send(room: &mut Room, address: &str, bodies: &[Bytes]) -> Vec<String> {
    let mut sender = sender(room, address).await;
    let fates = fates(hand_over(&mut sender, bodies).await).await;
    sender.close().await.expect("it is closed");
    fates
}

async fn send_one(room: &mut Room, body: impl Into<Bytes>) -> Vec<String> {
    send(room, "judge", &[body.into()]).await
}

async fn receiver(room: &mut Room, address: &str) -> Receiver {
    let builder = Receiver::builder().name(name()).source(address).credit_mode(CreditMode::Manual).auto_accept(false);
    builder.attach(room).await.expect("a link fits")
}

/// Takes so many deliveries with credit for 100 at a time, and judges them in turn.
async fn receive(room: &mut Room, address: &str, wanted: usize) -> Vec<Bytes> {
    let mut receiver = receiver(room, address).await;
    let mut bodies: Vec<Bytes> = Vec::new();
    while bodies.len() < wanted {
        if bodies.len().is_multiple_of(CREDIT) {
            let credit = u32::try_from((wanted - bodies.len()).min(CREDIT)).expect("small");
            receiver.set_credit(credit).await.expect("the link stands");
        }
        let (info, message) = receiver.recv::<Data>().await.expect("a delivery").into_parts();
        judge(&receiver, info, VERDICTS[bodies.len() % 4]).await;
        bodies.push(message.body.0.into_vec().into());
    }
    receiver.close().await.expect("it is closed");
    bodies
}

/// It never tells when a link is drained.
async fn drain(room: &mut Room, address: &str) -> usize {
    let mut receiver = receiver(room, address).await;
    receiver.set_credit(10).await.expect("the link stands");
    receiver.drain().await.expect("the link stands");
    for _ in 0..3 {
        let delivery = receiver.recv::<Data>().await.expect("a delivery");
        receiver.accept(&delivery).await.expect("the link stands");
    }
    receiver.close().await.expect("it is closed");
    3
}

/// Attaches, and says how the other side took the link away.
async fn rebuffed(room: &mut Room, address: &str) -> String {
    let why = match Sender::attach(room, name(), address).await {
        Err(SenderAttachError::RemoteClosedWithError(error)) => return format!("closed {}", told(&error)),
        Err(other) => return format!("{other:?}"),
        Ok(mut sender) => {
            let why = sender.on_detach().await;
            // What comes of it was told already.
            let _ = sender.close().await;
            why
        }
    };
    #[expect(deprecated, reason = "it is still what comes")]
    match why {
        DetachError::RemoteClosedWithError(error) => format!("closed {}", told(&error)),
        DetachError::RemoteDetachedWithError(error) => format!("detached {}", told(&error)),
        DetachError::ClosedByRemote => "closed".to_owned(),
        DetachError::DetachedByRemote => "detached".to_owned(),
        other => format!("{other:?}"),
    }
}

fn numbers(count: usize) -> Vec<Bytes> {
    (0..count).map(|n| n.to_string().into()).collect()
}

async fn work(port: u16) -> Value {
    let mut line = anonymous(port).await;
    let (mut first, mut second) = (begin(&mut line).await, begin(&mut line).await);
    let numbers_of_mine = numbers(1000);
    let (mut one, mut other) = (sender(&mut first, "judge").await, sender(&mut second, "judge").await);
    let (mut answers, more) =
        tokio::join!(hand_over(&mut one, &numbers_of_mine), hand_over(&mut other, &numbers_of_mine));
    answers.extend(more);
    let small = fates(answers).await;
    one.close().await.expect("it is closed");
    other.close().await.expect("it is closed");
    let mut verdicts = Vec::new();
    for word in VERDICTS {
        verdicts.extend(send_one(&mut first, word).await);
    }
    let whole = send_one(&mut second, big()).await;
    let got = receive(&mut first, "numbers", NUMBERS).await;
    let big_received = receive(&mut second, "big", 1).await.remove(0);
    let drained = drain(&mut first, "three").await;
    first.end().await.expect("it ends well");
    second.end().await.expect("it ends well");
    line.close().await.expect("it ends well");
    json!({
        "small": tally(&small), "verdicts": verdicts, "big": tally(&whole),
        "numbers": {"count": got.len(), "in_order": got == numbers(NUMBERS)},
        "big_received": {"bytes": big_received.len(), "sum": sum(&big_received)},
        "drained": drained,
    })
}

async fn errors(port: u16) -> Value {
    let mut line = anonymous(port).await;
    let mut room = begin(&mut line).await;
    let mut seen = json!({});
    for address in ["close", "detach"] {
        seen[address] = rebuffed(&mut room, address).await.into();
    }
    // It answers a refusal with two detaches, and its session cannot be used afterwards.
    seen["refuse"] = rebuffed(&mut begin(&mut line).await, "refuse").await.into();
    sender(&mut room, "judge").await.close_with_error(bye()).await.expect("it is closed");
    // Who is answered with a closing detach counts as failed; the house tells what it saw.
    let _ = sender(&mut room, "judge").await.detach_with_error(bye()).await;
    let mut ended = begin(&mut line).await;
    // The end may come before the attach is answered.
    let link = Sender::attach(&mut ended, name(), "end").await;
    if let Err(session::Error::RemoteEndedWithError(error)) = ended.on_end().await {
        seen["end"] = told(&error).into();
    }
    drop(link);
    begin(&mut line).await.end_with_error(bye()).await.expect("it ends");
    seen["after"] = tally(&send_one(&mut room, "x").await);
    line.close_with_error(bye()).await.expect("it ends");

    let mut line = anonymous(port).await;
    let mut room = begin(&mut line).await;
    let link = Sender::attach(&mut room, name(), "shut").await;
    if let Err(connection::Error::RemoteClosedWithError(error)) = line.on_close().await {
        seen["shut"] = told(&error).into();
    }
    drop(link);
    seen
}

/// It announces the half, and does not show what its peer announced.
async fn quiet(port: u16) -> Value {
    let idle_ms = u32::try_from(2 * IDLE.as_millis()).expect("small");
    let mut line = open(port, Some(SaslProfile::Anonymous), Some(idle_ms)).await.expect("everybody is let in");
    let mut room = begin(&mut line).await;
    assert!(tokio::time::timeout(QUIET, line.on_close()).await.is_err(), "the connection ended in between");
    let after = send_one(&mut room, "x").await;
    line.close().await.expect("it ends well");
    json!({"announced": null, "after": tally(&after)})
}

async fn doors(port: u16) -> Value {
    let plain =
        |password: &str| Some(SaslProfile::Plain { username: "device".to_owned(), password: password.to_owned() });
    let doors = [
        ("none", None),
        ("anonymous", Some(SaslProfile::Anonymous)),
        ("plain", plain("secret")),
        ("wrong", plain("guess")),
    ];
    let mut seen = json!({});
    for (name, profile) in doors {
        seen[name] = match open(port, profile, None).await {
            Err(OpenError::SaslError { .. }) => "refused".into(),
            Err(other) => format!("{other:?}").into(),
            Ok(mut line) => {
                let mut room = begin(&mut line).await;
                let fates = send_one(&mut room, "x").await;
                room.end().await.expect("it ends well");
                line.close().await.expect("it ends well");
                tally(&fates)
            }
        };
    }
    seen
}
