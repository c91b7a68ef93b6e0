//! Requests on one link, answers on another: put-token, provisioning, management.
//!
//! Promises: every request is settled, and answered where there is a link for answers. No more requests are taken while
//! as many answers wait for credit as requests have.

use std::time::Duration;

use amqp::connection::{Delivery, LinkId, Outgoing};
use amqp::message::Message;
use amqp::performative::DeliveryState;
use bytes::Bytes;

use super::attach::REQUEST_CREDIT;
use super::cbs::{self, Outcome};
use super::errors;
use super::later::Job;
use super::links::{Kind, Service};
use super::peer::{Peer, Scene};
use super::provisioning;
use super::tokens::{Grant, TooMany, named};
use crate::cloud::DpsCall;
use crate::faults::{AmqpAction, LinkState, delay};
use crate::hub::Refusal;

impl Peer {
    pub(super) fn requested(&mut self, link: LinkId, service: Service, delivery: &Delivery, scene: Scene<'_>) {
        match Message::decode(&delivery.payload) {
            Ok(request) => match service {
                Service::Cbs => self.put_token(link, delivery, &request, scene),
                Service::Registration => self.provision(link, delivery, &request, scene),
                Service::Management => self.manage(link, delivery, &request, scene),
            },
            Err(error) => {
                let refusal = Refusal::not_json(&format!("The message cannot be read: {error}"));
                let error = errors::of(&refusal, scene.stamp()).1;
                self.settle_request(link, delivery, DeliveryState::Rejected(Some(error)));
            }
        }
        self.top_up_requests(service);
    }

    fn settle_request(&mut self, link: LinkId, delivery: &Delivery, state: DeliveryState) {
        if !delivery.settled {
            self.engine.settle(link, delivery.id, state);
        }
    }

    fn put_token(&mut self, link: LinkId, delivery: &Delivery, request: &Message, scene: Scene<'_>) {
        self.settle_request(link, delivery, DeliveryState::Accepted);
        let weather = scene.cloud.manners().hub;
        let token = cbs::token(request);
        let endpoint = token.as_ref().ok().and_then(|token| named(self.hub, token));
        let device = endpoint.as_ref().map(|endpoint| endpoint.device.clone());
        // The endpoint's tokens are not the hub's: it goes on when the hub is away.
        if device.is_some() && self.stands_out(weather, scene) {
            return;
        }
        let mut wait = if device.is_some() { weather.delay } else { Duration::ZERO };
        let mut wanted = None;
        let mut ends = None;
        match scene.cloud.amqp_action(LinkState::Cbs, device.as_deref()) {
            None => {}
            Some(AmqpAction::NoDisposition) => return,
            Some(AmqpAction::Delay { ms }) => wait += delay(ms),
            Some(AmqpAction::Cbs { status, description }) => {
                wanted = Some(Outcome::new(status, description.unwrap_or_else(|| "Refused on request".to_owned())));
            }
            Some(action @ AmqpAction::ExpireToken) => ends = Some(action),
            Some(action) if action.is_for_attach() => {
                let Some(session) = self.links.get(&link).map(|link| link.session) else { return };
                return self.act(&action, (session, link, endpoint.as_ref()), scene);
            }
            Some(_) => {}
        }
        let outcome = wanted.unwrap_or_else(|| match token.and_then(|token| self.take_token(token, scene)) {
            Ok(()) => Outcome::ok(),
            Err(outcome) => outcome,
        });
        scene.cloud.count_put_token(outcome.status);
        self.reply(Service::Cbs, request, cbs::answer(request, outcome), wait, scene);
        if let (Some(action), Some(session)) = (ends, self.links.get(&link).map(|link| link.session)) {
            self.act(&action, (session, link, endpoint.as_ref()), scene);
        }
    }

    fn take_token(&mut self, token: &str, scene: Scene<'_>) -> Result<(), Outcome> {
        let grant: Grant = scene.cloud.put_token(self.hub, token)?;
        let most = scene.cloud.manners().tokens_max;
        self.tokens.put(grant, most).map_err(|TooMany| Outcome::too_many(most))
    }

    fn provision(&mut self, link: LinkId, delivery: &Delivery, request: &Message, scene: Scene<'_>) {
        let Some(its) = self.registration.clone() else { return };
        let weather = scene.cloud.manners().dps;
        if self.stands_out(weather, scene) {
            return;
        }
        let call = DpsCall {
            api_version: its.api_version.as_deref(),
            scope: &its.scope,
            registration_id: &its.id,
            authorization: Some(&its.token),
        };
        match provisioning::answer(scene.cloud, &call, request, &scene.random().guid()) {
            Ok(answer) => {
                self.settle_request(link, delivery, DeliveryState::Accepted);
                self.reply(Service::Registration, request, answer.to_bytes(), weather.delay, scene);
            }
            Err(error) if !delivery.settled => {
                let state = DeliveryState::Rejected(Some(error));
                self.do_after(weather.delay, Job::Settle(link, delivery.id, state), scene);
            }
            Err(_) => {}
        }
    }

    fn manage(&mut self, link: LinkId, delivery: &Delivery, request: &Message, scene: Scene<'_>) {
        self.settle_request(link, delivery, DeliveryState::Accepted);
        let entity = scene.cloud.hub(self.hub).short_name().to_ascii_lowercase();
        let is_allowed = self.tokens.opens_events(&[&entity, "$management"]);
        let Some(answer) = scene.cloud.manage(self.hub, request, is_allowed) else { return };
        self.reply(Service::Management, request, answer.to_bytes(), Duration::ZERO, scene);
    }

    fn reply(&mut self, service: Service, request: &Message, payload: Bytes, wait: Duration, scene: Scene<'_>) {
        self.do_after(wait, Job::Reply(service, request.properties.reply_to.clone(), payload), scene);
    }

    pub(super) fn reply_now(&mut self, service: Service, reply_to: Option<&str>, payload: Bytes) {
        if let Some((link, settled)) = self.answers(service, reply_to) {
            self.engine.send(link, Outgoing { settled, ..Outgoing::message(payload) });
        }
    }

    /// A delivery of ours has its fate: there may be room for more requests.
    pub(super) fn answered(&mut self, link: LinkId) {
        if let Some(Kind::Answers(its)) = self.links.get(&link).map(|link| &link.kind) {
            self.top_up_requests(its.service);
        }
    }

    fn top_up_requests(&mut self, service: Service) {
        let waiting = self.answers(service, None).map_or(0, |(link, _)| self.engine.waiting(link));
        let all = self.links.iter().filter(|(_, link)| matches!(link.kind, Kind::Requests(its) if its == service));
        let all: Vec<LinkId> = all.map(|(id, _)| *id).collect();
        for link in all {
            if waiting < REQUEST_CREDIT as usize && self.engine.credit_left(link) <= REQUEST_CREDIT / 2 {
                self.engine.credit(link, REQUEST_CREDIT);
            }
        }
    }
}
