//! The service side sends messages to devices.
//!
//! Promises: a message is in its device's queue before it is accepted. Whom it is for stands in the message (`to`),
//! percent-encoded (Node's SDK) or not (Python's).

use amqp::connection::{Delivery, LinkId};
use amqp::message::{Message, Properties};
use amqp::performative::DeliveryState;
use bytes::Bytes;

use super::address::Node;
use super::errors::{self, Hits};
use super::links::Kind;
use super::peer::{Peer, Scene};
use super::telemetry;
use crate::endpoint::{Endpoint, HubId};
use crate::hub::{Refusal, c2d};

impl Peer {
    /// A message came.
    pub(super) fn commanded(&mut self, link: LinkId, delivery: &Delivery, scene: Scene<'_>) {
        if self.stands_out(scene.cloud.manners().hub, scene) {
            return;
        }
        if let Some(Kind::Commands { unanswered }) = self.links.get_mut(&link).map(|link| &mut link.kind) {
            *unanswered += u32::from(!delivery.settled);
        }
        let manners = scene.cloud.manners();
        let state = match self.command(delivery, scene) {
            Ok(()) => DeliveryState::Accepted,
            Err(refusal) => match errors::of(&refusal, scene.stamp()) {
                // What would end the link of a device is a matter of one message here, but for an absent hub.
                (Hits::Link, error) if refusal.status == 503 => return self.detach(link, true, Some(error), scene),
                (_, error) => DeliveryState::Rejected(Some(error)),
            },
        };
        self.settle_after(link, delivery, state, manners.hub.delay + manners.accept_delay, scene);
    }

    fn command(&self, delivery: &Delivery, scene: Scene<'_>) -> Result<(), Refusal> {
        let (to, message) = message(self.hub, delivery)?;
        scene.cloud.send_c2d(self.hub, &to.device, message)
    }
}

/// A message and whom it is for.
fn message(hub: HubId, delivery: &Delivery) -> Result<(Endpoint, c2d::Message), Refusal> {
    if delivery.message_format != 0 {
        return Err(Refusal::argument("The message format is not supported"));
    }
    read(hub, &delivery.payload)
}

fn read(hub: HubId, payload: &Bytes) -> Result<(Endpoint, c2d::Message), Refusal> {
    let Message { properties, application_properties, body, .. } = telemetry::decode(payload)?;
    let Properties { message_id, user_id, to, correlation_id, content_type, content_encoding, .. } = properties;
    let Node::DeviceBound(to) = Node::parse(hub, to.as_deref().unwrap_or_default()) else {
        return Err(Refusal::argument("The property to is not /devices/ID/messages/devicebound"));
    };
    let message = c2d::Message {
        message_id: message_id.map(telemetry::id),
        correlation_id: correlation_id.map(telemetry::id),
        user_id,
        content_type: content_type.map(|word| word.as_str().to_owned()),
        content_encoding: content_encoding.map(|word| word.as_str().to_owned()),
        expiry_ms: properties.absolute_expiry_time,
        properties: application_properties.into_iter().map(telemetry::property).collect::<Result<_, _>>()?,
        body: telemetry::content(body)?,
        ..c2d::Message::default()
    };
    Ok((to, message))
}

#[cfg(test)]
mod tests {
    use amqp::message::{Body, MessageId};

    use super::*;
    use crate::hub::c2d::Ack;

    fn sent(to: &str) -> Message {
        Message {
            properties: Properties {
                to: Some(to.to_owned()),
                message_id: Some(MessageId::Uuid([0x11; 16])),
                absolute_expiry_time: Some(5),
                ..Properties::default()
            },
            application_properties: vec![
                ("iothub-ack".to_owned(), "full".into()),
                ("Port".to_owned(), amqp::value::Value::Int(15)),
            ],
            body: Body::Data(vec![Bytes::from_static(b"hello")]),
            ..Message::default()
        }
    }

    #[test]
    fn a_device_is_found_however_the_message_names_it() {
        for to in ["/devices/Dev%201/messages/devicebound", "/devices/Dev 1/messages/deviceBound"] {
            let (endpoint, message) = read(HubId(0), &sent(to).to_bytes()).unwrap();
            assert_eq!(endpoint, Endpoint::device(HubId(0), "Dev 1"));
            assert_eq!(message.message_id.as_deref(), Some("11111111-1111-1111-1111-111111111111"));
            assert_eq!((message.body.as_ref(), message.expiry_ms), (b"hello".as_ref(), Some(5)));
            let message = message.checked().unwrap();
            assert_eq!((message.ack, message.properties), (Ack::Full, [("Port".to_owned(), "15".to_owned())].into()));
        }
    }

    #[test]
    fn a_message_for_nobody_is_refused() {
        for to in ["", "/devices/d/messages/events", "/devices/d/modules/m/messages/devicebound", "d"] {
            assert_eq!(read(HubId(0), &sent(to).to_bytes()).unwrap_err().code, 400_004, "{to}");
        }
    }
}
