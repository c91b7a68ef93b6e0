//! The line of devices that are to be registered, served one after another at the pace of their scope.

use std::sync::Arc;
use std::time::Duration;

use queue::UnixMillis;
use tokio::sync::OwnedSemaphorePermit;

use super::line::{Because, Joined};
use super::scope::{Scope, Step, TELL_EVERY};
use super::{Applicant, Provision, State};
use crate::events::Event;
use crate::world::Point;

/// A registration that has begun. Dropping it ends it, whatever came of it: the device may ask again, and its lane looks
/// at once.
struct UnderWay {
    provision: Arc<Provision>,
    applicant: Applicant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Applicant { name, lane, .. } = &self.applicant;
        if let Some(scope) = self.provision.state().scope(name) {
            scope.line.ended(&name.id);
        }
        self.provision.queue.wake(lane);
    }
}

/// Whoever serves a line. Should it panic, the next device to join finds nobody serving.
struct Serving<'a> {
    provision: &'a Provision,
    scope: &'a str,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(scope) = self.provision.state().scopes.get_mut(self.scope)
        {
            scope.is_served = false;
        }
    }
}

impl Provision {
    /// Registers a device in the background, once however often it is asked for. Its lane was released before.
    pub fn start(self: &Arc<Self>, applicant: Applicant) {
        self.join(applicant, Because::MessageWaits);
    }

    /// As [`Provision::start`], for a device that has not sent anything yet: after all that have.
    pub fn ahead(self: &Arc<Self>, applicant: Applicant) -> Joined {
        self.join(applicant, Because::Asked)
    }

    fn join(self: &Arc<Self>, applicant: Applicant, because: Because) -> Joined {
        let per_minute = self.registrars.per_minute(&applicant.target);
        let mut state = self.state();
        if state.assigned.contains_key(&applicant.name) {
            drop(state);
            self.queue.wake(&applicant.lane);
            return Joined::InLine;
        }
        let name = applicant.name.scope.clone();
        let State { scopes, begun, begun_at, .. } = &mut *state;
        let new = || {
            let mut times: Vec<_> = begun_at.remove(&name).into_iter().flatten().flat_map(|(_, times)| times).collect();
            times.sort_unstable();
            Scope::new(per_minute, &times)
        };
        let scope = scopes.entry(name.clone()).or_insert_with(new);
        if begun.remove(&applicant.name) && scope.line.begin_at_once(&applicant.name.id) {
            drop(state);
            let this = self.clone();
            tokio::spawn(async move { this.resume(applicant, because).await });
            return Joined::InLine;
        }
        let joined = scope.line.join(applicant, because);
        let is_served = std::mem::replace(&mut scope.is_served, true);
        drop(state);
        if !is_served {
            let this = self.clone();
            tokio::spawn(async move { this.serve(&name).await });
        }
        joined
    }

    /// Asks what came of a registration that the process before began: to begin it anew would cost a second one. Looking
    /// up has no part in the pace.
    async fn resume(self: Arc<Self>, applicant: Applicant, because: Because) {
        let Some(permits) = self.state().scope(&applicant.name).map(|scope| scope.under_way.clone()) else { return };
        let Ok(_permit) = permits.acquire_owned().await else { return };
        let Applicant { name, target, .. } = &applicant;
        let key = self.key_in_use(name);
        let found = self.registrars.look_up(target, key, &name.id, &self.world).await;
        self.world.point(Point::ProvisionAnswered).await;
        match found {
            Some(assigned) => {
                let under_way = UnderWay { provision: self.clone(), applicant, _permit };
                self.assign(&under_way.applicant, assigned).await;
            }
            None => {
                if let Some(scope) = self.state().scope(name) {
                    scope.line.leave(&name.id);
                }
                self.join(applicant, because);
            }
        }
    }

    /// Registers one after another until nobody stands in line.
    async fn serve(self: Arc<Self>, scope: &str) {
        let _serving = Serving { provision: &self, scope };
        let permits = self.state().scopes.get(scope).map(|scope| scope.under_way.clone());
        let Some(permits) = permits else { return };
        while let Ok(permit) = permits.clone().acquire_owned().await {
            match self.next(scope) {
                Step::Register(applicant) => {
                    let under_way = UnderWay { provision: self.clone(), applicant, _permit: permit };
                    tokio::spawn(async move { under_way.provision.register(&under_way.applicant).await });
                }
                Step::Wait(at) => {
                    drop(permit);
                    // Not so long that nobody hears how far it is.
                    self.sleep_until(at.min(self.world.steady() + TELL_EVERY)).await;
                }
                Step::Done => return,
            }
        }
    }

    fn next(&self, name: &str) -> Step {
        let now = self.world.steady();
        let mut state = self.state();
        let Some(scope) = state.scopes.get_mut(name) else { return Step::Done };
        let step = scope.next(now);
        // Under the same lock as the look at the line: who joins later finds nobody serving.
        scope.is_served = !matches!(step, Step::Done);
        let news = matches!(step, Step::Wait(_)).then(|| scope.news(name, now)).flatten();
        drop(state);
        if let Some(progress) = news {
            self.events.emit(Event::Provisioning { progress: &progress });
        }
        step
    }

    async fn sleep_until(&self, at: UnixMillis) {
        tokio::time::sleep(Duration::from_millis((at - self.world.steady()).max(1).unsigned_abs())).await;
    }

    /// Waits for the pace (at most so many in any minute for one scope) and for a scope that works.
    pub(super) async fn take_turn(&self, applicant: &Applicant) {
        loop {
            let now = self.world.steady();
            let turn = self.state().scope(&applicant.name).map_or(Ok(()), |scope| scope.take(now));
            let Err(at) = turn else { return };
            self.sleep_until(at).await;
        }
    }
}
