//! Uplinks as the networks post them, made so that the judge can tell from a delivered body whose it is and whether it
//! was changed on the way.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The raw payload of one device's uplink, which no other uplink has.
pub(crate) fn payload(device: &str, counter: u32) -> String {
    let mut bytes = counter.to_be_bytes().to_vec();
    bytes.extend(device.bytes().rev().take(12));
    STANDARD.encode(bytes)
}

/// A message of The Things Stack, about as long as real ones.
pub(crate) fn tts(application: &str, device: &str, counter: u32) -> Vec<u8> {
    let payload = payload(device, counter);
    let decoded =
        format!(r#"{{"temperature":{}.{},"humidity":{},"door":"closed"}}"#, counter % 40, counter % 10, counter % 100);
    tts_with(application, device, counter, &payload, &decoded)
}

/// The same with any payload and decoded fields (JSON text).
pub(crate) fn tts_with(application: &str, device: &str, counter: u32, payload: &str, decoded: &str) -> Vec<u8> {
    let eui = eui(device);
    let (minute, second) = (counter / 60 % 60, counter % 60);
    let at = format!("2026-03-04T05:{minute:02}:{second:02}.789585559Z");
    format!(
        r#"{{
  "end_device_ids": {{
    "device_id": "{device}", "application_ids": {{"application_id": "{application}"}},
    "dev_eui": "{eui}", "join_eui": "70B3D57ED0000000", "dev_addr": "260B1234"
  }},
  "correlation_ids": ["as:up:01J{counter:010}", "rpc:/ttn.lorawan.v3.AppAs/SimulateUplink:01J{counter:010}"],
  "received_at": "{at}",
  "uplink_message": {{
    "session_key_id": "AZcQ1ZkUm4X0sb2u0pZ8Hw==",
    "f_port": 15, "f_cnt": {counter}, "frm_payload": "{payload}",
    "decoded_payload": {decoded},
    "rx_metadata": [{{
      "gateway_ids": {{"gateway_id": "roof-north", "eui": "B827EBFFFE123456"}},
      "time": "{at}", "timestamp": 2463457000, "rssi": -97, "channel_rssi": -97, "snr": 7.5,
      "location": {{"latitude": 52.0116, "longitude": 4.3571, "altitude": 23, "source": "SOURCE_REGISTRY"}},
      "uplink_token": "ChgKFgoKcm9vZi1ub3J0aBIIuCfr//4SNFYQ6L3VlgkaDAiA0NzEBhDA5aztAiDQ+ZC2rEc=", "channel_index": 2,
      "received_at": "{at}"
    }}],
    "settings": {{
      "data_rate": {{"lora": {{"bandwidth": 125000, "spreading_factor": 7, "coding_rate": "4/5"}}}},
      "frequency": "868300000", "timestamp": 2463457000, "time": "{at}"
    }},
    "received_at": "{at}", "consumed_airtime": "0.056576s",
    "network_ids": {{"net_id": "000013", "tenant_id": "ttn", "cluster_id": "eu1", "cluster_address": "eu1.cloud.thethings.network"}}
  }}
}}"#
    )
    .into_bytes()
}

/// A message of the old TTN V2, with the URL and the key that it brings along.
pub(crate) fn ttn_v2(application: &str, device: &str, counter: u32, is_retry: bool, key: &str) -> Vec<u8> {
    let (eui, payload) = (eui(device), payload(device, counter));
    format!(
        r#"{{"app_id":"{application}","dev_id":"{device}","hardware_serial":"{eui}","port":5,"counter":{counter},
"is_retry":{is_retry},"confirmed":false,"payload_raw":"{payload}","payload_fields":{{"analog_in_0":0.02,"digital_in_0":1}},
"metadata":{{"time":"2020-08-30T10:18:33.131415511Z","frequency":868.1,"modulation":"LORA","data_rate":"SF7BW125",
"coding_rate":"4/5","gateways":[{{"gtw_id":"eui-b827ebfffe123456","timestamp":2821349796,"time":"","channel":0,
"rssi":-39,"snr":9.2,"rf_chain":0,"latitude":52.0116,"longitude":4.3571,"altitude":23}}]}},
"downlink_url":"https://integrations.thethingsnetwork.org/ttn-eu/api/v2/down/{application}/azure?key={key}"}}"#
    )
    .into_bytes()
}

/// Sixteen upper-case hexadecimal digits that depend on the name.
fn eui(device: &str) -> String {
    let sum = device
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{sum:016X}")
}
