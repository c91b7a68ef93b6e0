//! Waiting until somebody listens for the methods of an endpoint.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::Directory;
use crate::endpoint::Endpoint;

/// Endpoints that are waited for. Each costs about 200 bytes, and somebody's open request, which costs more.
const WANTS_MAX: usize = 4096;

/// Somebody waits; dropped they do not.
struct Want<'a> {
    directory: &'a Directory,
    endpoint: &'a Endpoint,
    bell: Arc<Notify>,
}

impl Directory {
    /// Waits so long for a listener. False when there is none then, or so many wait that nobody else may.
    pub(crate) async fn hears_methods_within(&self, endpoint: &Endpoint, within: Duration) -> bool {
        let Some(want) = self.want(endpoint) else { return self.hears_methods(endpoint) };
        tokio::time::timeout(within, want.fulfilled()).await.is_ok()
    }

    fn hears_methods(&self, endpoint: &Endpoint) -> bool {
        self.inner().owners.get(endpoint).is_some_and(|owner| owner.ears.methods)
    }

    fn want<'a>(&'a self, endpoint: &'a Endpoint) -> Option<Want<'a>> {
        let mut inner = self.inner();
        if inner.wants.len() >= WANTS_MAX && !inner.wants.contains_key(endpoint) {
            return None;
        }
        let bell = Arc::clone(inner.wants.entry(endpoint.clone()).or_default());
        Some(Want { directory: self, endpoint, bell })
    }
}

impl Want<'_> {
    async fn fulfilled(&self) {
        loop {
            let mut rings = pin!(self.bell.notified());
            rings.as_mut().enable(); // before the look, so that nothing falls between
            if self.directory.hears_methods(self.endpoint) {
                return;
            }
            rings.await;
        }
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        let mut inner = self.directory.inner();
        // Ours and the table's: nobody else waits.
        if Arc::strong_count(&self.bell) <= 2 {
            inner.wants.remove(self.endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Ears;
    use crate::directory::tests::directory;
    use crate::endpoint::HubId;

    const METHODS: Ears = Ears { c2d: false, methods: true, desired: false };

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_device_is_told_when_it_listens() {
        let directory = directory();
        let d1 = Endpoint::device(HubId(0), "d1");
        let (me, _mailbox) = directory.join();
        let waits = directory.hears_methods_within(&d1, Duration::from_secs(10));
        let comes = async {
            directory.own(&d1, me);
            directory.listen(&d1, me, Ears { c2d: true, ..Ears::default() });
            tokio::time::sleep(Duration::from_secs(9)).await;
            directory.listen(&d1, me, METHODS);
        };
        assert!(tokio::join!(waits, comes).0);
        assert!(directory.hears_methods_within(&d1, Duration::ZERO).await, "it does already");
        assert!(directory.inner().wants.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_in_vain_is_forgotten() {
        let directory = directory();
        let ids = [1, 2].map(|n| Endpoint::device(HubId(0), format!("d{n}")));
        let within = Duration::from_secs(10);
        let [a, b, c] = [&ids[0], &ids[0], &ids[1]].map(|id| directory.hears_methods_within(id, within));
        assert_eq!(tokio::join!(a, b, c), (false, false, false));
        assert!(directory.inner().wants.is_empty());
    }
}
