//! A client that is not ours: mosquitto's, as it stands in tutorials.

use std::process::Output;
use std::time::Duration;

use simulator::Simulator;
use tokio::process::Command;

use crate::client::with_devices;
use crate::https::Device;

async fn publish(simulator: &Simulator, user_name: &str, topic: &str, qos: &str) -> Output {
    let started = simulator.started();
    let port = started.mqtt.to_string();
    let token = Device::new(simulator, "d1").hub_token();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "localhost", "-p", &port, "-V", "mqttv311", "-q", qos, "-i", "d1", "-u", user_name]);
    command.args(["-P", &token, "-t", topic, "-m", r#"{"t":1}"#, "--cafile"]).arg(&started.ca_file);
    let run = tokio::time::timeout(Duration::from_secs(20), command.kill_on_drop(true).output());
    run.await.expect("it does not end").expect("mosquitto-clients is wanted (./test installs it)")
}

#[tokio::test]
async fn mosquitto_publishes_and_hears_why_it_may_not() {
    let simulator = with_devices(&["d1"]).await;
    let name = "localhost/d1/?api-version=2021-04-12";
    let output = publish(&simulator, name, "devices/d1/messages/events/%24.ct=application%2Fjson", "1").await;
    assert!(output.status.success(), "{output:?}");
    let messages = simulator.messages(10);
    assert_eq!(messages.first().and_then(|message| message.content_type.as_deref()), Some("application/json"));
    let output = publish(&simulator, "localhost/d1", "devices/d1/messages/events/", "1").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.to_ascii_lowercase().contains("not authorised"), "{said}");
    let output = publish(&simulator, name, "devices/d1/messages/events/", "2").await;
    assert!(!output.status.success() && simulator.counts().messages_total == 1, "{output:?}");
}
