//! `longhaul send`: posts uplinks to a webhook as a network server would.
//!
//! Promises: one device's messages are posted one after another, devices side by side; with a rate, each message has
//! its moment whether or not the ones before it were answered, and its wait is counted from that moment, so that a
//! server that stalls cannot hide it. Nothing is posted twice. The content depends on the options and the clock only.

mod command; // its arguments
pub mod latency; // waits, counted
pub mod post; // one connection
pub mod uplinks; // what is posted

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use self::command::{Arguments, main};
use self::latency::Latencies;
use self::post::{Connection, Target, UrlError};
use self::uplinks::{Style, Uplinks};
use crate::config::Secret;
use crate::world::World;

/// Connections at once. The Things Stack posts from 1024 workers; this many keep any disk busy.
const MAX_CONNECTIONS: u32 = 256;

/// What to post, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// `http://` or `https://`; without a path, that of the format is used.
    pub url: String,
    /// Sent as `Authorization: Bearer`.
    pub key: Option<Secret>,
    /// The shape of made-up uplinks.
    pub format: Style,
    /// How many devices send, `dev-0001` and so on; at least 1.
    pub devices: u32,
    /// Messages a second over all devices; `None`: each device sends as soon as its last message is answered.
    pub rate: Option<f64>,
    /// How many messages in all; `None`: one for each device, or as many as [`Options::lasting`] allows.
    pub count: Option<u64>,
    /// No message begins later than this.
    pub lasting: Option<Duration>,
    /// Posted as they are, in this order, instead of made-up uplinks.
    pub files: Vec<PathBuf>,
    /// The application of made-up uplinks.
    pub application: String,
    /// For `https://`: whom to trust.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080".to_owned(),
            key: None,
            format: Style::TtsV3,
            devices: 1,
            rate: None,
            count: None,
            lasting: None,
            files: Vec::new(),
            application: "demo".to_owned(),
            tls: None,
        }
    }
}

/// Why nothing was posted at all.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// An address that cannot be posted to.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A file that cannot be read.
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
}

/// One message and its answer.
#[derive(Clone, Debug)]
pub struct Posted {
    /// The device, or the file's name.
    pub device: String,
    /// Its counter; 0 for a file.
    pub counter: u32,
    /// The status, or why there is none.
    pub status: Result<u16, String>,
    /// From the message's moment to its answer.
    pub waited: Duration,
}

/// Called for every message, from the task that posted it.
pub type Observer = Arc<dyn Fn(&Posted) + Send + Sync>;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Messages posted.
    pub sent: u64,
    /// How often each status came.
    pub by_status: BTreeMap<u16, u64>,
    /// Messages without an answer.
    pub unanswered: u64,
    /// Why the first of them had none.
    pub first_trouble: Option<String>,
    /// The waits of those with an answer.
    pub latencies: Latencies,
}

impl Summary {
    /// Messages answered 2xx.
    pub fn kept(&self) -> u64 {
        self.by_status.range(200..300).map(|(_, count)| count).sum()
    }

    /// Whether every message was answered 2xx.
    pub fn is_clean(&self) -> bool {
        self.kept() == self.sent
    }

