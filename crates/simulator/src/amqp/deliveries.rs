//! Messages of devices, taken and answered; events, handed out.
//!
//! Promises: a message stands in the record before it is accepted; one is answered at most once. No more messages of a
//! link wait for our word than it has credit, so a held back answer stops a sender and fills no memory.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::connection::{Delivery, LinkId, Outgoing};
use amqp::performative::DeliveryState;

use super::errors::{self, Hits};
use super::later::Job;
use super::links::{Kind, Link};
use super::pairs::Purpose;
use super::peer::{Fate, Peer, Scene};
use super::telemetry;
use crate::cloud::Accepted;
use crate::endpoint::Endpoint;
use crate::faults::{AmqpAction, LinkState, delay};
use crate::hub::Refusal;

/// What a reader is handed at a time; the reader bounds it by bytes too.
const EVENTS_AT_A_TIME: usize = 256;

/// What comes of a fault that met a message.
pub(super) enum Then {
    /// The message goes its way.
    GoesOn(Duration),
    /// It is answered so, and not looked at.
    Answered(DeliveryState),
    /// Nothing is said of it.
    Unanswered,
    /// It went down with its link.
    Gone,
}

impl Peer {
    pub(super) fn delivered(&mut self, link: LinkId, delivery: Delivery, scene: Scene<'_>) {
        match self.links.get(&link).map(|link| &link.kind) {
            Some(Kind::Requests(service)) => {
                let service = *service;
                self.requested(link, service, &delivery, scene);
            }
            Some(Kind::Telemetry(_)) => self.sent(link, &delivery, scene),
            Some(Kind::Half(half)) => match half.purpose {
                Purpose::Methods => self.answered_method(link, &delivery, scene),
                Purpose::Twin => self.asked_twin(link, &delivery, scene),
            },
            Some(Kind::Commands { .. }) => self.commanded(link, &delivery, scene),
            _ => {}
        }
    }

    fn sent(&mut self, link: LinkId, delivery: &Delivery, scene: Scene<'_>) {
        if self.stands_out(scene.cloud.manners().hub, scene) {
            return;
        }
        let Some(its) = self.telemetry(link) else { return };
        its.unanswered += u32::from(!delivery.settled);
        let (is_tried, planned, endpoint) =
            (std::mem::take(&mut its.is_tried), its.planned.take(), its.endpoint.clone());
        let action =
            if is_tried { planned } else { scene.cloud.amqp_action(LinkState::MidTransfer, Some(&endpoint.device)) };
        let wait = match self.meets(action, (link, &endpoint), scene) {
            Then::GoesOn(wait) => wait,
            Then::Answered(state) => return self.settle(link, delivery, state, Duration::ZERO, scene),
            Then::Unanswered => return self.top_up(link, scene),
            Then::Gone => return,
        };
        self.take(link, &endpoint, delivery, wait, scene);
    }

    fn take(&mut self, link: LinkId, endpoint: &Endpoint, delivery: &Delivery, wait: Duration, scene: Scene<'_>) {
        let Some(its) = self.telemetry(link) else { return };
        let sender = its.sender.clone();
        match scene.cloud.take(endpoint, &sender, telemetry::messages(delivery)) {
            Ok(Accepted::Answered) => self.accept(link, endpoint, delivery, wait, scene),
            Ok(Accepted::Lost) => self.fate = Some(Fate::Cut),
            Err(refusal) => self.refuse(link, delivery, &refusal, wait, scene),
        }
    }

    fn accept(&mut self, link: LinkId, endpoint: &Endpoint, delivery: &Delivery, wait: Duration, scene: Scene<'_>) {
        let action = scene.cloud.amqp_action(LinkState::Unsettled, Some(&endpoint.device));
        match self.meets(action, (link, endpoint), scene) {
            Then::GoesOn(more) => self.settle(link, delivery, DeliveryState::Accepted, wait + more, scene),
            Then::Answered(state) => self.settle(link, delivery, state, wait, scene),
            Then::Unanswered => self.top_up(link, scene),
            Then::Gone => {}
        }
    }

    fn refuse(&mut self, link: LinkId, delivery: &Delivery, refusal: &Refusal, wait: Duration, scene: Scene<'_>) {
        match errors::of(refusal, scene.stamp()) {
            (Hits::Message, error) => {
                self.settle(link, delivery, DeliveryState::Rejected(Some(error)), wait, scene);
            }
            (Hits::Link, error) => self.detach(link, true, Some(error), scene),
            (Hits::Device, error) => {
                let Some(endpoint) = self.telemetry(link).map(|its| its.endpoint.clone()) else { return };
                let state = DeliveryState::Rejected(Some(error.clone()));
                let wait = self.answers_after(wait, scene);
                self.settle_after(link, delivery, state, wait, scene);
                // Due at the same time, and done in this order.
                self.do_after(wait, Job::LetGo(Box::new((endpoint, error))), scene);
            }
        }
    }

