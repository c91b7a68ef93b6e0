//! A device's twin on its links.
//!
//! ```text
//! in:  correlation-id, annotations operation (GET, PATCH, PUT, DELETE) and resource, data: JSON or a blank
//! out: the same correlation-id, annotations status (int) and version (long), data: JSON or nothing
//! ```
//! Promises: every request that names itself is answered, in the type of its id. Changes of desired properties go out
//! without an id, and only while the device wants them.

use amqp::connection::{Delivery, LinkId};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::DeliveryState;
use amqp::value::{Fields, Value};
use bytes::Bytes;

use super::errors;
use super::later::Job;
use super::pairs::Purpose;
use super::peer::{Peer, Scene};
use super::telemetry::{content, decode};
use crate::directory::DesiredChange;
use crate::endpoint::Endpoint;
use crate::hub::Refusal;
use crate::random::Stamp;

const REPORTED: &str = "/properties/reported";
const DESIRED: &str = "/notifications/twin/properties/desired";

/// What a device asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Get,
    Patch(Bytes),
    /// Whether it wants to hear of desired properties.
    Hear(bool),
}

/// What it is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    version: Option<u64>,
    body: Bytes,
}

impl Peer {
    /// Desired properties changed.
    pub(super) fn tell_desired(&mut self, endpoint: &Endpoint, change: DesiredChange, scene: Scene<'_>) {
        let message = Message {
            message_annotations: Fields::default().with("resource", DESIRED),
            body: Body::Data(vec![change.patch]),
            ..Message::default()
        };
        self.send_unasked((endpoint, Purpose::Twin), message.to_bytes(), scene);
    }

    /// A device asks. Without a link for the answer nothing is done.
    pub(super) fn asked_twin(&mut self, link: LinkId, delivery: &Delivery, scene: Scene<'_>) {
        let weather = scene.cloud.manners().hub;
        if self.stands_out(weather, scene) {
            return;
        }
        let state = match self.ask_twin(link, &delivery.payload, scene) {
            Ok(answer) => {
                if let Some(half) = self.half(link) {
                    half.unanswered += 1;
                }
                self.do_after(weather.delay, Job::TwinAnswer(link, answer), scene);
                DeliveryState::Accepted
            }
            Err(refusal) => DeliveryState::Rejected(Some(errors::of(&refusal, scene.stamp()).1)),
        };
        if !delivery.settled {
            self.engine.settle(link, delivery.id, state);
        }
        self.top_up_half(link);
    }

    /// The answer to a request; an error where there is none.
    fn ask_twin(&mut self, link: LinkId, payload: &Bytes, scene: Scene<'_>) -> Result<Bytes, Refusal> {
        let half = self.half(link).filter(|half| half.other.is_some());
        let endpoint = half.map(|half| half.endpoint.clone());
        let endpoint = endpoint.ok_or_else(|| {
            Refusal::new(400, 400_003, "InvalidOperation", "There is no link on which this could be answered")
        })?;
        let mut request = decode(payload)?;
        let id = request.properties.correlation_id.take();
        let id = id.ok_or_else(|| Refusal::argument("The correlation id is missing"))?;
        let told = Wish::read(request).and_then(|wish| self.perform_wish(link, &endpoint, &wish, scene));
        Ok(answer(id, told, scene.stamp()))
    }

    fn perform_wish(
        &mut self,
        link: LinkId,
        endpoint: &Endpoint,
        wish: &Wish,
        scene: Scene<'_>,
    ) -> Result<Told, Refusal> {
        match wish {
            Wish::Get => Ok(Told { version: None, body: scene.cloud.twin_for_device(endpoint)? }),
            Wish::Patch(patch) => {
                Ok(Told { version: Some(scene.cloud.patch_reported(endpoint, patch)?), body: Bytes::new() })
            }
            Wish::Hear(wants) => {
                if let Some(refusal) = scene.cloud.refusal(endpoint) {
                    return Err(refusal);
                }
                if let Some(half) = self.half(link) {
                    half.wants_desired = *wants;
                }
                self.tell_ears(endpoint, scene);
                Ok(Told::default())
            }
        }
    }

