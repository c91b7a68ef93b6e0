//! Which links are granted.
//!
//! Promises: every attach is answered by an attach that repeats both ends (azure-eventhub for Python falls over one that
//! does not); one that is refused is detached at once, with the reason.

use amqp::connection::{LinkId, SessionId, Terms};
use amqp::performative::{Attach, Error, ReceiverSettles, Role, SenderSettles};
use amqp::value::{Fields, Symbol, Value};

use super::address::{self, Node};
use super::errors::{self, Hits};
use super::handed::Handed;
use super::later::Job;
use super::links::{Answers, DeviceBound, Kind, Link, Reading, Service, Telemetry};
use super::pairs::Purpose;
use super::peer::{Peer, Scene};
use super::provisioning::{self, Registration};
use super::readers::{Seat, Wish};
use super::tokens::Key;
use crate::cloud::Sender;
use crate::endpoint::Endpoint;
use crate::faults::{AmqpAction, LinkState, delay};

/// Largest message that is taken, bytes; more ends the link. The real hub says so on every link.
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// What the real hub grants on `$cbs`.
pub(super) const REQUEST_CREDIT: u32 = 100;

/// A link as it is granted, and what the answer offers besides.
struct Grant {
    kind: Kind,
    offered: Vec<Symbol>,
}

impl From<Kind> for Grant {
    fn from(kind: Kind) -> Self {
        Self { kind, offered: Vec::new() }
    }
}

impl Peer {
    /// A client asks for a link. Faults and a slow hub come first.
    pub(super) fn attaching(&mut self, session: SessionId, link: LinkId, attach: Box<Attach>, scene: Scene<'_>) {
        let node = Node::parse(self.hub, address_of(&attach));
        let manners = scene.cloud.manners();
        let weather = match (&node, node.device()) {
            (node, None) if node.service_path().is_some() => manners.hub,
            (_, None) => return self.grant(session, link, &attach, scene),
            (Node::Registration { .. }, _) => manners.dps,
            _ => manners.hub,
        };
        if self.stands_out(weather, scene) {
            return;
        }
        let mut wait = weather.delay;
        let action = node.device().and_then(|device| scene.cloud.amqp_action(LinkState::Attach, Some(device)));
        match action {
            None => {}
            Some(AmqpAction::NoDisposition) => return,
            Some(AmqpAction::Delay { ms }) => wait += delay(ms),
            Some(action) if action.is_for_attach() => {
                self.engine.accept(link, answer(&attach, Vec::new()));
                scene.cloud.count_attach("refused");
                return self.act(&action, (session, link, node.endpoint()), scene);
            }
            Some(_) => {}
        }
        self.do_after(wait, Job::Attach(session, link, attach), scene);
    }

    /// Answers an attach.
    pub(super) fn grant(&mut self, session: SessionId, link: LinkId, attach: &Attach, scene: Scene<'_>) {
        match self.decide(link, attach, scene) {
            Ok(Grant { kind, offered }) => {
                scene.cloud.count_attach(kind.word());
                self.engine.accept(link, answer(attach, offered));
                self.links.insert(link, Link { session, kind });
                self.begin(link, scene);
            }
            Err(error) => {
                scene.cloud.count_attach("refused");
                scene.cloud.count_detaches(error.condition.as_str(), 1);
                self.engine.accept(link, answer(attach, Vec::new()));
                self.engine.detach(link, true, Some(error));
            }
        }
    }

    fn begin(&mut self, link: LinkId, scene: Scene<'_>) {
        match self.links.get(&link).map(|link| &link.kind) {
            Some(Kind::Requests(_)) => self.engine.credit(link, REQUEST_CREDIT),
            Some(Kind::Telemetry(_)) => {
                self.top_up(link, scene);
                self.meet_idle(link, scene);
            }
            Some(Kind::Half(_)) => self.begin_half(link, scene),
            Some(Kind::Reader(_)) => self.readers.add(link),
            Some(Kind::Commands { .. }) => self.top_up(link, scene),
            Some(Kind::DeviceBound(its)) => {
                let endpoint = its.endpoint.clone();
                self.tell_ears(&endpoint, scene);
                self.is_hungry(link);
            }
            Some(Kind::Feedback(_)) => {
                self.tell_feedback_ear(scene);
                self.is_hungry(link);
            }
            _ => {}
        }
    }

