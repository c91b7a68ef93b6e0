//! A storage queue, as whoever leaves it reads it: count, peek, take, delete.
//!
//! Promises what blobs do: one try a call, within its bound, errors by their cause. What was taken is hidden from others for as long as was
//! asked and comes again after that, with another receipt; nothing is deleted but by [`Messages::delete`]. The service knows no
//! order: a take brings any of what is there.

use std::fmt;
use std::time::Duration;

use azure_core::http::headers::HeaderName;
use azure_storage_queue::models::{
    QueueClientCreateOptions, QueueClientDeleteMessageOptions, QueueClientGetPropertiesOptions,
    QueueClientPeekMessagesOptions, QueueClientReceiveMessagesOptions, QueueClientSendMessageOptions, QueueMessage,
    ReceivedMessage,
};
use azure_storage_queue::{QueueClient, QueueClientOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use queue::UnixMillis;
use queue::blobs::{CALL_MAX, LARGE_CALL_MAX, Reply};

use crate::account::{Account, AccountError, Service, wrong};
use crate::call::{Call, odd};
use crate::client::{Means, Parts};
use crate::meaning::Operation;

/// The service's bound: 32 messages of 64 KiB, 2 MiB a call.
pub const TAKE_MAX: usize = 32;
/// The service's bound.
const HIDDEN_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// One takes, others delete what was taken before: a few dozen messages at 10 ms each are gone in a tenth of a second.
const CONNECTIONS: usize = 8;
const COUNT: HeaderName = HeaderName::from_static("x-ms-approximate-messages-count");

/// A queue of an account.
pub struct Messages {
    name: String,
    client: QueueClient,
    entra: Option<String>,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.name).finish()
    }
}

/// What deletes a message: good until somebody else takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    message: String,
    pop: String,
}

impl Receipt {
    /// Of the message, by the service: stays the same however often it is taken, and is never given again.
    pub fn message_id(&self) -> &str {
        &self.message
    }
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Deletes it.
    pub receipt: Receipt,
    /// What it says; decoded where it was base64, as Azure Functions write it.
    pub body: Bytes,
    /// How often it was taken, this time included.
    pub takes: u64,
    /// When it was put, in whole seconds.
    pub put_at: UnixMillis,
}

impl Messages {
    /// Asks nobody yet.
    pub fn new(account: &Account, name: &str, means: &Means) -> Result<Self, AccountError> {
        let parts = Parts::new(account, Service::Queues, name, means)?;
        let options = QueueClientOptions { client_options: parts.options(CONNECTIONS), ..Default::default() };
        let client = QueueClient::new(parts.url.clone(), parts.credential(), Some(options))
            .map_err(|_| wrong("the queue", "has no address", "check the account's"))?;
        Ok(Self { name: name.to_owned(), client, entra: parts.entra.map(|(found, _)| found) })
    }

