//! A network of its own for a test: ports 443, 5671 and 8883, and the names of hubs, whatever else the machine runs.
//!
//! The test calls its own program again, for itself alone, in new namespaces for network and mounts, with `hosts` over the
//! machine's file of that name. As root that needs nothing else; for others the kernel must allow user namespaces.

use std::path::Path;
use std::process::{Command, Output};

/// Says to the program called again that it is inside.
const INSIDE: &str = "LONGHAUL_TEST_INSIDE";
/// Said by the shell when everything stands: what fails before it is the namespace, what fails after it the test.
const READY: &str = "the namespace is ready";
const SETUP: &str = r#"ip link set lo up; mount --bind "$1" /etc/hosts; shift; echo "$0"; exec "$@""#;

/// Runs the body in a namespace. `name` is the test's own, with its modules.
pub(crate) fn alone(name: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        return runtime().block_on(body);
    }
    let output = again(name);
    let told = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    println!("{told}");
    assert!(
        told.contains(READY),
        "NOT PROVED: the SDKs need ports and names of their own, and no namespace could be had"
    );
    // A name that is no test's runs nothing and fails nothing.
    assert!(output.status.success() && told.contains("1 passed"), "{name} failed inside, see above");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn again(name: &str) -> Output {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official_sdk/hosts");
    let mut command = Command::new("unshare");
    command
        .arg(flags())
        .args(["--", "sh", "-euc", SETUP, READY])
        .arg(hosts)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1");
    command.output().unwrap_or_else(|error| panic!("NOT PROVED: cannot run unshare: {error}"))
}

/// Network and mounts; for those who are not root a user namespace in which they are.
fn flags() -> &'static str {
    let may = Command::new("unshare").args(["-nm", "true"]).output().is_ok_and(|output| output.status.success());
    if may { "-nm" } else { "-Urnm" }
}
