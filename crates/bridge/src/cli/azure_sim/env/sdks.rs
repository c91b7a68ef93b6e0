//! What each of Microsoft's SDKs, and two tools, need: ports that they cannot be told, how they trust a CA, what they
//! are configured with. Seen by running them; for C# and C by their sources.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use queue::UnixMillis;
use simulator::Started;

use super::{Needs, quoted};

const HTTPS: u16 = 443;
const AMQP: u16 = 5671;
const MQTT: u16 = 8883;
const API_VERSION: &str = "2021-04-12";
/// How long a token is good: enough to try things, and too short to be kept in a script.
const TOKEN_S: i64 = 3600;
/// What stays as it is in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// For a device of this name.
pub(super) fn all(started: &Started, device: &str, now: UnixMillis) -> Vec<Needs> {
    let facts = Facts { started, device, ca: started.ca_file.display().to_string(), now };
    vec![
        facts.names(),
        facts.node_provisioning(),
        facts.node_device(),
        facts.node_service(),
        facts.node_events(),
        facts.python_device(),
        facts.python_service(),
        facts.python_events(),
        facts.dotnet(),
        facts.c(),
        facts.mosquitto(),
        facts.curl(),
    ]
}

struct Facts<'a> {
    started: &'a Started,
    device: &'a str,
    ca: String,
    now: UnixMillis,
}

