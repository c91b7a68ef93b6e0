//! Connections without TLS: the endpoints that tell a managed identity stand on this machine and speak plain HTTP.

use std::io;
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint, Stream};
use tokio::net::TcpStream;

/// Nobody is there when a machine is none of Azure's: then the packets to 169.254.169.254 vanish.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// Dials TCP and nothing more.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Dial for Plain {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let Endpoint { host, port } = endpoint.clone();
        Box::pin(async move {
            let opening = TcpStream::connect((host.as_str(), port));
            let stream = tokio::time::timeout(CONNECT_WITHIN, opening).await.map_err(|_| io::ErrorKind::TimedOut)??;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
