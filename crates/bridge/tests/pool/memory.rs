//! Promise: what an attached device costs.

use std::process::Stdio;
use std::time::Duration;

use azure::hub::amqp::AmqpOptions;
use azure::net::Tls;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::held;
use crate::sender::{Sender, Troubles, finish};
use crate::site::{Device, client, devices_of, name, seed, unpaced};

const DEVICES: usize = 10_000;
const DEVICES_PER_CONNECTION: usize = 900;
/// With TLS, buffers, and all that is kept of a device.
const BYTES_MAX: usize = 4_000;
/// As many messages are under way at a time.
const SENDERS: usize = 250;
const UP_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_devices_on_twelve_connections_cost_under_4_kb_each() {
    seed();
    let azure = Azure::start().await;
    let devices = azure.enrol(DEVICES).await;
    let tls = Tls::new(Some(azure.text("ca_file").as_ref())).expect("the simulator's CA is a CA");
    // Identities, roots and our own list of devices are there before: the caller has them with any client.
    let (held, resident, begin) = (held::bytes(), held::resident(), Instant::now());
    let options = AmqpOptions { devices_per_connection: DEVICES_PER_CONNECTION, ..unpaced() };
    let hub = client(azure.port("amqp"), std::sync::Arc::new(tls), options);
    let troubles = Troubles::new();
    let mut senders = JoinSet::new();
    for some in devices.chunks(DEVICES / SENDERS) {
        let senders_of_some: Vec<_> = some.iter().map(|device| Sender::new(&hub, device, "m", &troubles)).collect();
        senders.spawn(async move {
            for mut sender in senders_of_some {
                sender.deliver().await;
            }
        });
    }
    finish(senders).await;
    let each = held::bytes().saturating_sub(held) / DEVICES;
    let resident = held::resident().saturating_sub(resident) / DEVICES;
    let (took, links) = (begin.elapsed(), hub.standing());
    println!("{DEVICES} devices: {each} bytes of heap each, {resident} resident; {took:?}; {links:?}; {troubles}");
    assert_eq!((links.connections, links.attached), (DEVICES.div_ceil(DEVICES_PER_CONNECTION), DEVICES));
    assert!(each < BYTES_MAX, "{each} bytes each");
    hub.close().await;
}

/// The simulator as a process, so that its memory is not counted with ours.
struct Azure {
    _child: Child,
    said: Value,
}

impl Azure {
    async fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command.args(["azure-sim", "--https", "0", "--amqp", "0", "--mqtt", "0", "--page", "0", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("the simulator can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = timeout(UP_WITHIN, lines.next_line()).await.expect("it is up in time").expect("it can be read");
        let said = serde_json::from_str(&line.expect("it says something")).expect("it says JSON");
        Self { _child: child, said }
    }

    fn text(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap_or_else(|| panic!("{name} is missing"))
    }

    fn port(&self, name: &str) -> u16 {
        let port = self.said[name].as_u64().and_then(|port| u16::try_from(port).ok());
        port.filter(|port| *port != 0).unwrap_or_else(|| panic!("{name} is not served: {:?}", self.said[name]))
    }

    /// Makes devices through the control API.
    async fn enrol(&self, count: usize) -> Vec<Device> {
        let ids: Vec<String> = (0..count).map(name).collect();
        let body = serde_json::to_vec(&ids).expect("names are JSON");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port("page"))).await.expect("the control API is there");
        let head = format!(
            "POST /api/devices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("the request is taken");
        let mut answer = String::new();
        timeout(UP_WITHIN, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        devices_of(self.text("group_key"), &ids)
    }
}
