//! The owner's side of a hub over HTTPS: requests to calls, answers to responses.

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;

use super::{Https, json, no_content, no_version, not_allowed, nothing, put, query, stand, status, text, whole};
use crate::connections::{Ask, Reply};
use crate::hub::Refusal;
use crate::service::{Asked, With};

impl Https {
    pub(super) async fn owner(&self, ask: &Ask, path: &[&str]) -> Reply {
        if let Some(reply) = stand(self.cloud.hub_weather(), || self.hub_error(&Refusal::unavailable())).await {
            return reply;
        }
        Ok(self.owner_now(ask, path).unwrap_or_else(|refusal| self.hub_error(&refusal)))
    }

    fn owner_now(&self, ask: &Ask, path: &[&str]) -> Result<Response<Full<Bytes>>, Refusal> {
        query(ask, "api-version").ok_or_else(no_version)?;
        let hub = self.hub_of(ask);
        let call = match Asked::of(hub, ask.parts.method.as_str(), path, query(ask, "top")) {
            Asked::Call(call) => call,
            Asked::NotAllowed => return Err(not_allowed()),
            Asked::Nothing => return Err(nothing()),
        };
        let headers = &ask.parts.headers;
        let with = With {
            authorization: text(headers, header::AUTHORIZATION),
            if_match: text(headers, header::IF_MATCH),
            page_rows: text(headers, header::HeaderName::from_static("x-ms-max-item-count")),
            continuation: text(headers, header::HeaderName::from_static("x-ms-continuation")),
            body: whole(ask)?,
        };
        let answer = self.cloud.owner(hub, &call, path, &with)?;
        let mut response = answer.body.as_ref().map_or_else(no_content, |body| json(status(answer.status), body));
        for (name, value) in &answer.headers {
            put(response.headers_mut(), name, value);
        }
        Ok(response)
    }
}
