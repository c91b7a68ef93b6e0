//! Direct methods: the owner asks, the device answers, in one request.
//!
//! Promises: a request ends when the device has answered, or the times that it names are over.

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;

use super::{Https, json, no_version, not_allowed, query, stand, text, whole};
use crate::connections::{Ask, Reply};
use crate::endpoint::Endpoint;
use crate::hub::Refusal;
use crate::hub::method::Invocation;

impl Https {
    pub(super) async fn invoke(&self, ask: &Ask, endpoint: &Endpoint) -> Reply {
        if let Some(reply) = stand(self.cloud.hub_weather(), || self.hub_error(&Refusal::unavailable())).await {
            return reply;
        }
        Ok(self.invoked(ask, endpoint).await.unwrap_or_else(|refusal| self.hub_error(&refusal)))
    }

    async fn invoked(&self, ask: &Ask, endpoint: &Endpoint) -> Result<Response<Full<Bytes>>, Refusal> {
        if query(ask, "api-version").is_none() {
            return Err(no_version());
        }
        if ask.parts.method != Method::POST {
            return Err(not_allowed());
        }
        self.cloud.admit_call(endpoint, text(&ask.parts.headers, header::AUTHORIZATION))?;
        let invocation = Invocation::parse(whole(ask)?)?;
        let (response_within, connect_within) = (invocation.response_within, invocation.connect_within);
        if !connect_within.is_zero() {
            // Whoever did not come is not online.
            self.cloud.directory().hears_methods_within(endpoint, connect_within).await;
        }
        let answer = self.cloud.invoke(endpoint, invocation)?.answer(response_within).await?;
        let mut response = json(StatusCode::OK, &());
        *response.body_mut() = Full::new(answer.body());
        Ok(response)
    }
}
