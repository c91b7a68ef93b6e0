//! Tokens that a connection holds: whose they are, until when, and what they open.
//!
//! Promises: whose token it is stands in the token (`sr`), not in what the client calls it. One that is put again takes
//! the earlier one's place. Does not know signatures: what comes in here was checked.

use std::collections::HashMap;

use crate::endpoint::{Endpoint, HubId};
use crate::sas::Token;

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A device or a module, with its own key.
    Endpoint(Endpoint),
    /// A policy of the hub, for everything below a path, in lower case.
    Policy { name: String, path: Vec<String> },
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) holder: Holder,
    /// Milliseconds since 1970.
    pub(crate) expires_ms: i64,
}

impl Grant {
    /// Whether it lets an endpoint in, and by what.
    pub(crate) fn opens(&self, endpoint: &Endpoint) -> Option<Key> {
        self.holder.opens(endpoint)
    }
}

/// Policies by what they may.
const CONNECTS_DEVICES: [&str; 2] = ["iothubowner", "device"];
const READS_EVENTS: [&str; 2] = ["iothubowner", "service"];

/// How a device was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// By its own key.
    Device,
    /// By one of the hub's.
    Hub,
}

/// More tokens than a connection may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// The tokens of one connection. As large as the bound that it is asked to keep.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<Holder, i64>);

impl Tokens {
    pub(super) fn put(&mut self, grant: Grant, most: usize) -> Result<(), TooMany> {
        if !self.0.contains_key(&grant.holder) && self.0.len() >= most {
            return Err(TooMany);
        }
        self.0.insert(grant.holder, grant.expires_ms);
        Ok(())
    }

    /// When the next one runs out.
    pub(super) fn next_expiry_ms(&self) -> Option<i64> {
        self.0.values().min().copied()
    }

    /// Forgets those that have run out; true when there were any.
    pub(super) fn expire(&mut self, now_ms: i64) -> bool {
        let before = self.0.len();
        self.0.retain(|_, expires_ms| *expires_ms > now_ms);
        self.0.len() < before
    }

    /// Forgets whatever lets an endpoint in.
    pub(super) fn forget(&mut self, endpoint: &Endpoint) {
        self.0.retain(|holder, _| holder.opens(endpoint).is_none());
    }

    /// Forgets the endpoint's own token: it was switched off or deleted.
    pub(super) fn forget_own(&mut self, endpoint: &Endpoint) {
        self.0.retain(|holder, _| !matches!(holder, Holder::Endpoint(own) if own == endpoint));
    }

    /// Whether an endpoint may have links here, and by what.
    pub(super) fn opens(&self, endpoint: &Endpoint) -> Option<Key> {
        if self.0.contains_key(&Holder::Endpoint(endpoint.clone())) {
            return Some(Key::Device);
        }
        self.0.keys().find_map(|holder| holder.opens(endpoint))
    }

    /// Whether events may be read at this path, words in lower case.
    pub(super) fn opens_events(&self, path: &[&str]) -> bool {
        self.0.keys().any(|holder| match holder {
            Holder::Endpoint(_) => false,
            Holder::Policy { name, path: granted } => READS_EVENTS.contains(&name.as_str()) && is_below(path, granted),
        })
    }

    /// Whether the service side may have a link at this path, words in lower case. Its policies are those that read events.
    pub(super) fn opens_service(&self, path: &[&str]) -> bool {
        self.opens_events(path)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Holder {
    fn opens(&self, endpoint: &Endpoint) -> Option<Key> {
        match self {
            Self::Endpoint(own) => (own == endpoint).then_some(Key::Device),
            Self::Policy { name, path } => {
                let wanted: Vec<String> = endpoint.path().iter().map(|word| word.to_ascii_lowercase()).collect();
                let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                (CONNECTS_DEVICES.contains(&name.as_str()) && is_below(&wanted, path)).then_some(Key::Hub)
            }
        }
    }
}

/// Whom a token says it is of, decoded, not believed; none for a policy's.
pub(super) fn named(hub: HubId, token: &str) -> Option<Endpoint> {
    let token = Token::parse(Some(token)).ok().filter(|token| token.policy.is_none())?;
    token.resources().into_iter().rev().find_map(|form| match form.as_slice() {
        [_, devices, id] if devices.eq_ignore_ascii_case("devices") => Some(Endpoint::device(hub, id)),
        [_, devices, id, _, module] if devices.eq_ignore_ascii_case("devices") => {
            Some(Endpoint::module(hub, id, module))
        }
        _ => None,
    })
}

/// By whole segments.
fn is_below(path: &[&str], granted: &[String]) -> bool {
    granted.len() <= path.len() && granted.iter().zip(path).all(|(granted, wanted)| granted == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str) -> Endpoint {
        Endpoint::device(HubId(0), id)
    }

    fn device(id: &str, expires_ms: i64) -> Grant {
        Grant { holder: Holder::Endpoint(endpoint(id)), expires_ms }
    }

    fn policy(name: &str, path: &[&str]) -> Grant {
        let path = path.iter().map(|one| (*one).to_owned()).collect();
        Grant { holder: Holder::Policy { name: name.to_owned(), path }, expires_ms: 100 }
    }

    fn with(grants: impl IntoIterator<Item = Grant>) -> Tokens {
        let mut tokens = Tokens::default();
        grants.into_iter().for_each(|grant| tokens.put(grant, 10).unwrap());
        tokens
    }

    #[test]
    fn a_device_opens_itself_and_a_policy_what_it_is_for() {
        let tokens = with([device("Dev1", 100)]);
        assert_eq!((tokens.opens(&endpoint("Dev1")), tokens.opens(&endpoint("dev1"))), (Some(Key::Device), None));
        assert!(!tokens.opens_events(&["hub", "$management"]));
        let tokens = with([policy("device", &[])]);
        assert_eq!(tokens.opens(&endpoint("any")), Some(Key::Hub));
        assert!(!tokens.opens_events(&["hub"]));
        assert_eq!(with([policy("device", &["devices", "d1"])]).opens(&endpoint("d2")), None);
        let tokens = with([policy("service", &["hub"])]);
        assert!(tokens.opens_events(&["hub", "$management"]) && !tokens.opens_events(&["hub2", "$management"]));
        assert_eq!(tokens.opens(&endpoint("d1")), None);
    }

    #[test]
    fn a_renewed_token_takes_no_second_place_and_counts_from_its_own_end() {
        let mut tokens = with([]);
        assert_eq!(tokens.put(device("a", 100), 1), Ok(()));
        assert_eq!(tokens.put(device("a", 200), 1), Ok(()));
        assert_eq!(tokens.put(device("b", 200), 1), Err(TooMany));
        assert!(!tokens.expire(150) && tokens.next_expiry_ms() == Some(200));
        assert!(tokens.expire(200) && tokens.next_expiry_ms().is_none());
    }
}
