//! Messages to devices over HTTPS: the device fetches and answers them; the service side empties queues and fetches
//! feedback.

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use super::{Https, json, no_content, no_version, not_allowed, nothing, put, query, stand, text};
use crate::connections::{Ask, Reply};
use crate::endpoint::Endpoint;
use crate::hub::feedback;
use crate::hub::line::{Lock, Outcome};
use crate::hub::{self, Refusal, c2d};
use crate::identity::timestamp;

type Answer = Result<Response<Full<Bytes>>, Refusal>;

impl Https {
    /// Below `/devices/{id}/messages/devicebound`.
    pub(super) fn device_bound(&self, ask: &Ask, device: &Endpoint, below: &[&str]) -> Answer {
        let authorization = text(&ask.parts.headers, header::AUTHORIZATION);
        if (&ask.parts.method, below) == (&Method::GET, &[]) {
            let delivery = self.cloud.receive_c2d(device, authorization)?;
            return Ok(delivery.map_or_else(no_content, |delivery| shown(ask, &delivery)));
        }
        let (lock, outcome) = settled(ask, below)?;
        self.cloud.admit_device(device, authorization)?;
        self.cloud.settle_c2d(device, lock?, outcome).map(|()| no_content())
    }

    /// `DELETE /devices/{id}/commands`.
    pub(super) async fn commands(&self, ask: &Ask, device: &Endpoint) -> Reply {
        if let Some(reply) = stand(self.cloud.hub_weather(), || self.hub_error(&Refusal::unavailable())).await {
            return reply;
        }
        Ok(self.purge(ask, device).unwrap_or_else(|refusal| self.hub_error(&refusal)))
    }

    fn purge(&self, ask: &Ask, device: &Endpoint) -> Answer {
        query(ask, "api-version").ok_or_else(no_version)?;
        if ask.parts.method != Method::DELETE {
            return Err(not_allowed());
        }
        let authorization = text(&ask.parts.headers, header::AUTHORIZATION);
        let count = self.cloud.purge_c2d(device.hub, &device.device, authorization)?;
        let body = json!({"totalMessagesPurged": count, "deviceId": device.device, "moduleId": null});
        Ok(json(StatusCode::OK, &body))
    }

    /// Below `/messages/serviceBound/feedback`.
    pub(super) async fn feedback(&self, ask: &Ask, below: &[&str]) -> Reply {
        if let Some(reply) = stand(self.cloud.hub_weather(), || self.hub_error(&Refusal::unavailable())).await {
            return reply;
        }
        Ok(self.feedback_now(ask, below).unwrap_or_else(|refusal| self.hub_error(&refusal)))
    }

    fn feedback_now(&self, ask: &Ask, below: &[&str]) -> Answer {
        query(ask, "api-version").ok_or_else(no_version)?;
        let hub = self.hub_of(ask);
        self.cloud.admit_feedback(hub, text(&ask.parts.headers, header::AUTHORIZATION))?;
        if (&ask.parts.method, below) == (&Method::GET, &[]) {
            let batch = self.cloud.lock_feedback(hub);
            return Ok(batch.map_or_else(no_content, |batch| told(&batch, self.cloud.hub(hub).short_name())));
        }
        let (lock, outcome) = settled(ask, below)?;
        self.cloud.settle_feedback(hub, lock?, outcome).map(|()| no_content())
    }
}

/// What a request does to what it names, and by which lock.
fn settled(ask: &Ask, below: &[&str]) -> Result<(Result<Lock, Refusal>, Outcome), Refusal> {
    let (token, outcome) = match (&ask.parts.method, below) {
        (&Method::DELETE, [token]) if rejects(ask) => (token, Outcome::Reject),
        (&Method::DELETE, [token]) => (token, Outcome::Complete),
        (&Method::POST, [token, "abandon"]) => (token, Outcome::Abandon),
        (_, [] | [_] | [_, "abandon"]) => return Err(not_allowed()),
        _ => return Err(nothing()),
    };
    // SDKs name the lock twice, in the path and, with quotes or without, here.
    let again = text(&ask.parts.headers, header::IF_MATCH).map(|text| text.trim_matches('"'));
    let is_same = again.is_none_or(|again| again == "*" || again.eq_ignore_ascii_case(token));
    Ok((Lock::parse(token).filter(|_| is_same).ok_or_else(c2d::lock_lost), outcome))
}

/// `reject` stands there without a value.
fn rejects(ask: &Ask) -> bool {
    let mut parts = ask.parts.uri.query().unwrap_or_default().split('&');
    parts.any(|part| part.split('=').next().is_some_and(|key| key.eq_ignore_ascii_case("reject")))
}

fn shown(ask: &Ask, delivery: &c2d::Delivery) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(delivery.message.body.clone()));
    // As it stands in the path of the request, so that it is encoded as its device writes it.
    let device = ask.parts.uri.path().split('/').nth(2).unwrap_or_default();
    for (name, value) in hub::c2d::headers::of(delivery, device) {
        put(response.headers_mut(), &name, &value);
    }
    response
}

fn told(batch: &feedback::Batch, hub: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(batch.body().into()));
    let headers = [
        ("etag", format!("\"{}\"", batch.lock)),
        ("content-type", feedback::CONTENT_TYPE.to_owned()),
        ("iothub-messageid", batch.lock.to_string()),
        ("iothub-userid", hub.to_owned()),
        ("iothub-sequencenumber", batch.sequence.to_string()),
        ("iothub-enqueuedtime", timestamp(batch.enqueued_ms).to_string()),
        ("iothub-deliverycount", batch.delivery_count.to_string()),
    ];
    for (name, value) in headers {
        put(response.headers_mut(), name, &value);
    }
    response
}