    fn decide(&mut self, link: LinkId, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        let sends = attach.role == Role::Sender;
        match (Node::parse(self.hub, address_of(attach)), sends) {
            (Node::Cbs, _) => self.service(Service::Cbs, attach),
            (Node::Telemetry(endpoint), true) => self.telemetry_link(endpoint, attach, scene),
            (Node::DeviceBound(endpoint), false) => {
                self.lets_have(&endpoint, scene)?;
                let claim = scene.cloud.own(&endpoint, self.id);
                let handed = Handed::new(settles(attach));
                Ok(Kind::DeviceBound(Box::new(DeviceBound { endpoint, claim, handed })).into())
            }
            (node @ (Node::Commands | Node::Feedback | Node::FileNotifications), sends) => {
                self.service_link(&node, sends, attach, scene)
            }
            (Node::Methods(endpoint), _) => Ok(self.half_link((Purpose::Methods, endpoint), attach, scene)?.into()),
            (Node::Twin(endpoint), _) => Ok(self.half_link((Purpose::Twin, endpoint), attach, scene)?.into()),
            (Node::Registration { scope, id }, _) => self.registration(&scope, &id, attach, scene),
            (Node::Management(entity), _) => self.management(entity.as_deref(), attach, scene),
            (Node::Partition(_), false) => self.reader(link, attach, scene),
            _ => Err(errors::no_such_address(address_of(attach), scene.stamp())),
        }
    }

    /// Whether an endpoint may have links on this connection, and by whose key.
    pub(super) fn lets_have(&self, endpoint: &Endpoint, scene: Scene<'_>) -> Result<Key, Error> {
        let key = self.tokens.opens(endpoint).ok_or_else(|| errors::unauthorized(scene.stamp()))?;
        scene.cloud.standing(endpoint).map_err(|refusal| errors::of(&refusal, scene.stamp()).1)?;
        // What a fault says of messages only is said when there is one.
        let refused = scene.cloud.refusal(endpoint).map(|refusal| errors::of(&refusal, scene.stamp()));
        match refused {
            Some((Hits::Link, error)) => Err(error),
            _ => Ok(key),
        }
    }

    fn telemetry_link(&mut self, endpoint: Endpoint, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        let key = self.lets_have(&endpoint, scene)?;
        let model_id = attach.properties.get("com.microsoft:model-id").and_then(Value::as_str).map(str::to_owned);
        let claim = scene.cloud.own(&endpoint, self.id);
        let telemetry = Telemetry {
            endpoint,
            claim,
            sender: Sender { key, model_id },
            unanswered: 0,
            is_tried: false,
            planned: None,
        };
        Ok(Kind::Telemetry(Box::new(telemetry)).into())
    }

    /// A link of the service side.
    fn service_link(&self, node: &Node, sends: bool, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        if !node.service_path().is_some_and(|path| self.tokens.opens_service(path)) {
            return Err(errors::unauthorized(scene.stamp()));
        }
        match (node, sends) {
            (Node::Commands, true) => Ok(Kind::Commands { unanswered: 0 }.into()),
            (Node::Feedback, false) => Ok(Kind::Feedback(Box::new(Handed::new(settles(attach)))).into()),
            (Node::FileNotifications, false) => Ok(Kind::FileNotifications.into()),
            _ => Err(errors::no_such_address(address_of(attach), scene.stamp())),
        }
    }

    fn registration(&mut self, scope: &str, id: &str, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        let is_its = |its: &&mut Registration| its.scope.eq_ignore_ascii_case(scope) && its.id.eq_ignore_ascii_case(id);
        // Who said nothing at the door, as a device with a certificate does, is refused where all are: at its request. Of
        // links that are refused Microsoft's SDK for Node does not always tell.
        let its = self.registration.get_or_insert_with(|| Registration::without_token(scope, id));
        let its = Some(its).filter(is_its).ok_or_else(|| errors::unauthorized(scene.stamp()))?;
        if let Some(version) = provisioning::api_version(&attach.properties) {
            its.api_version = Some(version.to_owned());
        }
        self.service(Service::Registration, attach)
    }

    /// One end of a pair. There is one pair of `$cbs` on a connection, and requests to provisioning have one sender.
    fn service(&self, service: Service, attach: &Attach) -> Result<Grant, Error> {
        let is_there = match attach.role {
            Role::Sender => self.requests(service).is_some(),
            Role::Receiver => self.answers(service, None).is_some(),
        };
        if is_there && service == Service::Cbs {
            let text = format!("A link to connection '{}' $cbs node has already been opened.", self.id);
            return Err(Error::new("amqp:not-allowed", text));
        }
        Ok(match attach.role {
            Role::Sender => Kind::Requests(service).into(),
            Role::Receiver => {
                let address = attach.target.as_ref().and_then(|target| target.address.clone());
                Kind::Answers(Answers { service, address, settled: settles(attach) }).into()
            }
        })
    }