    fn call(&self, operation: Operation) -> Call<'_> {
        Call::new(operation, &self.name, self.entra.as_deref())
    }

    /// About how many there are, hidden ones included; never too few.
    pub async fn count(&self) -> Reply<u64> {
        let call = self.call(Operation::CountMessages);
        let options = QueueClientGetPropertiesOptions { method_options: call.options(), ..Default::default() };
        let asking = async {
            let answer = self.client.get_properties(Some(options)).await?;
            let count = answer.headers().get_optional_str(&COUNT).and_then(|count| count.parse().ok());
            count.ok_or_else(|| odd("a queue without a count"))
        };
        call.made(CALL_MAX, asking, || None).await
    }

    /// Takes as many as there are, at most [`TAKE_MAX`], and hides them for so long (a second to 7 days). None: nothing is
    /// there, or all of it is hidden.
    pub async fn take(&self, hidden: Duration) -> Reply<Vec<Taken>> {
        let call = self.call(Operation::TakeMessages);
        if hidden < Duration::from_secs(1) || hidden > HIDDEN_MAX {
            return call.refused("a message is hidden for a second to 7 days");
        }
        let options = QueueClientReceiveMessagesOptions {
            method_options: call.options(),
            number_of_messages: i32::try_from(TAKE_MAX).ok(),
            visibility_timeout: i32::try_from(hidden.as_secs()).ok(),
            ..Default::default()
        };
        let asking = async {
            let messages = self.client.receive_messages(Some(options)).await?.into_model()?;
            let taken = messages.items.unwrap_or_default().into_iter().map(taken).collect::<Option<_>>();
            taken.ok_or_else(|| odd("a message without an id, a receipt or a time"))
        };
        call.made(LARGE_CALL_MAX, asking, || None).await
    }

    /// The first that are not hidden, at most [`TAKE_MAX`], without taking them: what each says, as [`Taken::body`].
    pub async fn peek(&self) -> Reply<Vec<Bytes>> {
        let call = self.call(Operation::PeekMessages);
        let options = QueueClientPeekMessagesOptions {
            method_options: call.options(),
            number_of_messages: i32::try_from(TAKE_MAX).ok(),
            ..Default::default()
        };
        let asking = async {
            let messages = self.client.peek_messages(Some(options)).await?.into_model()?;
            let texts = messages.items.unwrap_or_default().into_iter().map(|message| message.message_text);
            Ok(texts.map(|text| body(text.unwrap_or_default())).collect())
        };
        call.made(LARGE_CALL_MAX, asking, || None).await
    }

    /// Removes it: false when it is gone, or somebody else has taken it since.
    pub async fn delete(&self, receipt: &Receipt) -> Reply<bool> {
        let call = self.call(Operation::DeleteMessage);
        let options = QueueClientDeleteMessageOptions { method_options: call.options(), ..Default::default() };
        let asking = async {
            let Receipt { message, pop } = receipt;
            self.client.delete_message(message, pop, Some(options)).await.map(|_| true)
        };
        call.made(CALL_MAX, asking, || Some(false)).await
    }

    /// Puts this text as it is. For tests: nobody here fills such a queue.
    pub async fn put(&self, text: &str) -> Reply<()> {
        let call = self.call(Operation::PutMessage);
        let options = QueueClientSendMessageOptions { method_options: call.options(), ..Default::default() };
        let message = QueueMessage { message_text: Some(text.to_owned()) };
        let asking = async { self.client.send_message(message.try_into()?, Some(options)).await.map(|_| ()) };
        call.made(CALL_MAX, asking, || None).await
    }

    /// Makes the queue: false where it is there already. For tests as well.
    pub async fn create(&self) -> Reply<bool> {
        let call = self.call(Operation::CreateQueue);
        let options = QueueClientCreateOptions { method_options: call.options(), ..Default::default() };
        let asking = async { self.client.create(Some(options)).await.map(|answer| u16::from(answer.status()) == 201) };
        call.made(CALL_MAX, asking, || Some(false)).await
    }
}

fn taken(message: ReceivedMessage) -> Option<Taken> {
    Some(Taken {
        receipt: Receipt { message: message.message_id.filter(|id| !id.is_empty())?, pop: message.pop_receipt? },
        // An empty one has no text at all.
        body: body(message.message_text.unwrap_or_default()),
        takes: message.dequeue_count.and_then(|count| u64::try_from(count).ok())?,
        put_at: message.insertion_time?.unix_timestamp().checked_mul(1_000)?,
    })
}

/// Base64 of a text is the text; everything else is what it is. JSON is never taken for base64: an object or an array begins with a
/// character that base64 has not, and what four letters or digits stand for is no text.
fn body(text: String) -> Bytes {
    match STANDARD.decode(text.trim()) {
        Ok(decoded) if !decoded.is_empty() && std::str::from_utf8(&decoded).is_ok() => decoded.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_wrote_is_read_as_what_others_wrote() {
        let json = r#"{"app_id":"a","payload_raw":"AQ=="}"#;
        assert_eq!(body(STANDARD.encode(json)), json, "in base64");
        assert_eq!(body(format!("{}\r\n", STANDARD.encode(json))), json, "with the end of a line");
        for plain in [json, "", "true", "null", "1234", "[]", "hello", "AQI", "/wD/"] {
            assert_eq!(body(plain.to_owned()), plain, "as it is");
        }
    }
}
