//! Devices over MQTT, one on a connection. The few packets that are needed are written here by hand (MQTT 3.1.1).

use std::ops::Range;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Crowd;
use crate::server::{Server, name};
use crate::wire::{Dialler, Wire, body, each, token};

pub(crate) struct Devices(Vec<(String, Wire)>);

pub(crate) async fn crowd(server: &Server, devices: Range<usize>) -> Devices {
    let dialler = Dialler::new(server.port("mqtt"), server.text("ca_pem"));
    let group_key = server.text("group_key");
    let connected = each(devices.len(), |at| {
        let (dialler, name) = (&dialler, name(devices.start + at));
        async move {
            let mut wire = dialler.dial().await;
            wire.write_all(&connect(&name, &token(group_key, &name))).await.expect("written");
            wire.flush().await.expect("flushed");
            let mut answer = [0; 4];
            wire.read_exact(&mut answer).await.expect("an answer");
            assert_eq!((answer[0], answer[3]), (0x20, 0), "connected");
            (name, wire)
        }
    });
    Devices(connected.await)
}

impl Crowd for Devices {
    fn connections(&self) -> usize {
        self.0.len()
    }

    async fn talk(&mut self, rounds: usize) {
        let talks = self.0.drain(..).map(|(name, mut wire)| {
            tokio::spawn(async move {
                for round in 1..=rounds as u16 {
                    wire.write_all(&publish(&name, round)).await.expect("written");
                    wire.flush().await.expect("flushed");
                    let mut answer = [0; 4];
                    wire.read_exact(&mut answer).await.expect("an answer");
                    assert_eq!((answer[0], u16::from_be_bytes([answer[2], answer[3]])), (0x40, round), "acknowledged");
                }
                (name, wire)
            })
        });
        let talks: Vec<_> = talks.collect();
        for talk in talks {
            self.0.push(talk.await.expect("a talk"));
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let rest = parts.concat();
    let mut bytes = vec![first];
    let mut length = rest.len();
    loop {
        bytes.push((length % 128) as u8 | if length < 128 { 0 } else { 128 });
        length /= 128;
        if length == 0 {
            break;
        }
    }
    bytes.extend(rest);
    bytes
}

fn connect(name: &str, token: &str) -> Vec<u8> {
    let user = format!("localhost/{name}/?api-version=2021-04-12");
    // User name and password, a session that is kept, four minutes of keep-alive.
    packet(0x10, &[&text("MQTT"), &[4, 0xc0, 0, 240], &text(name), &text(&user), &text(token)])
}

fn publish(name: &str, id: u16) -> Vec<u8> {
    packet(0x32, &[&text(&format!("devices/{name}/messages/events/")), &id.to_be_bytes(), &body()])
}
