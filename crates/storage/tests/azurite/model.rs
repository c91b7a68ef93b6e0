//! The queue on Azurite against the model that judges all engines.
//!
//! The model is exact to the millisecond, so time stands still while a call is under way: it is made on a thread of its own, for which
//! the queue's waits. What the service says of the time is left out, for it goes on there.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use queue::blobs::{Asked, Blobs, LeaseId, New, Over, Page, Reply};
use storage::Container;
use tokio::runtime::Handle;

use crate::emulator::Emulator;

#[path = "../../../queue/tests/model/run.rs"]
#[expect(dead_code, reason = "the other engines are tried where they are")]
mod run;

/// Calls that take no time.
struct AtOnce {
    container: Arc<Container>,
    there: Handle,
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtOnce")
    }
}

impl AtOnce {
    fn ask<'a, T: Send + 'static>(
        &'a self,
        call: impl FnOnce(Arc<Container>) -> std::pin::Pin<Box<dyn Future<Output = Reply<T>> + Send>> + Send + 'a,
    ) -> Asked<'a, T> {
        let container = self.container.clone();
        Box::pin(async move {
            let (to, answer) = mpsc::channel();
            let asked = call(container);
            self.there.spawn(async move {
                let _ = to.send(asked.await);
            });
            let reply = answer.recv().unwrap();
            Reply { date: None, ..reply }
        })
    }
}

impl Blobs for AtOnce {
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New> {
        let name = name.to_owned();
        self.ask(move |container| Box::pin(async move { container.put_new(&name, body).await }))
    }

    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over> {
        let (name, lease) = (name.to_owned(), lease.cloned());
        self.ask(move |container| Box::pin(async move { container.put_over(&name, body, lease.as_ref()).await }))
    }

    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>> {
        let name = name.to_owned();
        self.ask(move |container| Box::pin(async move { container.get(&name).await }))
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page> {
        let (prefix, from) = (prefix.to_owned(), from.map(str::to_owned));
        self.ask(move |container| Box::pin(async move { container.list(&prefix, from.as_deref()).await }))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool> {
        let name = name.to_owned();
        self.ask(move |container| Box::pin(async move { container.delete(&name).await }))
    }

    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>> {
        let name = name.to_owned();
        self.ask(move |container| Box::pin(async move { container.acquire(&name, length).await }))
    }

    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let (name, lease) = (name.to_owned(), lease.clone());
        self.ask(move |container| Box::pin(async move { container.renew(&name, &lease).await }))
    }

    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let (name, lease) = (name.to_owned(), lease.clone());
        self.ask(move |container| Box::pin(async move { container.release(&name, &lease).await }))
    }

    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()> {
        let name = name.to_owned();
        self.ask(move |container| Box::pin(async move { container.break_lease(&name).await }))
    }
}

#[test]
fn a_queue_on_azurite_keeps_to_the_model() {
    let there = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let azurite = there.block_on(Emulator::start());
    let many = if std::env::var_os("LONGHAUL_TEST_LONG").is_some() { 1_000 } else { 100 };
    let nth = std::cell::Cell::new(0);
    let outcome = run::runner(many).run(&run::histories(20), |steps| {
        nth.set(nth.get() + 1);
        let container = Arc::new(there.block_on(azurite.container(&format!("model-{}", nth.get()))));
        let at_once = Arc::new(AtOnce { container, there: there.handle().clone() });
        run::holds(run::On::Account(Box::new(move |_| at_once)), &steps);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