    /// The answer goes out on the other link, if that is still there.
    pub(super) fn answer_twin(&mut self, link: LinkId, payload: Bytes, scene: Scene<'_>) {
        let Some(half) = self.half(link) else { return };
        half.unanswered = half.unanswered.saturating_sub(1);
        if let Some(other) = half.other {
            self.send_on(other, payload, scene);
        }
        self.top_up_half(link);
    }
}

impl Wish {
    fn read(request: Message) -> Result<Self, Refusal> {
        let text = |name| request.message_annotations.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (operation, resource) = (text("operation"), text("resource"));
        let is = |wanted: &str| resource.eq_ignore_ascii_case(wanted);
        match operation.as_str() {
            "GET" => Ok(Self::Get),
            "PATCH" if is(REPORTED) => Ok(Self::Patch(content(request.body)?)),
            "PUT" if is(DESIRED) => Ok(Self::Hear(true)),
            "DELETE" if is(DESIRED) => Ok(Self::Hear(false)),
            _ => Err(Refusal::argument("There is no such operation on this resource")),
        }
    }
}

fn answer(id: MessageId, told: Result<Told, Refusal>, stamp: Stamp<'_>) -> Bytes {
    let (status, told) = match told {
        Ok(told) => (200, told),
        Err(refusal) => {
            let json = errors::of(&refusal, stamp).1.description.unwrap_or_default();
            (refusal.status.into(), Told { version: None, body: json.into() })
        }
    };
    let annotations = Fields::default().with("status", Value::Int(status));
    let version = told.version.map(|version| Value::Long(i64::try_from(version).unwrap_or(i64::MAX)));
    let message = Message {
        message_annotations: match version {
            Some(version) => annotations.with("version", version),
            None => annotations,
        },
        properties: Properties { correlation_id: Some(id), ..Properties::default() },
        body: Body::Data(vec![told.body]),
        ..Message::default()
    };
    message.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::tests::NOW_MS;
    use crate::random::tests::stamp;

    fn request(operation: &str, resource: &str, body: &'static str) -> Message {
        Message {
            message_annotations: Fields::default().with("operation", operation).with("resource", resource),
            body: Body::Data(vec![Bytes::from_static(body.as_bytes())]),
            ..Message::default()
        }
    }

    #[test]
    fn wishes_are_read_as_sdks_write_them() {
        let get = Message { message_annotations: Fields::default().with("operation", "GET"), ..request("", "", " ") };
        assert_eq!(Wish::read(get), Ok(Wish::Get));
        assert_eq!(
            Wish::read(request("PATCH", REPORTED, r#"{"a":1}"#)),
            Ok(Wish::Patch(Bytes::from_static(br#"{"a":1}"#)))
        );
        assert_eq!(Wish::read(request("PUT", DESIRED, " ")), Ok(Wish::Hear(true)));
        assert_eq!(Wish::read(request("DELETE", DESIRED, " ")), Ok(Wish::Hear(false)));
        for (operation, resource) in [("PATCH", ""), ("PATCH", DESIRED), ("PUT", REPORTED), ("get", ""), ("", "")] {
            assert_eq!(
                Wish::read(request(operation, resource, " ")).unwrap_err().status,
                400,
                "{operation} {resource}"
            );
        }
    }

    #[test]
    fn an_answer_has_the_types_that_clients_insist_on() {
        for id in [MessageId::from("Get1"), MessageId::Uuid([7; 16])] {
            let told = Told { version: Some(4), body: Bytes::new() };
            let message = Message::decode(&answer(id.clone(), Ok(told), stamp(NOW_MS))).unwrap();
            assert_eq!(message.properties.correlation_id, Some(id));
            let expected = Fields::default().with("status", Value::Int(200)).with("version", Value::Long(4));
            assert_eq!((message.message_annotations, message.body), (expected, Body::Data(vec![Bytes::new()])));
        }
        let refused = answer("x".into(), Err(Refusal::argument("no")), stamp(NOW_MS));
        let message = Message::decode(&refused).unwrap();
        assert_eq!(message.message_annotations, Fields::default().with("status", Value::Int(400)));
        let Body::Data(json) = message.body else { panic!("no data") };
        let json: serde_json::Value = serde_json::from_slice(&json[0]).unwrap();
        assert_eq!((json["errorCode"].as_u64(), json["message"].as_str()), (Some(400_004), Some("no")));
    }
}
