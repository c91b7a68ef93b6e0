//! A crowd at the simulator: what a connected device costs in memory, and how many messages a second it takes, over AMQP
//! with many devices on a connection and over MQTT with one on each, beside an echo over the same TLS in the same run.
//!
//! The simulator and the echo are another process of this program, so that its memory is its own; both share the machine's
//! cores. Run with `cargo bench -p simulator --bench crowd`; `-- 100 200` takes 100 MQTT and 200 AMQP devices instead of
//! 2 000 and 5 000.
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time and reads its arguments")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

mod echo;
mod over_amqp;
mod over_mqtt;
mod server;
mod wire;

use std::time::{Duration, Instant};

use server::Server;

const MQTT_DEVICES: usize = 2_000;
const AMQP_DEVICES: usize = 5_000;
/// An uplink's body, bytes.
const BODY_BYTES: usize = 256;
/// Messages of each device, one after another: each waits for the answer to the one before.
const ROUNDS: usize = 10;
/// Connections that are dialled at a time.
const DIALS_MAX: usize = 64;
/// The longest that a whole stage may take.
const STAGE_MAX: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| !one.starts_with("--")).collect();
    let runtime = |threads| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
    };
    if arguments.first().is_some_and(|one| one == server::CHILD) {
        return runtime(2).block_on(server::child());
    }
    let number = |at: usize, usual| arguments.get(at).map_or(usual, |text| text.parse().expect("a number of devices"));
    let (mqtt, amqp) = (number(0, MQTT_DEVICES), number(1, AMQP_DEVICES));
    runtime(2).block_on(async {
        stage("echo over TLS", mqtt, async |server: &Server| echo::crowd(server, mqtt).await).await;
        stage("MQTT", mqtt, async |server: &Server| over_mqtt::crowd(server, 0..mqtt).await).await;
        stage("AMQP", amqp, async |server: &Server| over_amqp::crowd(server, amqp).await).await;
        stage("both at once", mqtt + amqp, async |server: &Server| {
            // Those over MQTT are other devices than those over AMQP.
            Both(over_mqtt::crowd(server, amqp..amqp + mqtt).await, over_amqp::crowd(server, amqp).await)
        })
        .await;
    });
}

/// A crowd that is connected, and can be made to talk.
trait Crowd {
    /// How many connections it has.
    fn connections(&self) -> usize;
    /// Each device sends so many messages one after another.
    async fn talk(&mut self, rounds: usize);
}

/// Two crowds that talk at the same time.
struct Both<A, B>(A, B);

impl<A: Crowd, B: Crowd> Crowd for Both<A, B> {
    fn connections(&self) -> usize {
        self.0.connections() + self.1.connections()
    }

    async fn talk(&mut self, rounds: usize) {
        tokio::join!(self.0.talk(rounds), self.1.talk(rounds));
    }
}

/// Connects a crowd to a server of its own, and says what it cost and did.
async fn stage<C: Crowd>(name: &str, devices: usize, connect: impl AsyncFnOnce(&Server) -> C) {
    let run = async {
        let mut server = Server::start(devices).await;
        let before = server.resident_kib().await;
        let began = Instant::now();
        let mut crowd = connect(&server).await;
        let connected = began.elapsed();
        let idle = server.resident_kib().await;
        let began = Instant::now();
        crowd.talk(ROUNDS).await;
        let talked = began.elapsed();
        let busy = server.resident_kib().await;
        let taken = server.messages().await;
        let each = |kib: u64| kib.saturating_sub(before) as f64 / devices as f64;
        println!(
            "{name:14} {devices:5} devices on {:4} connections: connected in {:5.2} s, {:5.1} KiB a device idle, {:5.1} after talking, \
             {:6.0} messages/s ({taken} taken)",
            crowd.connections(),
            connected.as_secs_f64(),
            each(idle),
            each(busy),
            (devices * ROUNDS) as f64 / talked.as_secs_f64(),
        );
    };
    tokio::time::timeout(STAGE_MAX, run).await.unwrap_or_else(|_| panic!("{name} took longer than {STAGE_MAX:?}"));
}
