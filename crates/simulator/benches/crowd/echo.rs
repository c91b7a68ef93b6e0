//! What TLS alone costs: connections on which a body is sent and comes back.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::Server;
use crate::wire::{Dialler, Wire, body, each};
use crate::{BODY_BYTES, Crowd};

pub(crate) struct Echo(Vec<Wire>);

pub(crate) async fn crowd(server: &Server, connections: usize) -> Echo {
    let dialler = Dialler::new(server.port("echo"), server.text("echo_pem"));
    Echo(each(connections, |_| dialler.dial()).await)
}

impl Crowd for Echo {
    fn connections(&self) -> usize {
        self.0.len()
    }

    async fn talk(&mut self, rounds: usize) {
        let talks = self.0.drain(..).map(|mut wire| {
            tokio::spawn(async move {
                let (sent, mut back) = (body(), [0; BODY_BYTES]);
                for _ in 0..rounds {
                    wire.write_all(&sent).await.expect("written");
                    wire.flush().await.expect("flushed");
                    wire.read_exact(&mut back).await.expect("read");
                }
                wire
            })
        });
        let talks: Vec<_> = talks.collect();
        for talk in talks {
            self.0.push(talk.await.expect("a talk"));
        }
    }
}