    /// What a fault does to a message that is here.
    fn meets(&mut self, action: Option<AmqpAction>, (link, endpoint): (LinkId, &Endpoint), scene: Scene<'_>) -> Then {
        match action {
            None | Some(AmqpAction::Cbs { .. }) => Then::GoesOn(Duration::ZERO),
            Some(AmqpAction::Delay { ms }) => Then::GoesOn(delay(ms)),
            Some(AmqpAction::NoDisposition) => Then::Unanswered,
            Some(AmqpAction::Release) => Then::Answered(DeliveryState::Released),
            Some(AmqpAction::Modify) => Then::Answered(DeliveryState::Modified {
                delivery_failed: true,
                undeliverable_here: false,
                message_annotations: Default::default(),
            }),
            Some(AmqpAction::Reject { condition, description, info }) => {
                let error = super::trouble::error(&condition, description.as_deref(), &info, scene.stamp());
                Then::Answered(DeliveryState::Rejected(Some(error)))
            }
            Some(action) => {
                if let Some(session) = self.links.get(&link).map(|link| link.session) {
                    self.act(&action, (session, link, Some(endpoint)), scene);
                }
                Then::Gone
            }
        }
    }

    /// Answers a message after whatever there is to wait for.
    fn settle(&mut self, link: LinkId, delivery: &Delivery, state: DeliveryState, wait: Duration, scene: Scene<'_>) {
        let wait = self.answers_after(wait, scene);
        self.settle_after(link, delivery, state, wait, scene);
    }

    /// How long an answer takes that has so long to wait besides.
    fn answers_after(&self, wait: Duration, scene: Scene<'_>) -> Duration {
        let manners = scene.cloud.manners();
        wait + manners.hub.delay + manners.accept_delay
    }

    pub(super) fn settle_after(
        &mut self,
        link: LinkId,
        delivery: &Delivery,
        state: DeliveryState,
        wait: Duration,
        scene: Scene<'_>,
    ) {
        if delivery.settled {
            return self.top_up(link, scene);
        }
        self.do_after(wait, Job::Settle(link, delivery.id, state), scene);
    }

    pub(super) fn settle_now(&mut self, link: LinkId, delivery: u32, state: DeliveryState, scene: Scene<'_>) {
        self.engine.settle(link, delivery, state);
        if let Some(unanswered) = self.unanswered(link) {
            *unanswered = unanswered.saturating_sub(1);
            self.top_up(link, scene);
            self.meet_idle(link, scene);
        }
    }

    /// Messages of a link that wait for our word.
    fn unanswered(&mut self, link: LinkId) -> Option<&mut u32> {
        match &mut self.links.get_mut(&link)?.kind {
            Kind::Telemetry(its) => Some(&mut its.unanswered),
            Kind::Commands { unanswered } => Some(unanswered),
            _ => None,
        }
    }

    /// Grants credit when half of it is used, less what waits for an answer.
    pub(super) fn top_up(&mut self, link: LinkId, scene: Scene<'_>) {
        let most = scene.cloud.manners().credit;
        let left = self.engine.credit_left(link);
        let Some(unanswered) = self.unanswered(link) else { return };
        let free = most.saturating_sub(*unanswered);
        if left <= most / 2 && left < free {
            self.engine.credit(link, free);
        }
    }

    /// A message is under way whose end has not come.
    pub(super) fn is_in_transfer(&self, link: LinkId) -> bool {
        self.engine.is_receiving(link)
    }
}

/// The links on which events go out.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<LinkId>);

impl Sources {
    pub(super) fn add(&mut self, link: LinkId) {
        self.0.push(link);
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        self.0.retain(|one| *one != link);
    }

    /// The first credit opens a reader. How much it is the engine knows.
    pub(super) fn credit(&self, links: &mut BTreeMap<LinkId, Link>, link: LinkId, credit: u32) {
        if let Some(Kind::Reader(its)) = links.get_mut(&link).map(|link| &mut link.kind) {
            its.is_open |= credit > 0;
        }
    }
}

impl Peer {
    /// Hands events to readers whose last ones are written: so a reader that stops costs what it was handed, no more.
    pub(super) fn feed_readers(&mut self, scene: Scene<'_>) {
        let Self { readers, links, engine, hub, .. } = self;
        for link in &readers.0 {
            let Some(Kind::Reader(its)) = links.get_mut(link).map(|link| &mut link.kind) else { continue };
            if !its.is_open || engine.waiting(*link) > 0 {
                continue;
            }
            for payload in scene.cloud.events_for(*hub, &mut its.reader, EVENTS_AT_A_TIME) {
                engine.send(*link, Outgoing { settled: its.settled, ..Outgoing::message(payload) });
            }
        }
    }
}
