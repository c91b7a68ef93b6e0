//! A server written with fe2o3-amqp: the house of the play, as `our_server.rs` keeps it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fe2o3_amqp::acceptor::sasl_acceptor::SaslServerFrame;
use fe2o3_amqp::acceptor::{
    ConnectionAcceptor, LinkAcceptor, LinkEndpoint, ListenerConnectionHandle, ListenerSessionHandle, SaslAcceptor,
    SessionAcceptor,
};
use fe2o3_amqp::types::messaging::{Data, TargetArchetype};
use fe2o3_amqp::types::primitives::{Array, Symbol};
use fe2o3_amqp::types::sasl::{SaslCode, SaslInit, SaslOutcome, SaslResponse};
use fe2o3_amqp::{Receiver, Sender, connection, session};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::fe2o3_words::{data, error, fate, gone, judge, taken, told};
use crate::words::{NUMBERS, big, tally};

/// Serves one guest after another, and reports each.
pub(crate) async fn keep(listener: TcpListener, idle: Option<Duration>, reports: mpsc::UnboundedSender<Value>) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = Arc::new(Mutex::new(Seen { in_order: true, ..Seen::default() }));
        if let Some(line) = open(stream, idle, &seen).await {
            let closed = host(line, &seen).await;
            // The test may have seen enough.
            let _ = reports.send(seen.lock().expect("nobody panics with it").report(closed));
        }
    }
}

#[derive(Default)]
struct Seen {
    mechanism: Option<String>,
    sessions: u32,
    messages: u32,
    bytes: usize,
    in_order: bool,
    has_overrun: bool,
    fates: HashMap<String, Vec<String>>,
    links: Vec<String>,
    ended: Vec<String>,
}

type Shared = Arc<Mutex<Seen>>;

impl Seen {
    fn report(&self, closed: Option<String>) -> Value {
        let fates: Map<String, Value> =
            self.fates.iter().map(|(address, fates)| (address.clone(), tally(fates))).collect();
        json!({
            "mechanism": self.mechanism.as_deref().unwrap_or("none"), "announced": null, "sessions": self.sessions,
            "judged": {"messages": self.messages, "bytes": self.bytes, "in_order": self.in_order},
            "overrun": self.has_overrun, "fates": fates, "links": self.links, "ended": self.ended, "closed": closed,
        })
    }
}

/// Both mechanisms; the library has acceptors for one each.
#[derive(Clone)]
struct Porter(Shared);

impl SaslAcceptor for Porter {
    fn mechanisms(&self) -> Array<Symbol> {
        Array::from(vec![Symbol::from("ANONYMOUS"), Symbol::from("PLAIN")])
    }

    fn on_init(&mut self, init: SaslInit) -> SaslServerFrame {
        let is_plain = init.mechanism.as_str() == "PLAIN";
        let is_good = !is_plain || init.initial_response.is_some_and(|said| said.as_ref() == b"\0device\0secret");
        let mechanism = if is_plain { "PLAIN device" } else { "ANONYMOUS" };
        self.0.lock().expect("nobody panics with it").mechanism = Some(mechanism.to_owned());
        outcome(if is_good { SaslCode::Ok } else { SaslCode::Auth })
    }

    fn on_response(&mut self, _: SaslResponse) -> SaslServerFrame {
        outcome(SaslCode::Sys)
    }
}

fn outcome(code: SaslCode) -> SaslServerFrame {
    SaslServerFrame::Outcome(SaslOutcome { code, additional_data: None })
}

/// With a SASL layer or without, as the guest's header says: the library takes either, not both.
async fn open(stream: TcpStream, idle: Option<Duration>, seen: &Shared) -> Option<ListenerConnectionHandle> {
    let mut builder = ConnectionAcceptor::builder().container_id("fe2o3-server").max_frame_size(16_384_u32);
    if let Some(idle) = idle {
        builder = builder.idle_time_out(u32::try_from(idle.as_millis()).expect("small"));
    }
    let mut header = [0; 8];
    while stream.peek(&mut header).await.ok()? < header.len() {}
    let opened = if header[4] == 3 {
        builder.sasl_acceptor(Porter(Arc::clone(seen))).build().accept(stream).await
    } else {
        builder.build().accept(stream).await
    };
    opened.ok()
}

