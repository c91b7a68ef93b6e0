//! What a client says of itself before it opens the connection.

use amqp::sasl::Init;
use amqp::value::Symbol;

/// What is offered. uamqp insists on the first; X.509 clients use the last.
pub(super) const MECHANISMS: [&str; 4] = ["MSSBCBS", "PLAIN", "ANONYMOUS", "EXTERNAL"];

/// Who it says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Tokens follow.
    Nothing,
    /// A device that wants to be registered; its token is looked at with each request.
    Registration { scope: String, id: String, token: String },
    /// A device of this hub.
    Device { id: String, hub: String, token: String },
    /// A policy of this hub.
    Policy { name: String, hub: String, token: String },
    /// Something that no client of ours says.
    Nonsense,
}

pub(super) fn mechanisms() -> Vec<Symbol> {
    MECHANISMS.map(Symbol::known).into()
}

pub(super) fn read(init: &Init) -> Says {
    match init.mechanism.as_str() {
        "MSSBCBS" | "ANONYMOUS" | "EXTERNAL" => Says::Nothing,
        "PLAIN" => plain(init.initial_response.as_deref().unwrap_or_default()).unwrap_or(Says::Nonsense),
        _ => Says::Nonsense,
    }
}

/// `[authorization identity] NUL user NUL password` (RFC 4616).
fn plain(response: &[u8]) -> Option<Says> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0').skip(1);
    let (user, token) = (parts.next()?, parts.next()?.to_owned());
    if parts.next().is_some() {
        return None;
    }
    if let Some((scope, id)) = user.split_once("/registrations/") {
        return Some(Says::Registration { scope: scope.to_owned(), id: id.to_owned(), token });
    }
    if let Some((name, hub)) = user.rsplit_once("@sas.root.") {
        return Some(Says::Policy { name: name.to_owned(), hub: hub.to_owned(), token });
    }
    let (id, hub) = user.rsplit_once("@sas.")?;
    Some(Says::Device { id: id.to_owned(), hub: hub.to_owned(), token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(mechanism: &'static str, response: &'static str) -> Says {
        let initial_response = Some(bytes::Bytes::from_static(response.as_bytes()));
        read(&Init { mechanism: mechanism.into(), initial_response, hostname: None })
    }

    #[test]
    fn each_user_name_is_read_as_what_it_is() {
        let (token, hub) = ("t".to_owned(), "hub1".to_owned());
        let registration = Says::Registration { scope: "0ne".to_owned(), id: "eui-1".to_owned(), token: token.clone() };
        assert_eq!(says("PLAIN", "\x000ne/registrations/eui-1\0t"), registration);
        let device = Says::Device { id: "d@x".to_owned(), hub: hub.clone(), token: token.clone() };
        assert_eq!(says("PLAIN", "\0d@x@sas.hub1\0t"), device);
        assert_eq!(says("PLAIN", "\0owner@sas.root.hub1\0t"), Says::Policy { name: "owner".to_owned(), hub, token });
    }

    #[test]
    fn who_brings_tokens_later_is_let_in_and_nonsense_is_not() {
        for mechanism in ["MSSBCBS", "ANONYMOUS", "EXTERNAL"] {
            assert_eq!(says(mechanism, "anything"), Says::Nothing);
        }
        for response in ["", "user", "\0user\0", "\0d@sas.hub\0t\0more"] {
            assert!(matches!(says("PLAIN", response), Says::Nonsense), "{response:?}");
        }
        assert_eq!(says("TPM", ""), Says::Nonsense);
    }
}
