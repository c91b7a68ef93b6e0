//! Where connections come from. The flow never opens a socket itself: it asks a [`Dial`], so that tests and the
//! simulation can put another network underneath. [`Tls`] is the one that production uses.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

mod tls;

pub use tls::{Tls, TlsError};

/// A host and a port to connect to. The host is also the name in TLS (SNI, certificate).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// Host name or IP address, without port and without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No host before the port, or nothing at all.
    #[error("the host is empty")]
    Empty,
    /// `https://…` or a path.
    #[error("only host or host:port is wanted, without https:// and without a path")]
    Url,
    /// Something that no host name has.
    #[error("a host name cannot contain {0:?}")]
    Character(char),
    /// Over 253 characters, DNS's bound.
    #[error("the host name is longer than 253 characters")]
    TooLong,
    /// Not a number in 1..=65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

impl Endpoint {
    /// Reads `host`, `host:port`, `1.2.3.4:port`, `[::1]:port` or `::1`. Host names become lower case.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, EndpointError> {
        let text = text.trim();
        if text.contains('/') {
            return Err(EndpointError::Url);
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port: default_port });
        }
        let (host, port) = split_port(text)?;
        let port = port.map_or(Ok(default_port), parse_port)?;
        Ok(Self { host: check_host(host)?, port })
    }

    /// What the `Host` header says: the port only where it is not 443.
    pub fn authority(&self) -> String {
        let host = Bracketed(&self.host);
        if self.port == 443 { host.to_string() } else { format!("{host}:{}", self.port) }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), EndpointError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(EndpointError::Character('['))?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| EndpointError::Character('['))?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(EndpointError::Port),
        };
    }
    Ok(text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    text.parse().ok().filter(|port| *port != 0).ok_or(EndpointError::Port)
}

fn check_host(host: &str) -> Result<String, EndpointError> {
    if host.is_empty() {
        return Err(EndpointError::Empty);
    }
    if host.len() > 253 {
        return Err(EndpointError::TooLong);
    }
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    match host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')) {
        Some(c) => Err(EndpointError::Character(c)),
        None => Ok(host.to_ascii_lowercase()),
    }
}

/// An IPv6 address needs brackets wherever a port may follow.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What [`Dial::dial`] returns.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Opens secure connections.
pub trait Dial: Send + Sync + fmt::Debug {
    /// Connects, with TLS already up. Bounded by the caller.
    fn dial(&self, endpoint: &Endpoint) -> Dialing;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_with_and_without_port() {
        let cases = [
            (
                "Global.azure-devices-provisioning.net",
                "global.azure-devices-provisioning.net:443",
                "global.azure-devices-provisioning.net",
            ),
            ("localhost:8443", "localhost:8443", "localhost:8443"),
            (" 127.0.0.1 ", "127.0.0.1:443", "127.0.0.1"),
            ("[::1]:8443", "[::1]:8443", "[::1]:8443"),
            ("[::1]", "[::1]:443", "[::1]"),
            ("::1", "[::1]:443", "[::1]"),
        ];
        for (text, shown, authority) in cases {
            let endpoint = Endpoint::parse(text, 443).unwrap();
            assert_eq!((endpoint.to_string().as_str(), endpoint.authority().as_str()), (shown, authority), "{text}");
        }
    }

    #[test]
    fn endpoints_that_are_none_are_refused_by_cause() {
        let cases = [
            ("", EndpointError::Empty),
            (":443", EndpointError::Empty),
            ("https://host", EndpointError::Url),
            ("host/path", EndpointError::Url),
            ("host:0", EndpointError::Port),
            ("host:65536", EndpointError::Port),
            ("host:", EndpointError::Port),
            ("[::1]x", EndpointError::Port),
            ("a b", EndpointError::Character(' ')),
            ("a@b", EndpointError::Character('@')),
            ("a\r\nb", EndpointError::Character('\r')),
            ("[x]:1", EndpointError::Character('[')),
        ];
        for (text, error) in cases {
            assert_eq!(Endpoint::parse(text, 443), Err(error), "{text:?}");
        }
        assert_eq!(Endpoint::parse(&"a".repeat(254), 443), Err(EndpointError::TooLong));
    }
}
