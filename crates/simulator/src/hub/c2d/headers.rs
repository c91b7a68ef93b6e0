//! As HTTPS carries messages to devices: everything but the body in headers.

use crate::hub::PROPERTY_PREFIX;
use crate::hub::c2d::{Ack, Delivery};
use crate::identity::timestamp;

/// Names and values; `device` as it stands in the path of its queue.
pub(crate) fn of(delivery: &Delivery, device: &str) -> Vec<(String, String)> {
    let message = &delivery.message;
    let of_hub = [
        ("etag", format!("\"{}\"", delivery.lock)),
        ("iothub-sequencenumber", delivery.sequence.to_string()),
        ("iothub-enqueuedtime", timestamp(delivery.enqueued_ms).to_string()),
        ("iothub-deliverycount", delivery.delivery_count.to_string()),
        ("iothub-expiry", timestamp(delivery.expiry_ms).to_string()),
        ("iothub-to", format!("/devices/{device}/messages/devicebound")),
    ];
    let user_id = message.user_id.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let of_sender = [
        ("iothub-messageid", message.message_id.clone()),
        ("iothub-correlationid", message.correlation_id.clone()),
        ("iothub-contenttype", message.content_type.clone()),
        ("iothub-contentencoding", message.content_encoding.clone()),
        ("iothub-userid", user_id),
        ("iothub-ack", (message.ack != Ack::None).then(|| message.ack.word().to_owned())),
    ];
    let of_hub = of_hub.into_iter().map(|(name, value)| (name.to_owned(), value));
    let of_sender = of_sender.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let own = message.properties.iter().map(|(name, value)| (format!("{PROPERTY_PREFIX}{name}"), value.clone()));
    of_hub.chain(of_sender).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::c2d::Message;
    use crate::hub::line::Lock;

    #[test]
    fn what_is_known_of_a_message_stands_in_its_headers() {
        let message = Message {
            message_id: Some("m1".to_owned()),
            ack: Ack::Full,
            properties: [("Port".to_owned(), "15".to_owned())].into(),
            ..Message::default()
        };
        let delivery = Delivery {
            lock: Lock([0x1A; 16]),
            sequence: 7,
            enqueued_ms: 1_767_225_600_000,
            expiry_ms: 1_767_229_200_000,
            delivery_count: 2,
            message: Arc::new(message),
        };
        let headers = of(&delivery, "eui-1");
        let value = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
        assert_eq!(value("etag"), Some("\"1a1a1a1a-1a1a-1a1a-1a1a-1a1a1a1a1a1a\""));
        assert_eq!(value("iothub-messageid"), Some("m1"));
        assert_eq!(value("iothub-correlationid"), None);
        assert_eq!(value("iothub-enqueuedtime"), Some("2026-01-01T00:00:00Z"));
        assert_eq!(value("iothub-expiry"), Some("2026-01-01T01:00:00Z"));
        assert_eq!((value("iothub-deliverycount"), value("iothub-sequencenumber")), (Some("2"), Some("7")));
        assert_eq!((value("iothub-ack"), value("iothub-app-Port")), (Some("full"), Some("15")));
        assert_eq!(value("iothub-to"), Some("/devices/eui-1/messages/devicebound"));
    }
}
