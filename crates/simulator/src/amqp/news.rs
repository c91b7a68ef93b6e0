//! What others did: another connection took a device, somebody switched one off, faults were set, the time was
//! put forward.

use super::errors;
use super::peer::{Fate, Peer, Scene};
use crate::directory::Notes;
use crate::endpoint::Endpoint;
use crate::faults::{AllConnections, Gateway, Outage, Weather};

impl Peer {
    pub(super) fn notes(&mut self, notes: Notes, scene: Scene<'_>) {
        match notes.all {
            Some(AllConnections::Drop) => self.fate = Some(Fate::Reset),
            Some(AllConnections::HalfOpen) => self.fate = Some(Fate::Silent),
            None => {}
        }
        if notes.time {
            self.expire(scene);
        }
        for (endpoint, claim) in notes.stolen {
            let older = self.links_of(&endpoint, Some(claim));
            self.detach_all(older, &Some(errors::stolen(scene.stamp())), true, scene);
        }
        for endpoint in notes.changed {
            self.look_again(&endpoint, scene);
        }
        for (link, error) in notes.unseated {
            if self.links.contains_key(&link) {
                self.detach(link, true, Some(error), scene);
            }
        }
        for (endpoint, call) in notes.calls {
            self.call_method(&endpoint, call, scene);
        }
        for (endpoint, change) in notes.desired {
            self.tell_desired(&endpoint, change, scene);
        }
        for endpoint in notes.c2d {
            for link in self.links_of(&endpoint, None) {
                self.is_hungry(link);
            }
        }
        if notes.feedback {
            self.all_are_hungry();
        }
        if notes.faults {
            // Messages that a fault held back.
            self.all_are_hungry();
            self.meet_faults(scene);
        }
        self.work(scene);
    }

    /// A device that may not have links any more loses them. One that is switched off is not told why.
    fn look_again(&mut self, endpoint: &Endpoint, scene: Scene<'_>) {
        let Err(refusal) = scene.cloud.standing(endpoint) else { return };
        self.tokens.forget_own(endpoint);
        let links = self.links_of(endpoint, None);
        if refusal.status == 403 {
            let closed = scene.cloud.manners().gateway == Gateway::Gwv1;
            self.detach_all(links, &None, closed, scene);
        } else {
            self.detach_all(links, &Some(errors::of(&refusal, scene.stamp()).1), true, scene);
        }
    }

    fn meet_faults(&mut self, scene: Scene<'_>) {
        let manners = scene.cloud.manners();
        let of_hub = !self.tokens.is_empty();
        let is_out = (of_hub && self.stands_out(manners.hub, scene))
            || (self.registration.is_some() && self.stands_out(manners.dps, scene));
        if is_out {
            return;
        }
        for link in self.telemetry_links() {
            self.top_up(link, scene);
            self.meet_idle(link, scene);
        }
    }

    /// Whether the service is away; then the connection is as well.
    pub(super) fn stands_out(&mut self, weather: Weather, scene: Scene<'_>) -> bool {
        match weather.outage {
            None => return false,
            Some(Outage::Unavailable) => {
                let error = errors::wanted("amqp:connection:forced", None, scene.stamp());
                self.engine.close(Some(error), scene.at);
            }
            Some(Outage::Close) => self.fate = Some(Fate::Cut),
            Some(Outage::Hang) => self.fate = Some(Fate::Silent),
        }
        true
    }
}
