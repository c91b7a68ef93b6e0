//! From the first byte to open: protocol headers, SASL, and the connection's parameters.

use std::time::Duration;

use bytes::Bytes;

use crate::frame::{self, FRAME_BYTES_MIN, Protocol};
use crate::performative::{Open, Performative};
use crate::sasl::{Init, Mechanism, Outcome, SaslFrame};
use crate::value::Symbol;

use super::{Broken, Connection, Ended, Event, broken};

/// Which end of the connection we are.
#[derive(Debug)]
pub(super) enum Side {
    Client(Mechanism),
    Server {
        mechanisms: Vec<Symbol>,
        /// Takes a client that leaves the SASL layer out.
        bare: bool,
    },
}

/// What is awaited from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A protocol header.
    Header,
    /// A frame of the SASL layer.
    Sasl,
    /// Our own user's word on the credentials.
    Authenticating,
    /// Open.
    Opening,
    /// Anything.
    Open,
    /// Close, because ours is out.
    Closing { since: Duration },
    /// Nothing any more.
    Over,
}

/// How large a SASL frame may be is not negotiated; the specification says 512 bytes, tokens need more.
const INITIAL_RESPONSE_BYTES_MAX: usize = 8192;

impl Connection {
    /// The client speaks first.
    pub(super) fn begin_handshake(&mut self) {
        let Side::Client(mechanism) = &self.side else { return };
        if mechanism.name().is_some() {
            frame::put_header(&mut self.out, Protocol::Sasl);
        } else {
            frame::put_header(&mut self.out, Protocol::Amqp);
            self.say_open();
        }
    }

    /// What stands there is no header of ours: say which one would have been, as the specification asks, and end.
    pub(super) fn foreign(&mut self) -> Broken {
        if let Side::Server { mechanisms, .. } = &self.side {
            let ours = if mechanisms.is_empty() { Protocol::Amqp } else { Protocol::Sasl };
            frame::put_header(&mut self.out, ours);
        }
        broken("amqp:connection:framing-error", "the peer does not speak AMQP 1.0")
    }

    pub(super) fn header(&mut self, protocol: Protocol) -> Result<(), Broken> {
        match (&self.side, protocol) {
            (Side::Client(mechanism), Protocol::Sasl) if mechanism.name().is_some() && !self.is_let_in => {
                self.stage = Stage::Sasl;
            }
            (Side::Client(Mechanism::None), Protocol::Amqp) => self.stage = Stage::Opening,
            // After SASL our header and open are out already.
            (Side::Client(_), Protocol::Amqp) if self.is_let_in => self.stage = Stage::Opening,
            (Side::Client(_), Protocol::Sasl) => self.not_authenticated("the server wants SASL and none was asked for"),
            (Side::Client(_), Protocol::Amqp) => self.not_authenticated("the server does not speak SASL"),
            (Side::Server { mechanisms, .. }, Protocol::Sasl) if !mechanisms.is_empty() && !self.is_let_in => {
                let offered = SaslFrame::Mechanisms(mechanisms.clone());
                frame::put_header(&mut self.out, Protocol::Sasl);
                frame::put_sasl(&mut self.out, &offered);
                self.stage = Stage::Sasl;
            }
            (Side::Server { bare, .. }, Protocol::Amqp) if *bare || self.is_let_in => {
                frame::put_header(&mut self.out, Protocol::Amqp);
                self.stage = Stage::Opening;
            }
            (Side::Server { .. }, _) => return Err(self.foreign()),
        }
        Ok(())
    }

