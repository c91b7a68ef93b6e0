//! Direct methods on their way: to whoever listens for a device, and back to whoever asked.
//!
//! Promises: a call whose caller is gone is forgotten at once, and what is answered then is not taken. Time is the
//! caller's business.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Cloud;
use crate::directory::{Call, CallFailed};
use crate::endpoint::Endpoint;
use crate::hub::method::{self, Answer, Invocation, RequestId};
use crate::hub::{self, Refusal};

/// A call that is under way. Dropped it is forgotten.
pub(crate) struct Asked<'a> {
    cloud: &'a Cloud,
    endpoint: Endpoint,
    id: RequestId,
    answer: oneshot::Receiver<Answer>,
}

impl Asked<'_> {
    /// Waits so long for the answer.
    pub(crate) async fn answer(mut self, within: Duration) -> Result<Answer, Refusal> {
        match tokio::time::timeout(within, &mut self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => self.cloud.counted(Err(method::timed_out())),
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.cloud.state().calls.take(&self.endpoint, self.id);
    }
}

impl Cloud {
    /// Whether this token may call methods of this endpoint, and whether that is there.
    pub(crate) fn admit_call(&self, endpoint: &Endpoint, authorization: Option<&str>) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let (names, path) = (self.names(endpoint.hub), endpoint.path());
        let admitted = hub::admit_policy(&names, &hub::SERVICE_POLICIES, &path, authorization, now_ms);
        let admitted = admitted.and_then(|()| self.is_there(endpoint));
        self.counted(admitted)
    }

    /// One that is switched off counts as not there.
    fn is_there(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        self.state().enabled(endpoint).map(drop).map_err(|_| Refusal::not_found(endpoint))
    }

    /// Calls a method. Whoever listens is told.
    pub(crate) fn invoke(&self, endpoint: &Endpoint, invocation: Invocation) -> Result<Asked<'_>, Refusal> {
        self.counted(self.is_there(endpoint).and_then(|()| self.ask(endpoint, invocation)))
    }

    fn ask(&self, endpoint: &Endpoint, invocation: Invocation) -> Result<Asked<'_>, Refusal> {
        let (id, (asks, answer)) = (self.random.uuid(), oneshot::channel());
        self.state().calls.add(endpoint, id, asks)?;
        let asked = Asked { cloud: self, endpoint: endpoint.clone(), id, answer };
        let call = Call { request_id: id, name: invocation.name, payload: invocation.payload };
        self.directory.call(endpoint, call).map(|()| asked).map_err(|failed| match failed {
            CallFailed::NotOnline => method::not_online(),
            CallFailed::TooMany => method::too_many(),
        })
    }

    /// What a device answers. False when nobody waits for that, or it was not asked.
    pub(crate) fn answer_method(&self, endpoint: &Endpoint, request_id: RequestId, answer: Answer) -> bool {
        let asks = self.state().calls.take(endpoint, request_id);
        asks.is_some_and(|asks| asks.send(answer).is_ok())
    }

    fn counted<T>(&self, answer: Result<T, hub::Refusal>) -> Result<T, hub::Refusal> {
        self.state().count_hub_refusal(answer)
    }
}

#[cfg(test)]
mod tests;
