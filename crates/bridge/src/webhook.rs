//! The door: an event of the network comes in, and is answered 2xx once it is kept.
//!
//! Promises: a 2xx only after the commit; an answer within four seconds of the body's end, also on a stalled disk; no
//! put is taken back once it is handed over; no key and no secret of a body goes any further than this module. The
//! key is checked before the body is read. Relies on the queue for durability and on [`accept`] for slow clients.
//! Reads a message's envelope and nothing of its payload, so that no payload can keep the door.

pub mod accept; // connections
pub mod address; // which paths are ours
pub mod answer; // every answer, and its words
pub mod body; // bodies that tell when they end
pub mod keys; // who may come in
pub mod overlap; // which replaced keys still open it
pub mod pace; // how long a connection may take
pub mod room; // how much may wait for the disk
pub mod sort; // what a body is
pub mod tls; // certificates from files

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use queue::{PutError, Queue, Receipt, TOO_MANY_WAITING};
use tokio::time::{Instant, timeout_at};

use self::accept::Listen;
use self::address::{Address, address};
use self::answer::{Answer, Trouble};
use self::body::RequestBody;
use self::keys::{Admission, Keys};
use self::room::{Held, Room, Waiting};
use self::sort::{Arrival, Sorted};
use crate::config;
use crate::events::{Event, Events};
use crate::feed::journeys::Parcel;
use crate::lane::DeviceKey;
use crate::reason::reason;
use crate::swap::Swap;
use crate::world::{Point, World};

/// The largest body that is read. Real ones are 1 to 4 KiB; an uplink heard by 200 gateways has 100 KiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// From the body's end to the answer. Four seconds are promised, The Things Stack gives up after five; the half second
/// is for the way there and back and for a busy processor.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(3_500);

/// The door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door(Arc<Parties>);

#[derive(Clone, Debug)]
struct Parties {
    keys: Arc<Swap<Keys>>,
    room: Room,
    queue: Queue,
    events: Events,
    world: World,
    answer_within: Duration,
}

impl Door {
    /// A door to `queue`.
    pub fn new(webhook: &config::Webhook, queue: Queue, events: Events, world: World) -> Self {
        Self(Arc::new(Parties {
            keys: Arc::new(Swap::new(Keys::new(&webhook.keys, &webhook.network))),
            room: Room::new(webhook.max_waiting, webhook.max_waiting_bytes),
            queue,
            events,
            world,
            answer_within: ANSWER_WITHIN,
        }))
    }

    /// Who may come in, to be replaced while it is open.
    pub fn keys(&self) -> Arc<Swap<Keys>> {
        self.0.keys.clone()
    }

    /// With another limit than [`ANSWER_WITHIN`].
    #[must_use]
    pub fn answering_within(mut self, limit: Duration) -> Self {
        Arc::make_mut(&mut self.0).answer_within = limit;
        self
    }

    /// Serves until `stop`, then finishes what is in flight. Puts under way go on.
    pub async fn serve(self, listener: impl Listen, options: accept::Options, stop: impl Future<Output = ()> + Send) {
        let answer = move |request: Request<RequestBody>| {
            let door = self.clone();
            async move { door.answer(request).await }
        };
        accept::serve(listener, answer, options, stop).await;
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let answer = self.receive(request).await.unwrap_or_else(|refusal| refusal);
        self.0.world.point(Point::DoorBeforeAnswer).await;
        if !matches!(answer, Answer::Kept(_)) {
            self.0.events.emit(Event::Refused { status: answer.status().as_u16(), why: answer.word() });
        }
        answer.into_response()
    }

