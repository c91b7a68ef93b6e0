//! Running out of file descriptors, in a process of its own.

use std::process::Command;
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::site::{Client, Site, UPLINK, post};

const INSIDE: &str = "DOOR_TEST_FEW_DESCRIPTORS";

#[test]
fn the_door_survives_running_out_of_descriptors() {
    let itself = std::env::current_exe().expect("the path of this test");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 300 && exec \"$0\" \"$@\""])
        .arg(itself)
        .args(["--exact", "descriptors::inside", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("served again"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "this is how the test above reaches into its child")]
async fn inside() {
    if std::env::var(INSIDE).is_err() {
        return;
    }
    let site = Site::plain().await;
    let socket = TcpSocket::new_v4().expect("a socket while there are descriptors");
    let mut eaten = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        eaten.push(file);
    }
    let mut client = Client(socket.connect(site.address).await.expect("the kernel accepts"));
    client.send(&post("/tts", "", UPLINK.as_bytes())).await;
    site.counts("connections_failed_total", 3).await;
    assert!(!client.is_closed_within(Duration::from_millis(100)).await, "the door answered without a descriptor");
    drop(eaten);
    assert_eq!(client.reply().await.status, 202);
    assert!(site.count("connections_failed_total") < 100, "the accept loop spins");
    println!("served again");
}