    fn note(&mut self, posted: &Posted) {
        self.sent += 1;
        match &posted.status {
            Ok(status) => {
                *self.by_status.entry(*status).or_default() += 1;
                self.latencies.note(posted.waited);
            }
            Err(trouble) => {
                self.unanswered += 1;
                self.first_trouble.get_or_insert_with(|| trouble.clone());
            }
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent, {} answered 2xx", self.sent, self.kept())?;
        for (status, count) in self.by_status.iter().filter(|(status, _)| !(200..300).contains(*status)) {
            write!(f, ", {count} answered {status}")?;
        }
        if let Some(trouble) = &self.first_trouble {
            write!(f, ", {} without an answer (the first: {trouble})", self.unanswered)?;
        }
        let milliseconds = |share| self.latencies.at(share).as_secs_f64() * 1e3;
        write!(f, "; p50 {:.1} ms, p99 {:.1} ms", milliseconds(0.5), milliseconds(0.99))
    }
}

/// Posts everything and waits for the answers.
///
/// # Errors
/// See [`SendError`]; what the webhook answers is no error but part of the [`Summary`].
pub async fn run(options: Options, world: World, observer: Observer) -> Result<Summary, SendError> {
    let target = Target::new(&options)?;
    let summary = Arc::new(Mutex::new(Summary::default()));
    let kept = summary.clone();
    let report: Observer = Arc::new(move |posted| {
        kept.lock().unwrap_or_else(PoisonError::into_inner).note(posted);
        observer(posted);
    });
    if options.files.is_empty() {
        devices(&options, target, world, report).await
    } else {
        files(&options, target, report).await?
    }
    let summary = summary.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(summary)
}

/// All devices, spread over the connections: a device stays on one, so that its messages go one after another.
async fn devices(options: &Options, target: Target, world: World, report: Observer) {
    let uplinks = Uplinks { style: options.format, application: options.application.clone() };
    let devices = options.devices.max(1);
    let lanes = devices.min(MAX_CONNECTIONS);
    let plan = Plan {
        start: Instant::now(),
        devices,
        gap: options.rate.filter(|rate| *rate > 0.0).map(|rate| 1.0 / rate),
        count: options.count.or(if options.lasting.is_some() { None } else { Some(u64::from(devices)) }),
        lasting: options.lasting,
    };
    let mut running = JoinSet::new();
    for lane in 0..lanes {
        let (uplinks, world, report) = (uplinks.clone(), world.clone(), report.clone());
        let mut connection = Connection::new(target.clone());
        running.spawn(async move {
            let turns =
                (0_u32..).flat_map(|round| (lane..devices).step_by(lanes as usize).map(move |device| (round, device)));
            for (round, device) in turns {
                let Some(moment) = plan.moment(round, device) else { return };
                sleep_until(moment).await;
                let (device, counter) = (uplinks::device_id(device), round + 1);
                let body = uplinks.body(&device, counter, world.now());
                let began = if plan.gap.is_some() { moment } else { Instant::now() };
                let status = connection.post(Bytes::from(body), "application/json").await;
                report(&Posted { device, counter, status, waited: began.elapsed() });
            }
        });
    }
    while running.join_next().await.is_some() {}
}

/// When which message goes.
#[derive(Clone, Copy)]
struct Plan {
    start: Instant,
    devices: u32,
    /// Seconds between two messages.
    gap: Option<f64>,
    count: Option<u64>,
    lasting: Option<Duration>,
}

impl Plan {
    /// When `device`, counted from 0, posts its message of this round; `None` when the sending is over by then.
    fn moment(&self, round: u32, device: u32) -> Option<Instant> {
        let number = u64::from(round) * u64::from(self.devices) + u64::from(device);
        if self.count.is_some_and(|count| number >= count) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "2^52 messages take longer than anybody waits")]
        let after = self.gap.map_or(self.start.elapsed(), |gap| Duration::from_secs_f64(number as f64 * gap));
        if self.lasting.is_some_and(|lasting| after >= lasting) {
            return None;
        }
        Some(self.start + after)
    }
}

async fn files(options: &Options, target: Target, report: Observer) -> Result<(), SendError> {
    let mut bodies = Vec::new();
    for path in &options.files {
        let body = tokio::fs::read(path).await.map_err(|error| SendError::File(path.clone(), error))?;
        bodies.push((path, body));
    }
    let mut connection = Connection::new(target);
    let start = Instant::now();
    let gap = options.rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| 1.0 / rate);
    for ((path, body), number) in bodies.into_iter().zip(0_u32..) {
        sleep_until(start + Duration::from_secs_f64(gap * f64::from(number))).await;
        let began = Instant::now();
        let binary = path.extension().is_some_and(|extension| extension == "bin" || extension == "pb");
        let kind = if binary { "application/octet-stream" } else { "application/json" };
        let status = connection.post(Bytes::from(body), kind).await;
        report(&Posted { device: path.display().to_string(), counter: 0, status, waited: began.elapsed() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn messages_keep_their_moments() {
        let start = Instant::now();
        let plan = Plan { start, devices: 10, gap: Some(0.1), count: Some(25), lasting: None };
        assert_eq!(plan.moment(0, 0), Some(start));
        assert_eq!(plan.moment(2, 4), Some(start + Duration::from_millis(2_400)));
        assert_eq!(plan.moment(2, 5), None);
        let plan = Plan { count: None, lasting: Some(Duration::from_secs(1)), ..plan };
        assert!(plan.moment(0, 9).is_some());
        assert_eq!(plan.moment(1, 0), None);
    }
}
