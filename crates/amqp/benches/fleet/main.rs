//! A fleet on one connection: attached links a second, settled messages a second, and memory of the client for a device.
//! This engine and fe2o3-amqp, one after the other in one run; each talks to a server of its own kind in another process.
//!
//! `cargo bench -p amqp --bench fleet`. Bodies of 1 KiB with properties, TCP on loopback, a session for each device.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a program for one purpose")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

mod held;
mod ours;
mod theirs;

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Load {
    devices: usize,
    /// Of each device.
    messages: usize,
    /// Of each device, sent and not settled.
    window: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
struct Figures {
    attach: Duration,
    bytes_a_device: usize,
    send: Duration,
}

const LOADS: [Load; 4] = [
    Load { devices: 1, messages: 20_000, window: 1 },
    Load { devices: 1, messages: 100_000, window: 128 },
    Load { devices: 1000, messages: 200, window: 1 },
    Load { devices: 1000, messages: 200, window: 16 },
];
const BODY_BYTES: usize = 1024;
/// A load takes some five seconds at most; a program that hangs is not waited for.
const LOAD_MAX: Duration = Duration::from_secs(120);

struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start(kind: &str) -> Self {
        use std::io::BufRead as _;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", kind])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().expect("the server says its port"))
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == "--serve").map(|at| arguments[at + 1].as_str()) {
        Some("ours") => return runtime.block_on(ours::serve()),
        Some(_) => return runtime.block_on(theirs::serve()),
        None => {}
    }
    println!(
        "{:<10} {:>8} {:>9} {:>7} {:>14} {:>13} {:>14}",
        "", "devices", "messages", "window", "attached/s", "kB/device", "settled/s"
    );
    for load in LOADS {
        for kind in ["ours", "fe2o3-amqp"] {
            let server = Server::start(kind);
            let figures = runtime.block_on(async {
                let run = async {
                    if kind == "ours" {
                        ours::measure(server.1, load).await
                    } else {
                        theirs::measure(server.1, load).await
                    }
                };
                tokio::time::timeout(LOAD_MAX, run).await.expect("it hangs")
            });
            line(kind, load, figures);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn line(kind: &str, load: Load, figures: Figures) {
    let Load { devices, messages, window } = load;
    println!(
        "{kind:<10} {devices:>8} {messages:>9} {window:>7} {:>14.0} {:>13.1} {:>14.0}",
        devices as f64 / figures.attach.as_secs_f64(),
        figures.bytes_a_device as f64 / 1000.0,
        (devices * messages) as f64 / figures.send.as_secs_f64(),
    );
}
