//! SASL frames (specification, part 5.3) and the mechanisms that are spoken here.

use bytes::Bytes;

use crate::value::Symbol;

/// What a SASL frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum SaslFrame {
    /// The server's mechanisms, best first.
    Mechanisms(Vec<Symbol>),
    /// The client's choice.
    Init(Init),
    /// The server asks.
    Challenge(Bytes),
    /// The client answers.
    Response(Bytes),
    /// How it ended.
    Outcome(Outcome, Option<Bytes>),
}

/// A client's choice.
#[derive(Clone, PartialEq)]
pub struct Init {
    /// The mechanism.
    pub mechanism: Symbol,
    /// What it says first. May be a secret.
    pub initial_response: Option<Bytes>,
    /// The host that is meant.
    pub hostname: Option<String>,
}

impl std::fmt::Debug for Init {
    /// Without the response.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Init").field("mechanism", &self.mechanism).field("hostname", &self.hostname).finish()
    }
}

/// How authentication ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Come in (0).
    Ok,
    /// Wrong credentials (1).
    Auth,
    /// The server's trouble (2).
    Sys,
    /// The server's trouble for good (3).
    SysPerm,
    /// The server's trouble for now (4).
    SysTemp,
}

/// How a client says who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Mechanism {
    /// No SASL layer at all: the AMQP header comes first.
    None,
    /// Nobody in particular.
    Anonymous,
    /// By name and password.
    Plain {
        /// Authentication identity.
        user: String,
        /// A secret.
        password: String,
    },
    /// By the TLS certificate.
    External,
    /// By tokens later, on the `$cbs` node.
    Mssbcbs,
}

impl Mechanism {
    /// As the wire spells it; none without a SASL layer.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Anonymous => Some("ANONYMOUS"),
            Self::Plain { .. } => Some("PLAIN"),
            Self::External => Some("EXTERNAL"),
            Self::Mssbcbs => Some("MSSBCBS"),
        }
    }
}

impl std::fmt::Debug for Mechanism {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name().unwrap_or("none"))
    }
}