impl Facts<'_> {
    /// Those that the simulator has not.
    fn missing(&self, wanted: &[u16]) -> Vec<u16> {
        let is_there = |port: u16| match port {
            HTTPS => self.started.https == HTTPS,
            AMQP => self.started.amqp == AMQP,
            _ => self.started.mqtt == MQTT,
        };
        wanted.iter().copied().filter(|port| !is_there(*port)).collect()
    }

    fn registration(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![
            ("PROVISIONING_HOST", self.started.host.clone()),
            ("PROVISIONING_IDSCOPE", self.started.id_scope.clone()),
            ("PROVISIONING_REGISTRATION_ID", self.device.to_owned()),
        ];
        env.extend(self.started.device_key(self.device).map(|key| ("PROVISIONING_SYMMETRIC_KEY", key)));
        env
    }

    fn device_string(&self) -> Option<(&'static str, String)> {
        let key = self.started.device_key(self.device)?;
        let text = format!("HostName={};DeviceId={};SharedAccessKey={key}", self.started.hub, self.device);
        Some(("IOTHUB_DEVICE_CONNECTION_STRING", text))
    }

    fn service_string(&self) -> Option<(&'static str, String)> {
        let text = self.started.service_connection_string.clone();
        (!text.is_empty()).then_some(("IOTHUB_CONNECTION_STRING", text))
    }

    /// With the port, for readers can be told.
    fn events_string(&self) -> Option<(&'static str, String)> {
        let text = &self.started.event_hub_connection_string;
        let plain = format!("Endpoint=sb://{}/;", self.started.hub);
        let told = format!("Endpoint=sb://{}:{}/;", self.started.hub, self.started.amqp);
        (!text.is_empty()).then(|| ("EVENTHUB_CONNECTION_STRING", text.replacen(&plain, &told, 1)))
    }

    fn ca(&self, name: &'static str) -> Option<(&'static str, String)> {
        Some((name, self.ca.clone()))
    }

    fn names(&self) -> Needs {
        let s = self.started;
        let hubs = s.more_hubs.iter().map(|hub| hub.hub.as_str());
        let names: Vec<&str> =
            [s.host.as_str(), s.hub.as_str()].into_iter().chain(hubs).filter(|name| *name != "localhost").collect();
        let mut distinct = Vec::new();
        names.into_iter().for_each(|name| {
            if !distinct.contains(&name) {
                distinct.push(name)
            }
        });
        let mut notes = Vec::new();
        if !distinct.is_empty() {
            notes.push(format!("each name must lead here; in /etc/hosts: 127.0.0.1 {}", distinct.join(" ")));
        }
        let mut commands = Vec::new();
        if let Some(page) = s.page {
            notes.push("the line makes the device at the hub, without registering".to_owned());
            let ids = serde_json::json!([self.device]).to_string();
            commands.push(format!("curl -sS localhost:{page}/api/devices -d {}", quoted(&ids)));
        }
        Needs { sdk: "all", notes, commands, ..Needs::default() }
    }

    fn node_provisioning(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.registration()).collect();
        let notes = vec!["the variable is read when node starts, a script cannot set it for itself".to_owned()];
        Needs {
            sdk: "Node: azure-iot-provisioning-device-*",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP, MQTT]),
            ..Needs::default()
        }
    }

    fn node_device(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.device_string()).collect();
        let notes = vec![
            "instead of the variable: await client.setOptions({ca: FILE}) before open".to_owned(),
            "MQTT and AMQP dial GatewayHostName=NAME in the connection string, where it is there".to_owned(),
        ];
        Needs {
            sdk: "Node: azure-iot-device-*",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP, MQTT]),
            ..Needs::default()
        }
    }

    fn node_service(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.service_string()).collect();
        Needs { sdk: "Node: azure-iothub", env, ports_missing: self.missing(&[HTTPS, AMQP]), ..Needs::default() }
    }

    fn node_events(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.events_string()).collect();
        let notes = vec!["takes any AMQP port; with webSocketOptions it knows only 443".to_owned()];
        Needs { sdk: "Node: @azure/event-hubs", env, notes, ..Needs::default() }
    }

    fn python_device(&self) -> Needs {
        let env = self.ca("SSL_CERT_FILE").into_iter().chain(self.registration()).chain(self.device_string()).collect();
        let notes = vec![
            "instead of the variable: server_verification_cert=open(FILE).read()".to_owned(),
            "port 8883, with websockets=True 443".to_owned(),
        ];
        Needs {
            sdk: "Python: azure-iot-device",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, MQTT]),
            ..Needs::default()
        }
    }

    fn python_service(&self) -> Needs {
        let env = self.ca("REQUESTS_CA_BUNDLE").into_iter().chain(self.service_string()).collect();
        let append = format!("cat {} >> \"$(python3 -c 'import certifi; print(certifi.where())')\"", quoted(&self.ca));
        let notes = vec![
            format!("messages to devices go over AMQP, which trusts certifi's file only: {append}"),
            "2.7.0 needs six, which it forgets to require".to_owned(),
        ];
        Needs {
            sdk: "Python: azure-iot-hub",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP]),
            ..Needs::default()
        }
    }

    fn python_events(&self) -> Needs {
        let env = self.events_string().into_iter().collect();
        let notes = vec![
            format!("trusts what it is told: connection_verify={:?}", self.ca),
            "takes any AMQP port; as AmqpOverWebsocket it knows only 443".to_owned(),
        ];
        Needs { sdk: "Python: azure-eventhub", env, notes, ..Needs::default() }
    }

    fn dotnet(&self) -> Needs {
        let env = self.registration().into_iter().chain(self.device_string()).chain(self.service_string()).collect();
        let notes = vec![format!("trusts the system's store: add {} to it (not tried here)", self.ca)];
        Needs {
            sdk: "C#: Microsoft.Azure.Devices.*",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP, MQTT]),
            ..Needs::default()
        }
    }

    fn c(&self) -> Needs {
        let env = self.registration().into_iter().chain(self.device_string()).collect();
        let notes = vec![format!("trusts the text of {} as option TrustedCerts (not tried here)", self.ca)];
        Needs {
            sdk: "C: azure-iot-sdk-c",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP, MQTT]),
            ..Needs::default()
        }
    }

    /// Of the device, for tools that cannot make one.
    fn token(&self) -> Option<(&'static str, String)> {
        let key = STANDARD.decode(self.started.device_key(self.device)?).ok()?;
        let token = azure::sas::device_token(
            &self.started.hub,
            self.device,
            &azure::key::Signer::device(key),
            self.now / 1000 + TOKEN_S,
        );
        Some(("SAS", token.reveal().to_owned()))
    }

    /// A tool that is told all on its command line.
    fn tool(&self, sdk: &'static str, command: String) -> Needs {
        let (sends, good) = ("the line sends a message, where the device is at the hub", "SAS is good for an hour");
        match self.token() {
            Some(token) => {
                let notes = vec![format!("{sends}; {good}")];
                Needs { sdk, env: vec![token], commands: vec![command], notes, ..Needs::default() }
            }
            None => {
                let notes = vec![format!("{sends}; SAS is a SharedAccessSignature for HOST/devices/ID"), command];
                Needs { sdk, notes, ..Needs::default() }
            }
        }
    }

    fn mosquitto(&self) -> Needs {
        let (s, device) = (self.started, self.device);
        let command = format!(
            "mosquitto_pub --cafile {ca} -h {host} -p {port} -V 311 -q 1 -i {id} -u {user} -P \"$SAS\" -t {topic} -m '{{\"t\":21.5}}'",
            ca = quoted(&self.ca),
            host = quoted(&s.hub),
            port = s.mqtt,
            id = quoted(device),
            user = quoted(&format!("{}/{device}/?api-version={API_VERSION}", s.hub)),
            topic = quoted(&format!("devices/{device}/messages/events/")),
        );
        self.tool("mosquitto", command)
    }

    fn curl(&self) -> Needs {
        let s = self.started;
        let device = utf8_percent_encode(self.device, PLAIN);
        let address =
            format!("https://{}:{}/devices/{device}/messages/events?api-version={API_VERSION}", s.hub, s.https);
        let command = format!(
            "curl -sS --cacert {ca} -H \"Authorization: $SAS\" {address} -d '{{\"t\":21.5}}'",
            ca = quoted(&self.ca),
            address = quoted(&address),
        );
        self.tool("curl", command)
    }
}
