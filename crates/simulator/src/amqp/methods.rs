//! Direct methods on a device's links.
//!
//! ```text
//! out: correlation-id (uuid), IoThub-methodname (string), data: JSON
//! in:  correlation-id (uuid, or its text), IoThub-status (int), data: JSON or nothing
//! ```

use amqp::connection::{Delivery, LinkId};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::DeliveryState;
use amqp::value::Value;
use bytes::Bytes;

use super::errors;
use super::pairs::Purpose;
use super::peer::{Peer, Scene};
use super::telemetry::{content, decode};
use crate::directory::Call;
use crate::endpoint::Endpoint;
use crate::hub::Refusal;
use crate::hub::method::{Answer, RequestId};

const NAME: &str = "IoThub-methodname";
const STATUS: &str = "IoThub-status";

impl Peer {
    /// Somebody calls a method.
    pub(super) fn call_method(&mut self, endpoint: &Endpoint, call: Call, scene: Scene<'_>) {
        self.send_unasked((endpoint, Purpose::Methods), request(call), scene);
    }

    /// A device answers. That an answer which nobody waits for any more is taken all the same is assumed.
    pub(super) fn answered_method(&mut self, link: LinkId, delivery: &Delivery, scene: Scene<'_>) {
        let Some(endpoint) = self.half(link).map(|half| half.endpoint.clone()) else { return };
        let state = match answer(&delivery.payload) {
            Ok((id, answer)) => {
                scene.cloud.answer_method(&endpoint, id, answer);
                DeliveryState::Accepted
            }
            Err(refusal) => DeliveryState::Rejected(Some(errors::of(&refusal, scene.stamp()).1)),
        };
        if !delivery.settled {
            self.engine.settle(link, delivery.id, state);
        }
        self.top_up_half(link);
    }
}

fn request(call: Call) -> Bytes {
    let message = Message {
        properties: Properties { correlation_id: Some(MessageId::Uuid(call.request_id)), ..Properties::default() },
        application_properties: vec![(NAME.to_owned(), call.name.into())],
        body: Body::Data(vec![call.payload]),
        ..Message::default()
    };
    message.to_bytes()
}

fn answer(payload: &Bytes) -> Result<(RequestId, Answer), Refusal> {
    let message = decode(payload)?;
    let id = message.properties.correlation_id.and_then(request_id);
    let id = id.ok_or_else(|| Refusal::argument("The correlation id is not a uuid"))?;
    let status = message.application_properties.iter().find(|(name, _)| name == STATUS);
    let status = status.and_then(|(_, value)| Value::as_i64(value)).and_then(|status| i32::try_from(status).ok());
    let status = status.ok_or_else(|| Refusal::argument("The status is missing, or is not an int"))?;
    Ok((id, Answer::new(status, content(message.body)?)?))
}

/// Node's SDK writes an id that it does not take for a uuid as text.
fn request_id(id: MessageId) -> Option<RequestId> {
    match id {
        MessageId::Uuid(bytes) => Some(bytes),
        MessageId::String(text) => {
            let digits: String = text.chars().filter(|c| *c != '-').collect();
            let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u128::from_str_radix(&digits, 16).ok())?.map(u128::to_be_bytes)
        }
        MessageId::Ulong(_) | MessageId::Binary(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = *b"\x12\x34\x56\x78\x9a\xbc\x4d\xef\x81\x23\x45\x67\x89\xab\xcd\xef";

    fn reply(id: MessageId, status: Value, body: &'static [u8]) -> Result<(RequestId, Answer), Refusal> {
        let message = Message {
            properties: Properties { correlation_id: Some(id), ..Properties::default() },
            application_properties: vec![("IoThub-status".to_owned(), status)],
            body: Body::Data(vec![Bytes::from_static(body)]),
            ..Message::default()
        };
        answer(&message.to_bytes())
    }

    #[test]
    fn an_answer_is_known_by_its_uuid_and_by_its_text() {
        let expected = Answer::new(200, Bytes::from_static(b"{}")).unwrap();
        for id in [MessageId::Uuid(ID), "12345678-9abc-4def-8123-456789abcdef".into()] {
            assert_eq!(reply(id, Value::Int(200), b"{}"), Ok((ID, expected.clone())));
        }
        for id in ["", "12345678-9abc-4def-8123-456789abcde", "x2345678-9abc-4def-8123-456789abcdef"] {
            assert_eq!(reply(id.into(), Value::Int(200), b"{}").unwrap_err().code, 400_004, "{id}");
        }
        assert_eq!(reply(MessageId::Ulong(7), Value::Int(200), b"{}").unwrap_err().code, 400_004);
    }

    #[test]
    fn an_answer_has_a_status_that_is_a_number_and_a_body_that_is_json() {
        for status in [Value::Null, "200".into(), Value::Long(i64::MAX)] {
            assert_eq!(reply(MessageId::Uuid(ID), status, b"{}").unwrap_err().code, 400_004);
        }
        assert_eq!(reply(MessageId::Uuid(ID), Value::Int(200), b"{").unwrap_err().code, 400_012);
        assert_eq!(
            reply(MessageId::Uuid(ID), Value::Int(200), b"").unwrap().1,
            Answer::new(200, Bytes::new()).unwrap()
        );
        assert_eq!(answer(&Bytes::from_static(b"\x00")).unwrap_err().code, 400_012);
    }

    #[test]
    fn a_request_is_what_c_and_node_read() {
        let call = Call { request_id: ID, name: "reboot".to_owned(), payload: Bytes::from_static(b"null") };
        let message = Message::decode(&request(call)).unwrap();
        assert_eq!(message.properties.correlation_id, Some(MessageId::Uuid(ID)));
        assert_eq!(message.application_properties, [("IoThub-methodname".to_owned(), "reboot".into())]);
        assert_eq!(message.body, Body::Data(vec![Bytes::from_static(b"null")]));
    }
}
