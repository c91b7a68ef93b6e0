//! What is printed, for a simulator on usual ports and one on standard ports.

use super::*;

const NOW: i64 = 1_767_225_600_000;

fn started(keys: bool, standard: bool) -> Started {
    let mut value = serde_json::json!({
        "https": if standard { 443 } else { 8443 }, "amqp": 5671, "mqtt": 8883, "page": 8082,
        "host": "hub1.net", "id_scope": "0ne1", "dps_endpoint": "hub1.net:8443", "hub": "hub1.net",
        "ca_file": "/tmp/it's/ca.pem", "more_hubs": [{"hub": "hub2.net"}],
    });
    if keys {
        value["group_key"] = "MDEyMzQ1Njc4OWFiY2RlZg==".into();
        value["service_connection_string"] =
            "HostName=hub1.net;SharedAccessKeyName=iothubowner;SharedAccessKey=a=".into();
        value["event_hub_connection_string"] =
            "Endpoint=sb://hub1.net/;SharedAccessKeyName=iothubowner;SharedAccessKey=a=;EntityPath=hub1".into();
    }
    serde_json::from_value(value).unwrap()
}

fn text(started: &Started) -> String {
    as_text(started, &sdks::all(started, "d1", NOW))
}

#[test]
fn with_keys_it_can_be_pasted() {
    let text = text(&started(true, false));
    for line in [
        r"export NODE_EXTRA_CA_CERTS='/tmp/it'\''s/ca.pem'",
        "export PROVISIONING_IDSCOPE=0ne1",
        "export IOTHUB_CONNECTION_STRING='HostName=hub1.net;SharedAccessKeyName=iothubowner;SharedAccessKey=a='",
        "export EVENTHUB_CONNECTION_STRING='Endpoint=sb://hub1.net:5671/;SharedAccessKeyName=iothubowner;SharedAccessKey=a=;EntityPath=hub1'",
        "# each name must lead here; in /etc/hosts: 127.0.0.1 hub1.net hub2.net",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is missing:\n{text}");
    }
    let outside: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# ") && !line.starts_with("export "))
        .map(|line| line.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(outside, ["curl", "mosquitto_pub", "curl"], "a shell would stumble");
    assert!(
        text.contains("export SAS='SharedAccessSignature sr=hub1.net%2Fdevices%2Fd1&")
            && text.contains("&se=1767229200")
    );
    assert!(text.contains("PROVISIONING_SYMMETRIC_KEY=") && text.contains("DeviceId=d1;SharedAccessKey="));
}

#[test]
fn without_keys_it_says_so_and_leaves_them_out() {
    let text = text(&started(false, false));
    assert!(
        text.contains("give --dir") && !text.contains("SharedAccessKey") && !text.contains("SYMMETRIC_KEY"),
        "{text}"
    );
    assert!(text.contains("export PROVISIONING_HOST=hub1.net"));
    assert!(
        text.contains("\n# curl -sS ") && !text.contains("\ncurl -sS --cacert"),
        "without a token it can only be shown"
    );
}

#[test]
fn ports_that_an_sdk_cannot_be_told_are_missing_unless_they_are_the_standard_ones() {
    let missing = |started: &Started| -> Vec<(&str, Vec<u16>)> {
        let needs = sdks::all(started, "d1", NOW).into_iter();
        needs.filter(|one| !one.ports_missing.is_empty()).map(|one| (one.sdk, one.ports_missing)).collect()
    };
    assert_eq!(missing(&started(true, true)), []);
    let usual = missing(&started(true, false));
    assert!(usual.iter().all(|(_, ports)| ports == &[443]) && usual.len() == 7, "{usual:?}");
    assert!(text(&started(true, false)).contains("start azure-sim with --standard-ports"));
    let none = Started { mqtt: 1883, ..started(true, true) };
    assert!(missing(&none).contains(&("Python: azure-iot-device", vec![8883])));
}

#[test]
fn as_json_it_is_one_line_with_every_sdk() {
    let started = started(true, false);
    let line = as_json(&sdks::all(&started, "d1", NOW));
    assert!(!line.contains('\n'));
    let all: Vec<serde_json::Value> = serde_json::from_str(&line).unwrap();
    let node = all.iter().find(|one| one["sdk"] == "Node: azure-iothub").unwrap();
    assert_eq!(
        (&node["env"]["NODE_EXTRA_CA_CERTS"], &node["ports_missing"]),
        (&"/tmp/it's/ca.pem".into(), &serde_json::json!([443]))
    );
}

#[tokio::test]
async fn a_directory_where_nothing_ran_and_a_port_where_nobody_listens_are_told() {
    let dir = std::env::temp_dir().join(format!("azure-sim-env-{}", std::process::id()));
    let said = kept(&dir).unwrap_err();
    assert!(said.contains("no simulator has run there") && said.contains("start one"), "{said}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = asked(free).await.unwrap_err();
    assert!(said.starts_with(&format!("--page {free}: no simulator answers")), "{said}");
}

#[tokio::test]
async fn a_running_simulator_is_asked_and_its_directory_knows_the_keys() {
    let dir = std::env::temp_dir().join(format!("azure-sim-env-runs-{}", std::process::id()));
    let options = simulator::Options {
        dir: Some(dir.clone()),
        page_port: Some(0),
        ..simulator::Options::new(std::sync::Arc::new(|| 1_767_225_600_000))
    };
    let simulator = simulator::start(options).await.unwrap();
    let asked = asked(simulator.started().page.unwrap()).await.unwrap();
    assert_eq!((asked.https, &asked.ca_file), (simulator.started().https, &simulator.started().ca_file));
    assert!(asked.group_key.is_empty() && asked.device_key("d1").is_none());
    simulator.stop().await.unwrap();
    let kept = kept(&dir).unwrap();
    assert!(kept.device_key("d1").is_some() && kept.ca_file.is_file());
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn names_that_a_shell_or_an_address_would_take_for_more_are_kept() {
    let started = started(true, false);
    let needs = sdks::all(&started, "it's#1", NOW);
    let command = |sdk: &str| needs.iter().find(|one| one.sdk == sdk).unwrap().commands[0].clone();
    assert!(command("curl").contains("/devices/it%27s%231/messages/"), "{}", command("curl"));
    assert!(command("mosquitto").contains(r"-t 'devices/it'\''s#1/messages/events/'"), "{}", command("mosquitto"));
}