    /// An uplink's way through the door.
    async fn receive<B>(&self, request: Request<B>) -> Result<Answer, Answer>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (parts, body) = request.into_parts();
        let admission = self.admit(&parts)?;
        self.0.world.point(Point::DoorKeyChecked).await;
        let (body, held) = self.read(&parts.headers, body).await?;
        let came = Instant::now();
        let sorted = sort::sort(Arrival {
            body: &body,
            binary: is_binary(&parts.headers),
            path: parts.uri.path(),
            admission: &admission,
        })?;
        let waiting = self.0.room.put(held).ok_or(Answer::NotNow(Trouble::Waiting))?;
        self.keep(sorted, waiting, came).await
    }

    /// Address, method and key: all that is asked before the body.
    fn admit(&self, parts: &Parts) -> Result<Admission, Answer> {
        match address(&parts.method, parts.uri.path()) {
            Address::Messages { key_in_query } => {
                let query = parts.uri.query().filter(|_| key_in_query);
                self.0.keys.get().admit(&parts.headers, query).ok_or(Answer::WrongKey)
            }
            Address::WrongMethod => Err(Answer::WrongMethod),
            Address::Nowhere => Err(Answer::Nowhere),
        }
    }

    /// The whole body, and the room it takes. Bounded in time by [`pace::Limits::body`].
    async fn read<B>(&self, headers: &HeaderMap, mut body: B) -> Result<(Vec<u8>, Held), Answer>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if announced(headers).is_some_and(|length| length > MAX_BODY_BYTES as u64) {
            return Err(Answer::TooLarge);
        }
        let full = Answer::NotNow(Trouble::Waiting);
        let mut held = self.0.room.begin().ok_or(full.clone())?;
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Answer::Incomplete)?.into_data() else { continue };
            if read.len() + data.len() > MAX_BODY_BYTES {
                return Err(Answer::TooLarge);
            }
            if !self.0.room.grow(&mut held, data.len()) {
                return Err(full);
            }
            read.extend_from_slice(&data);
        }
        Ok((read, held))
    }

    /// Puts it, and waits for the commit as long as the sender does. The put has a task of its own: whether anybody
    /// still waits makes no difference to it.
    async fn keep(&self, sorted: Sorted, waiting: Waiting, came: Instant) -> Result<Answer, Answer> {
        let door = self.clone();
        let late_after = came + self.0.answer_within;
        let put = tokio::spawn(async move {
            let outcome = door.put(sorted, came, late_after).await;
            drop(waiting);
            outcome
        });
        match timeout_at(late_after, put).await {
            Ok(Ok(Ok(receipt))) => Ok(Answer::Kept(receipt.seq.0)),
            Ok(Ok(Err(error))) => Err(Answer::NotNow(trouble(&error))),
            Ok(Err(_)) => Err(Answer::NotNow(Trouble::Failed)),
            Err(_) => Err(Answer::NotNow(Trouble::Slow)),
        }
    }

    async fn put(&self, sorted: Sorted, came: Instant, late_after: Instant) -> Result<Receipt, PutError> {
        let Parties { queue, events, world, .. } = &*self.0;
        let (kind, head, useless) = (sorted.kind, sorted.head.clone(), sorted.useless.clone());
        let sender = DeviceKey::of(&head).map(Arc::new);
        let bytes = sorted.body.len();
        world.point(Point::DoorBeforePut).await;
        let accepted_at = world.now();
        let receipt = queue.put(sorted.into_put(accepted_at)).await?;
        world.point(Point::DoorCommitted).await;
        let (seq, seconds) = (receipt.seq.0, came.elapsed().as_secs_f64());
        let application = head.application.as_deref().unwrap_or("-");
        let device = head.device.as_deref().unwrap_or("-");
        let network = &head.network;
        let parcel = Parcel { seq, kind, accepted_at, attempts: 0, device: sender.as_ref() };
        events.emit(Event::Accepted { parcel, network, application, device, bytes, seconds });
        let over_share = || reason(TOO_MANY_WAITING, "as many messages of its device or its application wait as may");
        if let Some(reason) = useless.or_else(|| receipt.is_over_share.then(over_share)) {
            let (reason, detail) = (&reason.code, &reason.detail);
            events.emit(Event::Buried { parcel, reason, network, application, device, detail });
        }
        if Instant::now() >= late_after {
            events.emit(Event::CommittedLate { seq, seconds });
        }
        Ok(receipt)
    }
}

fn trouble(error: &PutError) -> Trouble {
    match error {
        PutError::Full(_) => Trouble::Full,
        PutError::Busy => Trouble::Waiting,
        PutError::Failed(_) => Trouble::Failed,
        PutError::Closed => Trouble::Closing,
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The content types under which The Things Stack and proxies before us send its binary format.
fn is_binary(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/octet-stream", "application/x-protobuf", "application/protobuf"]
        .iter()
        .any(|binary| kind.eq_ignore_ascii_case(binary))
}
