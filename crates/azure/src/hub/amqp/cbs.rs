//! Claims based security: how a device's token is put on a connection, and what is answered.
//!
//! ```text
//! -> $cbs   message-id "7"  reply-to cbs  operation put-token  type servicebus.windows.net:sastoken  name {audience}
//!           body: the token, an AMQP string
//! <- $cbs   correlation-id "7" (the same type)  status-code 200  status-description …
//! ```
//! PURE. Answers come in any order; the number tells whose they are.

use amqp::connection::Terms;
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::{Source, Target};
use amqp::value::Value;
use bytes::Bytes;

use super::condition::{Judgement, judge_token};
use crate::sas::Token;

const NODE: &str = "$cbs";
/// Answers that may come before we say more. As many as a connection has devices at the most, so that a herd of tokens
/// is never held up by us.
pub(super) const CREDIT: u32 = 1000;
/// An answer is a few words; this is far more than any was seen to have.
const ANSWER_BYTES_MAX: u64 = 65_536;

/// Sends tokens.
pub(super) fn sender(name: String) -> Terms {
    Terms::sender(name, Target::at(NODE))
}

/// Takes the answers.
pub(super) fn receiver(name: String) -> Terms {
    Terms { max_message_size: Some(ANSWER_BYTES_MAX), ..Terms::receiver(name, Source::at(NODE)) }
}

/// The message that puts a token for `audience`. Holds a secret.
pub(super) fn put_token(number: u64, audience: String, token: &Token) -> Bytes {
    let property = |name: &str, value: String| (name.to_owned(), Value::String(value));
    let message = Message {
        properties: Properties {
            message_id: Some(MessageId::String(number.to_string())),
            to: Some(NODE.to_owned()),
            reply_to: Some("cbs".to_owned()),
            ..Properties::default()
        },
        application_properties: vec![
            property("operation", "put-token".to_owned()),
            property("type", "servicebus.windows.net:sastoken".to_owned()),
            property("name", audience),
        ],
        body: Body::Value(Value::from(token.reveal())),
        ..Message::default()
    };
    message.to_bytes()
}

/// What was answered to which token. `None`: nothing that could be told from an answer to somebody else.
pub(super) fn answer(payload: &Bytes) -> Option<(u64, Result<(), Judgement>)> {
    let message = Message::decode(payload).ok()?;
    let Some(MessageId::String(number)) = &message.properties.correlation_id else { return None };
    let number = number.parse().ok()?;
    let find = |name: &str| message.application_properties.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let status = find("status-code").and_then(Value::as_i64).unwrap_or(0);
    let description = find("status-description").and_then(Value::as_str).unwrap_or_default();
    Some((number, if matches!(status, 200 | 202) { Ok(()) } else { Err(judge_token(status, description)) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::Why;
    use crate::key::Signer;
    use crate::sas::{device_audience, device_token};

    fn answered(correlation: MessageId, status: Value, description: &str) -> Option<(u64, Result<(), Judgement>)> {
        let message = Message {
            properties: Properties { correlation_id: Some(correlation), ..Properties::default() },
            application_properties: vec![
                ("status-code".to_owned(), status),
                ("status-description".to_owned(), description.into()),
            ],
            ..Message::default()
        };
        answer(&message.to_bytes())
    }

    #[test]
    fn a_token_is_put_as_the_node_sdk_puts_it() {
        let token = device_token("hub1.azure-devices.net", "Dev 1", &Signer::device([1; 32]), 1_767_225_600);
        let audience = device_audience("hub1.azure-devices.net", "Dev 1");
        let read = Message::decode(&put_token(7, audience, &token)).unwrap();
        assert_eq!(read.properties.message_id, Some("7".into()));
        assert_eq!((read.properties.to.as_deref(), read.properties.reply_to.as_deref()), (Some("$cbs"), Some("cbs")));
        let pair = |name: &str, value: &str| (name.to_owned(), Value::from(value));
        let pairs = [
            pair("operation", "put-token"),
            pair("type", "servicebus.windows.net:sastoken"),
            pair("name", "hub1.azure-devices.net%2Fdevices%2FDev%201"),
        ];
        assert_eq!(read.application_properties, pairs);
        assert_eq!(read.body, Body::Value(token.reveal().into()));
        assert!(token.reveal().contains("sr=hub1.azure-devices.net%2Fdevices%2FDev%201&"), "the same audience");
    }

    #[test]
    fn only_200_and_202_are_good_whatever_the_width_of_the_number() {
        for status in [Value::Int(200), Value::Int(202), Value::Uint(200), Value::Long(202)] {
            assert_eq!(answered("7".into(), status, "OK"), Some((7, Ok(()))));
        }
        for status in [Value::Int(201), Value::Int(401), Value::Int(0), Value::Null] {
            assert!(matches!(answered("7".into(), status.clone(), "no"), Some((7, Err(_)))), "{status:?}");
        }
        let (_, refused) = answered("7".into(), Value::Int(404), "Device d at IotHub h not registered.").unwrap();
        assert_eq!(refused.unwrap_err().why, Why::NotFound);
    }

    #[test]
    fn an_answer_to_somebody_else_is_no_answer() {
        assert_eq!(answered(MessageId::Ulong(7), Value::Int(200), "OK"), None, "another type");
        assert_eq!(answered("seven".into(), Value::Int(200), "OK"), None);
        assert_eq!(answer(&Bytes::from_static(b"no message")), None);
        assert_eq!(answer(&Message::default().to_bytes()), None);
    }
}
