//! What each of Microsoft's SDKs, and two tools, need: ports that they cannot be told, how they trust a CA, what they
//! are configured with. Seen by running them; for C# and C by their sources.

use simulator::Started;

use super::{Needs, quoted};

const HTTPS: u16 = 443;
const AMQP: u16 = 5671;
const MQTT: u16 = 8883;

/// For a device of this name.
pub(super) fn all(started: &Started, device: &str) -> Vec<Needs> {
    let facts = Facts { started, device, ca: started.ca_file.display().to_string() };
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
        if let Some(page) = s.page {
            notes.push(format!(
                "a device without registering: curl -s localhost:{page}/api/devices -d '[\"{}\"]'",
                self.device
            ));
        }
        Needs { sdk: "all", notes, ..Needs::default() }
    }

    fn node_provisioning(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.registration()).collect();
        let notes = vec!["the variable is read when node starts, a script cannot set it for itself".to_owned()];
        Needs {
            sdk: "Node: azure-iot-provisioning-device-*",
            env,
            notes,
            ports_missing: self.missing(&[HTTPS, AMQP, MQTT]),
        }
    }

    fn node_device(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.device_string()).collect();
        let notes = vec![
            "instead of the variable: await client.setOptions({ca: FILE}) before open".to_owned(),
            "MQTT and AMQP dial GatewayHostName=NAME in the connection string, where it is there".to_owned(),
        ];
        Needs { sdk: "Node: azure-iot-device-*", env, notes, ports_missing: self.missing(&[HTTPS, AMQP, MQTT]) }
    }

    fn node_service(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.service_string()).collect();
        Needs { sdk: "Node: azure-iothub", env, notes: Vec::new(), ports_missing: self.missing(&[HTTPS, AMQP]) }
    }

    fn node_events(&self) -> Needs {
        let env = self.ca("NODE_EXTRA_CA_CERTS").into_iter().chain(self.events_string()).collect();
        let notes = vec!["takes any AMQP port; with webSocketOptions it knows only 443".to_owned()];
        Needs { sdk: "Node: @azure/event-hubs", env, notes, ports_missing: Vec::new() }
    }

    fn python_device(&self) -> Needs {
        let env = self.ca("SSL_CERT_FILE").into_iter().chain(self.registration()).chain(self.device_string()).collect();
        let notes = vec![
            "instead of the variable: server_verification_cert=open(FILE).read()".to_owned(),
            "port 8883, with websockets=True 443".to_owned(),
        ];
        Needs { sdk: "Python: azure-iot-device", env, notes, ports_missing: self.missing(&[HTTPS, MQTT]) }
    }

    fn python_service(&self) -> Needs {
        let env = self.ca("REQUESTS_CA_BUNDLE").into_iter().chain(self.service_string()).collect();
        let append = format!("cat {} >> \"$(python3 -c 'import certifi; print(certifi.where())')\"", quoted(&self.ca));
        let notes = vec![
            format!("messages to devices go over AMQP, which trusts certifi's file only: {append}"),
            "2.7.0 needs six, which it forgets to require".to_owned(),
        ];
        Needs { sdk: "Python: azure-iot-hub", env, notes, ports_missing: self.missing(&[HTTPS, AMQP]) }
    }

    fn python_events(&self) -> Needs {
        let env = self.events_string().into_iter().collect();
        let notes = vec![
            format!("trusts what it is told: connection_verify={:?}", self.ca),
            "takes any AMQP port; as AmqpOverWebsocket it knows only 443".to_owned(),
        ];
        Needs { sdk: "Python: azure-eventhub", env, notes, ports_missing: Vec::new() }
    }

    fn dotnet(&self) -> Needs {
        let env = self.registration().into_iter().chain(self.device_string()).chain(self.service_string()).collect();
        let notes = vec![format!("trusts the system's store: add {} to it (not tried here)", self.ca)];
        Needs { sdk: "C#: Microsoft.Azure.Devices.*", env, notes, ports_missing: self.missing(&[HTTPS, AMQP, MQTT]) }
    }

    fn c(&self) -> Needs {
        let env = self.registration().into_iter().chain(self.device_string()).collect();
        let notes = vec![format!("trusts the text of {} as option TrustedCerts (not tried here)", self.ca)];
        Needs { sdk: "C: azure-iot-sdk-c", env, notes, ports_missing: self.missing(&[HTTPS, AMQP, MQTT]) }
    }

    fn mosquitto(&self) -> Needs {
        let (s, device) = (self.started, self.device);
        let publish = format!(
            "mosquitto_pub --cafile {} -h {} -p {} -V 311 -q 1 -i {device} -u '{}/{device}/?api-version=2021-04-12' -P \"$SAS\" -t devices/{device}/messages/events/ -m '{{}}'",
            quoted(&self.ca),
            s.host,
            s.mqtt,
            s.hub
        );
        let notes = vec!["-P wants a SharedAccessSignature for HOST/devices/ID, as for any hub".to_owned(), publish];
        Needs { sdk: "mosquitto", notes, ..Needs::default() }
    }

    fn curl(&self) -> Needs {
        let (s, device) = (self.started, self.device);
        let note = format!(
            "curl --cacert {} -H \"Authorization: $SAS\" 'https://{}:{}/devices/{device}/messages/events?api-version=2021-04-12' -d '{{}}'",
            quoted(&self.ca),
            s.host,
            s.https
        );
        Needs { sdk: "curl", notes: vec![note], ..Needs::default() }
    }
}