    /// Under the hub's own words for the endpoint one is sent to it.
    fn management(&mut self, entity: Option<&str>, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        match entity {
            Some(entity) if address::is_built_in(entity) => Err(self.redirect(attach, scene)),
            Some(entity) if !scene.cloud.hub(self.hub).is_called_briefly(entity) => Err(not_found(entity)),
            entity => {
                let entity = entity.unwrap_or_else(|| scene.cloud.hub(self.hub).short_name()).to_ascii_lowercase();
                if self.tokens.opens_events(&[&entity, "$management"]) {
                    self.service(Service::Management, attach)
                } else {
                    Err(no_listen())
                }
            }
        }
    }

    fn reader(&mut self, link: LinkId, attach: &Attach, scene: Scene<'_>) -> Result<Grant, Error> {
        let Node::Partition(address) = Node::parse(self.hub, address_of(attach)) else { return Err(not_found("")) };
        if address::is_built_in(&address.entity) {
            return Err(self.redirect(attach, scene));
        }
        if !scene.cloud.hub(self.hub).is_called_briefly(&address.entity) {
            return Err(not_found(&address.entity));
        }
        let path = path_of(&[&address.entity, "consumergroups", &address.group, "partitions", &address.partition]);
        if !self.tokens.opens_events(&path.iter().map(String::as_str).collect::<Vec<_>>()) {
            return Err(no_listen());
        }
        let wish = Wish::read(address, attach)?;
        let reader = scene.cloud.open_reader(self.hub, &wish)?;
        let seat = Seat { key: (self.id, link), name: wish.name.clone(), epoch: wish.epoch };
        scene.cloud.directory().sit(self.hub, &wish.address.group, reader.partition, seat)?;
        let reading = Reading { reader, path, settled: settles(attach), is_open: false };
        Ok(Grant { kind: Kind::Reader(Box::new(reading)), offered: wish.offered_capabilities() })
    }

    /// Where the endpoint is. Asked for without a token one is not told.
    fn redirect(&self, attach: &Attach, scene: Scene<'_>) -> Error {
        let path = address::path(address_of(attach)).trim_matches('/');
        let below = path.splitn(3, '/').nth(2).unwrap_or_default();
        let words = path_of(&path.split('/').collect::<Vec<_>>());
        if !self.tokens.opens_events(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
            return errors::unauthorized(scene.stamp());
        }
        let (hub, port) = (scene.cloud.hub(self.hub), scene.cloud.amqp_port());
        let (host, name) = (hub.name(), hub.short_name());
        let info = Fields::default()
            .with("hostname", host)
            .with("network-host", host)
            .with("port", Value::Int(port.into()))
            .with("address", format!("amqps://{host}:{port}/{name}/{below}"));
        Error { condition: Symbol::known("amqp:link:redirect"), description: None, info }
    }
}

fn path_of(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| segment.to_ascii_lowercase()).collect()
}

/// The node's end of a link; the other is the client's own business.
fn address_of(attach: &Attach) -> &str {
    let address = match attach.role {
        Role::Sender => attach.target.as_ref().and_then(|target| target.address.as_deref()),
        Role::Receiver => attach.source.as_ref().and_then(|source| source.address.as_deref()),
    };
    address.unwrap_or_default()
}

/// What comes in is settled with its answer, whatever the client would like: Python's SDK for services asks for second and
/// waits for ever on one that is not settled.
fn answer(attach: &Attach, offered_capabilities: Vec<Symbol>) -> Terms {
    let rcv_settle_mode = match attach.role {
        Role::Sender => ReceiverSettles::First,
        Role::Receiver => attach.rcv_settle_mode,
    };
    Terms { rcv_settle_mode, max_message_size: Some(MESSAGE_BYTES_MAX), offered_capabilities, ..Terms::answer(attach) }
}

/// Whether what goes out on a link is settled: unless the client wants to answer.
fn settles(attach: &Attach) -> bool {
    attach.snd_settle_mode == SenderSettles::Settled
}

fn not_found(entity: &str) -> Error {
    let shown: String = entity.chars().take(128).collect();
    Error::new("amqp:not-found", format!("The messaging entity '{shown}' could not be found."))
}

fn no_listen() -> Error {
    let text = "Unauthorized access. 'Listen' claim(s) are required to perform this operation.";
    Error::new("amqp:unauthorized-access", text)
}
