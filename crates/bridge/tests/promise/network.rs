//! A network server as the bridge sees it: a device's uplinks come one after another, the next only after the answer to
//! the one before; devices do not wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::http::{Connection, Reply};
use crate::oracle::Obligations;
use crate::uplinks;

/// Between two attempts while nobody listens.
const RECONNECT: Duration = Duration::from_millis(25);

/// Who posts what, how fast.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    pub(crate) port: u16,
    /// Ports of more doors behind the same balancer, which sends each post to any of them.
    pub(crate) more_ports: Vec<u16>,
    /// Of the balancer's choice.
    pub(crate) seed: u64,
    pub(crate) devices: u32,
    /// First part of the devices' names.
    pub(crate) prefix: &'static str,
    /// Counter of the first uplink of each device.
    pub(crate) first: u32,
    /// Uplinks of each device.
    pub(crate) uplinks: u32,
    /// Between the beginnings of two uplinks of one device; none: as fast as it is answered.
    pub(crate) pace: Option<Duration>,
    /// The same uplink is posted again until it is answered 2xx. Otherwise each is posted once.
    pub(crate) insist: bool,
}

/// What became of one post.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// None when the connection broke.
    pub(crate) status: Option<u16>,
    pub(crate) took: Duration,
}

/// A campaign under way.
#[derive(Debug)]
pub(crate) struct Posting {
    acked: Arc<AtomicU32>,
    answers: mpsc::UnboundedReceiver<Answer>,
}

impl Campaign {
    pub(crate) fn new(port: u16, devices: u32, uplinks: u32) -> Self {
        Self {
            port,
            more_ports: Vec::new(),
            seed: 0,
            devices,
            prefix: "dev",
            first: 1,
            uplinks,
            pace: None,
            insist: true,
        }
    }

    /// Starts all devices.
    pub(crate) fn start(&self, obligations: &Arc<Obligations>) -> Posting {
        // Unbounded in name only: it holds one small entry for each post of a test.
        let (answered, answers) = mpsc::unbounded_channel();
        let acked = Arc::new(AtomicU32::new(0));
        for index in 0..self.devices {
            let device = Device {
                name: format!("{}-{index:04}", self.prefix),
                campaign: self.clone(),
                balancer: fastrand::Rng::with_seed(self.seed ^ u64::from(index)),
                connection: None,
                obligations: obligations.clone(),
                acked: acked.clone(),
                answered: answered.clone(),
            };
            tokio::spawn(device.live(index));
        }
        Posting { acked, answers }
    }
}

impl Posting {
    /// 2xx so far.
    pub(crate) fn acked(&self) -> u32 {
        self.acked.load(Ordering::Relaxed)
    }

    /// Waits for the last device; every answer, in the order in which they came.
    pub(crate) async fn finish(mut self) -> Vec<Answer> {
        let mut all = Vec::new();
        while let Some(answer) = self.answers.recv().await {
            all.push(answer);
        }
        all
    }
}

struct Device {
    name: String,
    campaign: Campaign,
    balancer: fastrand::Rng,
    /// To the door that was asked last.
    connection: Option<(u16, Connection)>,
    obligations: Arc<Obligations>,
    acked: Arc<AtomicU32>,
    answered: mpsc::UnboundedSender<Answer>,
}

impl Device {
    async fn live(mut self, index: u32) {
        let begin = Instant::now();
        for nth in 0..self.campaign.uplinks {
            if let Some(pace) = self.campaign.pace {
                // Devices are spread over the interval, as they are in the air.
                let spread = pace * index / self.campaign.devices;
                tokio::time::sleep_until(begin + spread + pace * nth).await;
            }
            let counter = self.campaign.first + nth;
            while !self.uplink(counter).await && self.campaign.insist {
                sleep(RECONNECT).await;
            }
        }
    }

    /// One post; whether it was answered 2xx.
    async fn uplink(&mut self, counter: u32) -> bool {
        let body = uplinks::tts("building", &self.name, counter);
        self.obligations.posted(&self.name, counter);
        let begin = Instant::now();
        let reply = self.post(&body).await;
        let status = reply.ok().map(|reply| reply.status);
        let is_kept = status.is_some_and(|status| (200..300).contains(&status));
        if is_kept {
            self.obligations.owed(&self.name, counter);
            self.acked.fetch_add(1, Ordering::Relaxed);
        }
        // Nobody listens any more when the test has failed already.
        let _ = self.answered.send(Answer { status, took: begin.elapsed() });
        is_kept
    }

    async fn post(&mut self, body: &[u8]) -> std::io::Result<Reply> {
        let port = match self.balancer.usize(..=self.campaign.more_ports.len()) {
            0 => self.campaign.port,
            nth => self.campaign.more_ports[nth - 1],
        };
        let mut connection = match self.connection.take() {
            Some((before, connection)) if before == port => connection,
            _ => Connection::open(port).await?,
        };
        let reply = connection.post("/tts/uplink_message", &[], body).await?;
        if reply.header("connection") != Some("close") {
            self.connection = Some((port, connection));
        }
        Ok(reply)
    }
}

/// The slowest answer, and how many were not 2xx.
pub(crate) fn worst(answers: &[Answer]) -> (Duration, usize) {
    let slowest = answers.iter().map(|answer| answer.took).max().unwrap_or_default();
    let refused = answers.iter().filter(|a| !a.status.is_some_and(|status| (200..300).contains(&status))).count();
    (slowest, refused)
}

/// The answer time that this share of the answers keeps, in `0.0..=1.0`.
pub(crate) fn quantile(answers: &[Answer], share: f64) -> Duration {
    let mut times: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    times.sort();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((times.len() as f64 - 1.0) * share).ceil().max(0.0) as usize;
    times.get(index).copied().unwrap_or_default()
}

/// From `LONGHAUL_TEST_SEED`, or new; printed either way.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LONGHAUL_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("LONGHAUL_TEST_SEED={seed}");
    seed
}

/// Whether the full campaigns are asked for.
pub(crate) fn is_long() -> bool {
    std::env::var("LONGHAUL_TEST_LONG").is_ok_and(|text| text == "1")
}
