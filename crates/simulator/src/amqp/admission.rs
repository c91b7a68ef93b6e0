//! Who is there, and for how long: credentials before open, and tokens that run out.

use std::collections::BTreeSet;

use amqp::connection::LinkId;
use amqp::sasl::Init;

use super::errors;
use super::links::Kind;
use super::peer::{Peer, Scene};
use super::provisioning::Registration;
use super::sasl::{self, Says};
use super::tokens::{Grant, Holder};
use crate::directory::Claim;
use crate::endpoint::Endpoint;

impl Peer {
    /// Whether a client may go on to open.
    pub(super) fn lets_in(&mut self, init: &Init, scene: Scene<'_>) -> bool {
        match sasl::read(init) {
            Says::Nothing => true,
            Says::Registration { scope, id, token } => {
                self.registration = Some(Registration { scope, id, token, api_version: None });
                true
            }
            Says::Device { id, hub, token } => self.holds(
                &hub,
                &token,
                scene,
                |holder| matches!(holder, Holder::Endpoint(its) if its.to_string() == id),
            ),
            Says::Policy { name, hub, token } => self.holds(
                &hub,
                &token,
                scene,
                |holder| matches!(holder, Holder::Policy { name: signer, .. } if *signer == name),
            ),
            Says::Nonsense => false,
        }
    }

    /// Takes a token for the whole connection.
    fn holds(&mut self, hub: &str, token: &str, scene: Scene<'_>, is_its: impl FnOnce(&Holder) -> bool) -> bool {
        let Some(hub) = scene.cloud.hub_named_briefly(hub) else { return false };
        let Ok(Grant { holder, expires_ms }) = scene.cloud.put_token(hub, token) else { return false };
        if !is_its(&holder) {
            return false;
        }
        self.hub = hub;
        self.expires_ms = Some(expires_ms);
        self.tokens.put(Grant { holder, expires_ms }, 1).is_ok()
    }

    /// Tokens that have run out take the links with them that they opened.
    pub(super) fn expire(&mut self, scene: Scene<'_>) {
        if self.expires_ms.is_some_and(|at_ms| at_ms <= scene.now_ms) {
            self.expires_ms = None;
            count_run_out(self.links.values().filter_map(|link| link.kind.owner()), scene);
            return self.engine.close(Some(errors::token_invalid()), scene.at);
        }
        if !self.tokens.expire(scene.now_ms) {
            return;
        }
        let is_shut = |kind: &Kind| match kind {
            Kind::Reader(its) => !self.tokens.opens_events(&its.path.iter().map(String::as_str).collect::<Vec<_>>()),
            kind if kind.service_path().is_some_and(|path| !self.tokens.opens_service(path)) => true,
            kind => kind.owner().is_some_and(|(endpoint, _)| self.tokens.opens(endpoint).is_none()),
        };
        let shut: Vec<LinkId> = self.links.iter().filter(|(_, link)| is_shut(&link.kind)).map(|(id, _)| *id).collect();
        count_run_out(shut.iter().filter_map(|id| self.links.get(id)?.kind.owner()), scene);
        self.detach_all(shut, &Some(errors::token_invalid()), true, scene);
    }
}

/// Once for each whose links these are.
fn count_run_out<'l>(owners: impl Iterator<Item = (&'l Endpoint, Claim)>, scene: Scene<'_>) {
    let owners: BTreeSet<&Endpoint> = owners.map(|(endpoint, _)| endpoint).collect();
    owners.into_iter().for_each(|endpoint| scene.cloud.count_run_out(endpoint));
}
