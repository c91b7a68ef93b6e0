//! Claims-based security: what a put-token request says, and the answer in the shape that clients insist on.
//!
//! Promises: the correlation id has the value and the type of the request's id (Node compares `===`, uamqp a ulong,
//! Python a uuid), `status-code` is an int, `status-description` is always there.

use amqp::message::{Body, Message, Properties};
use amqp::value::Value;
use bytes::Bytes;

/// What clients call a shared access signature.
const TYPES: [&str; 3] = ["servicebus.windows.net:sastoken", "azure-devices.net:sastoken", "jwt"];

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) description: String,
}

impl Outcome {
    pub(crate) fn new(status: i32, description: impl Into<String>) -> Self {
        Self { status, description: description.into() }
    }

    pub(super) fn ok() -> Self {
        Self::new(200, "OK")
    }

    /// Words as the service was seen to use them (Azure/iotedge-lorawan-starterkit#1337).
    pub(super) fn too_many(most: usize) -> Self {
        Self::new(500, format!("The maximum number of tokens per connection ({most}) has been reached."))
    }
}

/// The token that a request puts.
pub(super) fn token(request: &Message) -> Result<&str, Outcome> {
    let text = |name: &str| {
        request.application_properties.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.as_str())
    };
    if text("operation") != Some("put-token") {
        return Err(Outcome::new(400, "The operation is not supported: put-token is the only one."));
    }
    if !text("type").is_some_and(|kind| TYPES.contains(&kind)) {
        return Err(Outcome::new(400, "The token type is not supported."));
    }
    match &request.body {
        Body::Value(Value::String(token)) => Ok(token),
        Body::Data(sections) => match sections.as_slice() {
            [one] => std::str::from_utf8(one).map_err(|_| no_token()),
            _ => Err(no_token()),
        },
        _ => Err(no_token()),
    }
}

fn no_token() -> Outcome {
    Outcome::new(400, "The body is not a token.")
}

/// The answer to a request.
pub(super) fn answer(request: &Message, outcome: Outcome) -> Bytes {
    let properties = Properties {
        to: request.properties.reply_to.clone(),
        correlation_id: request.properties.message_id.clone(),
        ..Properties::default()
    };
    let application_properties = vec![
        ("status-code".to_owned(), Value::Int(outcome.status)),
        ("status-description".to_owned(), outcome.description.into()),
    ];
    Message { properties, application_properties, body: Body::Value(Value::Null), ..Message::default() }.to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use amqp::message::MessageId;

    fn request(operation: &str, kind: &str, body: Body) -> Message {
        let properties = Properties { message_id: Some(MessageId::Ulong(7)), ..Properties::default() };
        let application_properties = vec![("operation".to_owned(), operation.into()), ("type".to_owned(), kind.into())];
        Message { properties, application_properties, body, ..Message::default() }
    }

    #[test]
    fn a_token_of_any_known_type_is_taken_from_the_body() {
        for kind in TYPES {
            let request = request("put-token", kind, Body::Value("SharedAccessSignature sr=x".into()));
            assert_eq!(token(&request), Ok("SharedAccessSignature sr=x"));
        }
        assert_eq!(token(&request("put-token", "other", Body::Empty)).unwrap_err().status, 400);
        assert_eq!(token(&request("delete-token", TYPES[0], Body::Empty)).unwrap_err().status, 400);
        assert_eq!(token(&request("put-token", TYPES[0], Body::Empty)).unwrap_err().status, 400);
    }

    #[test]
    fn an_answer_has_the_types_that_clients_insist_on() {
        let request = request("put-token", TYPES[0], Body::Empty);
        let answer = Message::decode(&answer(&request, Outcome::ok())).unwrap();
        assert_eq!(answer.properties.correlation_id, Some(MessageId::Ulong(7)));
        let expected = [("status-code", Value::Int(200)), ("status-description", "OK".into())];
        assert_eq!(answer.application_properties, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}
