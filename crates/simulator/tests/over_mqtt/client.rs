//! A small MQTT client: it writes packets by hand and reads one at a time.

use std::time::Duration;

use simulator::Simulator;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::https::{Device, tls_to};

/// Nothing on one machine takes longer, also on a busy one.
pub const SOON: Duration = Duration::from_secs(10);
/// Long enough to notice what should not come.
pub const A_WHILE: Duration = Duration::from_millis(300);

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

pub struct Client {
    wire: Box<dyn Wire>,
}

/// First byte and the rest of a packet.
pub type Packet = (u8, Vec<u8>);

pub fn puback(id: u16) -> Packet {
    (0x40, id.to_be_bytes().to_vec())
}

pub fn suback(id: u16, code: u8) -> Packet {
    let mut body = id.to_be_bytes().to_vec();
    body.push(code);
    (0x90, body)
}

pub fn connack(has_session: bool, code: u8) -> Packet {
    (0x20, vec![u8::from(has_session), code])
}

fn block(text: &str) -> Vec<u8> {
    let mut all = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(text.as_bytes());
    all
}

impl Client {
    /// A device that is let in over MQTT.
    pub async fn device(simulator: &Simulator, id: &str) -> Self {
        let mut client = Self::on(tls_to(simulator, simulator.started().mqtt).await);
        client.connect_device(simulator, id).await;
        assert_eq!(client.next().await, Some(connack(false, 0)));
        client
    }

    pub fn on(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire) }
    }

    pub async fn connect_device(&mut self, simulator: &Simulator, id: &str) {
        let user_name = format!("{}/{id}/?api-version=2021-04-12&DeviceClientType=test%2F1", simulator.started().hub);
        self.connect(id, &user_name, &Device::new(simulator, id).hub_token()).await;
    }

    /// No clean session, a keep-alive of a minute.
    pub async fn connect(&mut self, id: &str, user_name: &str, password: &str) {
        let mut body = block("MQTT");
        body.extend_from_slice(&[4, 0xc0, 0, 60]);
        [id, user_name, password].iter().for_each(|text| body.extend(block(text)));
        self.write(0x10, &body).await;
    }

    /// At QoS 1.
    pub async fn publish(&mut self, id: u16, topic: &str, payload: &[u8]) {
        let mut body = block(topic);
        body.extend_from_slice(&id.to_be_bytes());
        body.extend_from_slice(payload);
        self.write(0x32, &body).await;
    }

    pub async fn subscribe(&mut self, id: u16, filter: &str) {
        let mut body = id.to_be_bytes().to_vec();
        body.extend(block(filter));
        body.push(1);
        self.write(0x82, &body).await;
        assert_eq!(self.next().await, Some(suback(id, 1)));
    }

    pub async fn write(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut length = body.len();
        loop {
            let low = u8::try_from(length & 0x7f).unwrap();
            length >>= 7;
            packet.push(if length > 0 { low | 0x80 } else { low });
            if length == 0 {
                break;
            }
        }
        packet.extend_from_slice(body);
        // A connection that the server has ended may not take it.
        let _ = self.wire.write_all(&packet).await;
        let _ = self.wire.flush().await;
    }

    /// The next packet; none at the end of the connection.
    pub async fn next(&mut self) -> Option<Packet> {
        timeout(SOON, self.read()).await.expect("neither a packet nor the end came")
    }

    /// The topic and payload of the next packet, a message without an id.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        let (first, body) = self.next().await.expect("a message is wanted");
        assert_eq!(first, 0x30);
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        (String::from_utf8(body[2..2 + length].to_vec()).unwrap(), body[2 + length..].to_vec())
    }

    /// Nothing comes, and the connection stays.
    pub async fn is_left_alone(&mut self) -> bool {
        timeout(A_WHILE, self.read()).await.is_err()
    }

    async fn read(&mut self) -> Option<Packet> {
        let first = self.wire.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.wire.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.wire.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }
}

pub async fn with_devices(ids: &[&str]) -> Simulator {
    let simulator = simulator::start(crate::https::options()).await.unwrap();
    simulator.enrol(&ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()).unwrap();
    simulator
}

pub fn set_faults(simulator: &Simulator, faults: serde_json::Value) {
    simulator.set_faults(serde_json::from_value(faults).unwrap());
}
