//! Promise: what the README says about Microsoft's SDKs works for who types it, and nothing else.
//!
//! The commands and programs are taken out of the section as they stand and run in a directory and a network of their own, where
//! pip finds the wheels that the simulator's tests have installed instead of a registry.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SECTION: &str = "\n## IoT Hub on your machine\n";
/// Two pip installations and a dozen handshakes take some twenty seconds.
const SECONDS_MAX: &str = "120";
/// Waits for what the device was told, which the commands themselves do not.
const AFTER: &str = "\nuntil grep -q '^called' device.log; do sleep 0.1; done; cat device.log\n";
/// Said by the shell when the namespace stands: what fails before it is the namespace.
const READY: &str = "the namespace is ready";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The section, without its headline, up to the next.
fn section(readme: &str) -> &str {
    let (_, rest) = readme.split_once(SECTION).expect("the README has the section");
    rest.split_once("\n## ").map_or(rest, |(section, _)| section)
}

/// The blocks of code in one language, in their order.
fn blocks<'a>(section: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    section.split(&begin).skip(1).map(|rest| rest.split_once("```").expect("the block ends").0).collect()
}

/// A program says in its first line what it is called.
fn file_name(program: &str) -> &str {
    program.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a program names its file")
}

fn directory() -> PathBuf {
    let directory = std::env::temp_dir().join(format!("longhaul-readme-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    directory
}

/// Where the wheels are that `install` has put there.
fn wheels() -> PathBuf {
    let sdks = root().join("crates/simulator/tests/official_sdk");
    let [wanted, installed] =
        ["requirements.txt", ".venv/installed.txt"].map(|file| std::fs::read(sdks.join(file)).ok());
    assert!(
        installed.is_some() && wanted == installed,
        "NOT PROVED: the SDKs are missing: run {}/install",
        sdks.display()
    );
    sdks.join(".venv/wheels")
}

/// Network, mounts and processes; for those who are not root a user namespace in which they are.
fn flags() -> &'static str {
    let may = Command::new("unshare").args(["-nm", "true"]).output().is_ok_and(|output| output.status.success());
    if may { "-nmpf" } else { "-Urnmpf" }
}

/// Runs the script where nobody else is. All that it has begun ends with it.
fn run(directory: &Path, script: &str) -> Output {
    let longhaul = Path::new(env!("CARGO_BIN_EXE_longhaul")).parent().unwrap();
    let path = longhaul.display();
    let setup = format!("ip link set lo up; echo {READY}; PATH='{path}':\"$PATH\" exec sh -eu commands.sh");
    std::fs::write(directory.join("commands.sh"), script).unwrap();
    let mut command = Command::new("timeout");
    command
        .args([SECONDS_MAX, "unshare", "--kill-child", flags(), "--", "sh", "-euc", &setup])
        .current_dir(directory)
        .env("PIP_NO_INDEX", "1")
        .env("PIP_FIND_LINKS", wheels());
    ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "VIRTUAL_ENV"]
        .iter()
        .for_each(|name| _ = command.env_remove(name));
    command.output().unwrap_or_else(|error| panic!("NOT PROVED: cannot run unshare: {error}"))
}

#[test]
fn the_quickstart_runs_as_the_readme_says() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = section(&readme);
    let directory = directory();
    for program in blocks(section, "python") {
        std::fs::write(directory.join(file_name(program)), program).unwrap();
    }
    // The device's words go to a file, so that they can be waited for; else the commands are as they stand.
    let commands = blocks(section, "sh").concat().replace("device.py &", "device.py > device.log &");
    let output = run(&directory, &(commands + AFTER));
    let [told, trouble] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        told.contains(READY),
        "NOT PROVED: the SDKs need ports of their own, and no namespace could be had:\n{trouble}"
    );
    assert!(output.status.success(), "{told}\n{trouble}");
    for wanted in [
        "sent {\"temperature\": 21.5}",
        "received hello {'from': 'service'}",
        "called reboot {'in_s': 5}",
        "{'status': 200, 'payload': {'done': True}}",
        r#""body":{"temperature": 21.5}"#,
        r#""properties":{"room":"cellar"}"#,
    ] {
        assert!(told.contains(wanted), "not seen: {wanted}\n{told}\n{trouble}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