    pub(super) fn sasl(&mut self, frame: SaslFrame) -> Result<(), Broken> {
        match (&self.side, frame) {
            (Side::Client(mechanism), SaslFrame::Mechanisms(offered)) => {
                let wanted = mechanism.name().unwrap_or_default();
                if !offered.iter().any(|one| one.as_str() == wanted) {
                    let offered: Vec<&str> = offered.iter().map(Symbol::as_str).collect();
                    let words = format!("the server offers {} and not {wanted}", offered.join(", "));
                    self.not_authenticated(&words);
                    return Ok(());
                }
                let init = Init {
                    mechanism: Symbol::from(wanted.to_owned()),
                    initial_response: initial_response(mechanism),
                    hostname: self.options.hostname.clone(),
                };
                frame::put_sasl(&mut self.out, &SaslFrame::Init(init));
            }
            (Side::Client(_), SaslFrame::Challenge(_)) => {
                frame::put_sasl(&mut self.out, &SaslFrame::Response(Bytes::new()));
            }
            (Side::Client(_), SaslFrame::Outcome(outcome, _)) => self.sasl_ended(outcome),
            (Side::Server { .. }, SaslFrame::Init(init)) => {
                let length = init.initial_response.as_ref().map_or(0, Bytes::len);
                if length > INITIAL_RESPONSE_BYTES_MAX {
                    return Err(broken("amqp:not-allowed", "the initial response is too long"));
                }
                self.stage = Stage::Authenticating;
                self.events.push_back(Event::Authenticating(init));
            }
            _ => return Err(broken("amqp:not-allowed", "this SASL frame has no place here")),
        }
        Ok(())
    }

    fn sasl_ended(&mut self, outcome: Outcome) {
        if outcome != Outcome::Ok {
            return self.not_authenticated(&format!("the server refused the credentials ({outcome:?})"));
        }
        self.is_let_in = true;
        frame::put_header(&mut self.out, Protocol::Amqp);
        self.say_open();
        self.stage = Stage::Header;
    }

    fn not_authenticated(&mut self, words: &str) {
        self.over(Ended::NotAuthenticated(words.to_owned()));
    }

    /// At a server: what the client said in [`Event::Authenticating`] is good, or not.
    pub fn authenticate(&mut self, good: bool) {
        if self.stage != Stage::Authenticating {
            return;
        }
        let outcome = if good { Outcome::Ok } else { Outcome::Auth };
        frame::put_sasl(&mut self.out, &SaslFrame::Outcome(outcome, None));
        if good {
            self.is_let_in = true;
            self.stage = Stage::Header;
            self.read();
        } else {
            self.not_authenticated("the credentials are refused");
        }
    }

    fn say_open(&mut self) {
        let options = &self.options;
        let open = Open {
            container_id: options.container_id.clone(),
            hostname: options.hostname.clone(),
            max_frame_size: options.max_frame_size,
            channel_max: options.channel_max,
            idle_time_out: options
                .silence_max
                .map(|most| u32::try_from((most / 2).as_millis()).unwrap_or(u32::MAX).max(1)),
            offered_capabilities: options.offered_capabilities.clone(),
            desired_capabilities: Vec::new(),
            properties: options.properties.clone(),
        };
        frame::put_frame(&mut self.out, 0, &Performative::Open(open), &[]);
    }

    pub(super) fn opened(&mut self, open: Open) -> Result<(), Broken> {
        if open.max_frame_size < FRAME_BYTES_MIN {
            return Err(broken("amqp:invalid-field", "max-frame-size is at least 512"));
        }
        if matches!(self.side, Side::Server { .. }) {
            self.say_open();
        }
        let most = self.options.max_frame_size.max(FRAME_BYTES_MIN);
        // Larger frames than we would take ourselves are of no use, and would make us hold more.
        self.peer.frame_bytes_max = open.max_frame_size.min(most) as usize;
        self.peer.channel_max = open.channel_max;
        self.peer.silence_max = open.idle_time_out.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(u64::from(ms)));
        if self.by_channel.len() > usize::from(open.channel_max) + 1 {
            return Err(broken("amqp:not-allowed", "more sessions were begun than the peer takes"));
        }
        self.stage = Stage::Open;
        let held = std::mem::take(&mut self.held);
        self.out.unsplit(held);
        self.events.push_back(Event::Opened(Box::new(open)));
        Ok(())
    }
}

fn initial_response(mechanism: &Mechanism) -> Option<Bytes> {
    match mechanism {
        Mechanism::None | Mechanism::External | Mechanism::Mssbcbs => Some(Bytes::new()),
        Mechanism::Anonymous => Some(Bytes::from_static(b"anonymous")),
        Mechanism::Plain { user, password } => Some(Bytes::from(format!("\0{user}\0{password}"))),
    }
}
