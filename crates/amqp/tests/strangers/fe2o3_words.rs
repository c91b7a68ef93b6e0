//! What the client and the server written with fe2o3-amqp have in common: the words for what they see.

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::delivery::{DeliveryFut, DeliveryInfo};
use fe2o3_amqp::link::{LinkStateError, RecvError, SendError};
use fe2o3_amqp::types::definitions::{Error, ErrorCondition};
use fe2o3_amqp::types::messaging::{Data, Modified, Outcome};
use fe2o3_amqp::types::primitives::Symbol;

pub(crate) type Answer = DeliveryFut<Result<Outcome, SendError>>;

pub(crate) fn error(condition: &str, description: &str) -> Error {
    Error::new(ErrorCondition::Custom(Symbol::from(condition)), description.to_owned(), None)
}

pub(crate) fn gone() -> Error {
    error("longhaul:gone", "the room is closed")
}

pub(crate) fn bye() -> Error {
    error("longhaul:bye", "so long")
}

pub(crate) fn told(error: &Error) -> String {
    let condition = match &error.condition {
        ErrorCondition::Custom(word) => word.as_str().to_owned(),
        other => format!("{other:?}"),
    };
    format!("{condition} {}", error.description.as_deref().unwrap_or("null"))
}

pub(crate) fn fate(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(_) => "accepted".to_owned(),
        Outcome::Rejected(rejected) => format!("rejected {}", rejected.error.as_ref().map_or_else(String::new, told)),
        Outcome::Released(_) => "released".to_owned(),
        Outcome::Modified(modified) => {
            let failed = if modified.delivery_failed == Some(true) { " failed" } else { "" };
            format!("modified{failed}{}", if modified.undeliverable_here == Some(true) { " undeliverable" } else { "" })
        }
    }
}

/// Gives one of the four verdicts; anything else is taken.
pub(crate) async fn judge(receiver: &Receiver, delivery: DeliveryInfo, word: &str) {
    let given = match word {
        "rejected" => receiver.reject(delivery, error("longhaul:no", "not this one")).await,
        "released" => receiver.release(delivery).await,
        "modified" => {
            let modified =
                Modified { delivery_failed: Some(true), undeliverable_here: Some(true), message_annotations: None };
            receiver.modify(delivery, modified).await
        }
        _ => receiver.accept(delivery).await,
    };
    given.expect("the link stands");
}

/// How a link was taken away, as its receiver hears of it.
pub(crate) fn taken(error: &RecvError) -> Option<String> {
    let RecvError::LinkStateError(state) = error else { return Some(error.to_string()) };
    match state {
        LinkStateError::RemoteClosed => Some("closed".to_owned()),
        LinkStateError::RemoteClosedWithError(error) => Some(format!("closed {}", told(error))),
        LinkStateError::RemoteDetached => Some("detached".to_owned()),
        LinkStateError::RemoteDetachedWithError(error) => Some(format!("detached {}", told(error))),
        _ => None,
    }
}

pub(crate) fn data(body: &[u8]) -> Data {
    Data::from(body.to_vec())
}
