//! Promise: what `longhaul azure-sim env` prints can be pasted into a shell as it stands.
//!
//! All of it is pasted: variables, comments, and the lines that make a device and send for it, with tools that the simulator
//! was not made for. Judged by the record.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

/// What is in it has to be quoted, and encoded in an address.
const DEVICE: &str = "room:1_a";
/// Three tools that each do one thing take a second.
const SECONDS_MAX: &str = "60";

/// A simulator in a directory of its own, on any ports; ends with this.
struct Site {
    simulator: Child,
    directory: PathBuf,
}

impl Site {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("longhaul env's {}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        let mut simulator = Command::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(["azure-sim", "--https", "0", "--amqp", "0", "--mqtt", "0", "--page", "0", "--json", "--dir", "sim"])
            .args(["--record", "record.jsonl"])
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(simulator.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with('{'), "it did not start: {line}");
        Self { simulator, directory }
    }

    /// What `env` prints, typed into a shell.
    fn paste(&self) -> Output {
        let told = Command::new(env!("CARGO_BIN_EXE_longhaul"))
            .args(["azure-sim", "env", "--dir", "sim", "--device", DEVICE])
            .current_dir(&self.directory)
            .output()
            .unwrap();
        assert!(told.status.success());
        // From elsewhere: files are named whole.
        let mut shell = Command::new("timeout");
        shell.args([SECONDS_MAX, "sh", "-euc", &String::from_utf8(told.stdout).unwrap()]).current_dir(Path::new("/"));
        shell.output().unwrap_or_else(|error| panic!("NOT PROVED: cannot run a shell: {error}"))
    }

    fn recorded(&self) -> Vec<Value> {
        let record = std::fs::read_to_string(self.directory.join("record.jsonl")).unwrap();
        record.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left.
        let _ = self.simulator.kill();
        let _ = self.simulator.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn is_there(tool: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().is_ok_and(|found| found.status.success())
}

#[test]
fn all_that_env_prints_can_be_pasted_and_the_messages_arrive() {
    for tool in ["curl", "mosquitto_pub"] {
        assert!(is_there(tool), "NOT PROVED: {tool} is not installed; ./test installs it");
    }
    let site = Site::new();
    let output = site.paste();
    let [told, trouble] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && trouble.is_empty(), "{told}\n{trouble}");
    assert_eq!(told, r#"{"enrolled":1}"#, "a message that is taken gets no words");
    let recorded = site.recorded();
    let seen: Vec<_> = recorded.iter().map(|message| (&message["device_id"], &message["body"])).collect();
    let sent = (&json!(DEVICE), &json!({"t": 21.5}));
    assert_eq!(seen, [sent, sent], "one over MQTT, one over HTTPS");
}