/// Until the connection ends, and with which words of the guest.
async fn host(mut line: ListenerConnectionHandle, seen: &Shared) -> Option<String> {
    let mut rooms = JoinSet::new();
    let (shut, mut shut_wanted) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            Some(()) = shut_wanted.recv() => {
                let _ = line.close_with_error(gone()).await;
                return None;
            }
            incoming = line.next_incoming_session() => {
                let Some(incoming) = incoming else { break };
                let accepted = SessionAcceptor::new().accept_incoming_session(incoming, &mut line).await;
                seen.lock().expect("nobody panics with it").sessions += 1;
                rooms.spawn(room(accepted.expect("a session fits"), Arc::clone(seen), shut.clone()));
            }
        }
    }
    let end = line.on_close().await;
    // What the rooms still have to say is said quickly: their connection is gone.
    while rooms.join_next().await.is_some() {}
    match end {
        Err(connection::Error::RemoteClosedWithError(error)) => Some(told(&error)),
        Err(connection::Error::RemoteClosed) | Ok(()) => None,
        Err(other) => Some(format!("{other:?}")),
    }
}

async fn room(mut session: ListenerSessionHandle, seen: Shared, shut: mpsc::UnboundedSender<()>) {
    let mut links = JoinSet::new();
    while let Some(attach) = session.next_incoming_attach().await {
        let target = match attach.target.as_deref() {
            Some(TargetArchetype::Target(target)) => target.address.clone(),
            _ => None,
        };
        let address = target.or_else(|| attach.source.as_ref().and_then(|source| source.address.clone()));
        let address = address.expect("it wants to go somewhere");
        match LinkAcceptor::new().accept_incoming_attach(attach, &mut session).await.expect("a link fits") {
            LinkEndpoint::Sender(sender) => drop(links.spawn(give(sender, address, Arc::clone(&seen)))),
            LinkEndpoint::Receiver(receiver) => match address.as_str() {
                "close" => receiver.close_with_error(gone()).await.unwrap_or_default(),
                "detach" => drop(receiver.detach_with_error(gone()).await),
                "refuse" => {
                    let _ = receiver.close_with_error(error("longhaul:refused", "no such room")).await;
                }
                "end" => {
                    let _ = session.end_with_error(gone()).await;
                    return;
                }
                "shut" => shut.send(()).unwrap_or_default(),
                _ => drop(links.spawn(take(receiver, Arc::clone(&seen)))),
            },
        }
    }
    if let Err(session::Error::RemoteEndedWithError(error)) = session.on_end().await {
        seen.lock().expect("nobody panics with it").ended.push(told(&error));
    }
}

/// Gives what there is, as credit allows, and notes what became of it.
async fn give(mut sender: Sender, address: String, seen: Shared) {
    let bodies: Vec<Vec<u8>> = match address.as_str() {
        "numbers" => (0..NUMBERS).map(|n| n.to_string().into_bytes()).collect(),
        "three" => (0..3).map(|n: u8| n.to_string().into_bytes()).collect(),
        _ => vec![big().to_vec()],
    };
    seen.lock().expect("nobody panics with it").fates.entry(address.clone()).or_default();
    let mut answers = Vec::new();
    for body in bodies {
        match sender.send_batchable(data(&body)).await {
            Ok(answer) => answers.push(answer),
            Err(_) => break,
        }
    }
    for answer in answers {
        if let Ok(outcome) = answer.await {
            let mut seen = seen.lock().expect("nobody panics with it");
            seen.fates.entry(address.clone()).or_default().push(fate(&outcome));
        }
    }
    sender.on_detach().await;
    // It has gone already, one way or another.
    let _ = sender.close().await;
}

/// Verdicts are given by the message's own words. The library gives 200 credits of its own, and takes no message beyond.
async fn take(mut receiver: Receiver, seen: Shared) {
    let mut next = 0;
    loop {
        let delivery = match receiver.recv::<Data>().await {
            Ok(delivery) => delivery,
            Err(error) => {
                let how = taken(&error).filter(|how| how != "closed");
                seen.lock().expect("nobody panics with it").links.extend(how);
                // It has gone already, one way or another.
                let _ = receiver.close().await;
                return;
            }
        };
        let (info, message) = delivery.into_parts();
        let body = message.body.0.into_vec();
        let word = std::str::from_utf8(&body[..body.len().min(20)]).unwrap_or_default().to_owned();
        {
            let mut seen = seen.lock().expect("nobody panics with it");
            seen.messages += 1;
            seen.bytes += body.len();
            if let Ok(number) = word.parse::<usize>() {
                seen.in_order &= number == next;
                next = number + 1;
            }
        }
        judge(&receiver, info, &word).await;
    }
}
