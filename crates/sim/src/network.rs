//! The network between the bridge and Azure: hosts, connections to them, and what goes wrong with either.
//!
//! Every connection of the bridge is made here. Behind it are the simulator's services, or nobody.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint};
use simulator::Unplugged;

use crate::chance::stream;
use crate::judge::Asked;
use crate::log::Log;
use crate::wire::{Latency, Line, Way, pair};

/// What a host does with those who connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weather {
    #[default]
    Fair,
    /// Nobody listens.
    Refusing,
    /// Nothing comes back.
    Unreachable,
    /// It takes so long, in milliseconds.
    Slow(u64),
}

#[derive(Debug)]
struct Open {
    host: String,
    line: Line,
    /// Bytes both ways that were counted already.
    counted: u64,
}

#[derive(Debug)]
struct State {
    weather: BTreeMap<String, Weather>,
    latency: Latency,
    made: u64,
    open: Vec<Open>,
    asked: BTreeMap<(String, i64), Asked>,
}

/// See the module. Clones are the same network.
#[derive(Clone, Debug)]
pub(crate) struct Network(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    services: Unplugged,
    log: Log,
    state: Mutex<State>,
}

impl Network {
    pub(crate) fn new(seed: u64, latency: Latency, services: Unplugged, log: Log) -> Self {
        let state = State { weather: BTreeMap::new(), latency, made: 0, open: Vec::new(), asked: BTreeMap::new() };
        Self(Arc::new(Shared { seed, services, log, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For one life of the process; it dials as long as it lives.
    pub(crate) fn dialler(&self, alive: Arc<AtomicBool>) -> Arc<dyn Dial> {
        Arc::new(Dialler { network: self.clone(), alive })
    }

    pub(crate) fn set_weather(&self, host: &str, weather: Weather) {
        self.state().weather.insert(host.to_owned(), weather);
    }

    /// Of all connections, those there are and those to come.
    pub(crate) fn set_latency(&self, latency: Latency) {
        let mut state = self.state();
        state.latency = latency;
        state.open.iter().for_each(|open| open.line.set_latency(latency));
    }

    /// Does something to every connection to a host that is open now, or to all of them.
    pub(crate) fn each_line(&self, host: Option<&str>, act: impl Fn(&Line)) {
        let lines: Vec<Line> = {
            let state = self.state();
            let wanted = state.open.iter().filter(|open| host.is_none_or(|host| host == open.host));
            wanted.map(|open| open.line.clone()).collect()
        };
        lines.iter().for_each(act);
    }

    /// The process is dead, and the far ends of its connections will find out.
    pub(crate) fn process_dies(&self) {
        self.each_line(None, |line| line.dies(Way::Out));
    }

    /// Counts the bytes of the minute that is over.
    pub(crate) fn count(&self, minute: i64) {
        let mut state = self.state();
        let State { open, asked, .. } = &mut *state;
        for one in open.iter_mut() {
            let passed = one.line.passed(Way::Out) + one.line.passed(Way::Back);
            let entry: &mut Asked = asked.entry((one.host.clone(), minute)).or_default();
            entry.bytes += passed - std::mem::replace(&mut one.counted, passed);
        }
        open.retain(|one| !one.line.is_over());
    }

    pub(crate) fn asked(&self) -> BTreeMap<(String, i64), Asked> {
        self.state().asked.clone()
    }

    async fn connect(&self, endpoint: &Endpoint, minute: i64) -> io::Result<Box<dyn azure::net::Stream>> {
        let (weather, latency, number) = {
            let mut state = self.state();
            state.made += 1;
            state.asked.entry((endpoint.host.clone(), minute)).or_default().connections += 1;
            (state.weather.get(&endpoint.host).copied().unwrap_or_default(), state.latency, state.made)
        };
        let mut chance = stream(self.0.seed.wrapping_add(number), "wire");
        let way = latency.least + latency.jitter.mul_f64(chance.f64());
        tokio::time::sleep(way * 2).await;
        match weather {
            Weather::Fair => {}
            Weather::Slow(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Weather::Unreachable => std::future::pending().await,
            Weather::Refusing => {
                self.0.log.line(format_args!("connection {number} to {endpoint}: refused"));
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
        }
        // As it is by now: what was over meanwhile does not last as long as the connection.
        let latency = self.state().latency;
        let (near, far, line) = pair(latency, chance);
        self.0.log.line(format_args!("connection {number} to {endpoint}"));
        self.state().open.push(Open { host: endpoint.host.clone(), line, counted: 0 });
        let services = self.0.services.clone();
        match endpoint.port {
            5671 => tokio::spawn(async move { services.amqp(far).await }),
            _ => tokio::spawn(async move { services.https(far).await }),
        };
        Ok(Box::new(near))
    }
}

#[derive(Debug)]
struct Dialler {
    network: Network,
    alive: Arc<AtomicBool>,
}

impl Dial for Dialler {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let (network, endpoint, alive) = (self.network.clone(), endpoint.clone(), self.alive.clone());
        Box::pin(async move {
            if !alive.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let minute = network.0.log.elapsed_ms() / 60_000;
            network.connect(&endpoint, minute).await
        })
    }
}
