//! How Microsoft's clients are set up here: our connections, our signature, no tries of their own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use azure::exchange::Limits;
use azure::net::Dial;
use azure_core::credentials::TokenCredential;
use azure_core::http::policies::Policy;
use azure_core::http::{ClientOptions, RetryOptions, Transport as AnyTransport, Url};
use microsoft::{Failure, Kind, Transport, WithoutTls};
use queue::Clock;
use queue::blobs::{BLOB_BYTES_MAX, CALL_MAX, LARGE_CALL_MAX};

use crate::account::{Account, AccountError, Service, Who, wrong};
use crate::call::Noting;
use crate::sign::Signing;

/// A SYN that was lost once is sent again after a second, and TLS has two round trips; then there is time for an answer.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// Whoever gives tokens is asked by one client at a time, and by both at a start.
const TOKEN_CONNECTIONS: usize = 2;
/// A token comes at once or not in time for the call that waits for it, whose [`CALL_MAX`] goes on: 2 s, of which connecting may
/// take one.
const TOKEN_WITHIN: Duration = Duration::from_secs(2);

/// What an account is reached with.
#[derive(Clone)]
pub struct Means {
    /// Connections with TLS.
    pub secure: Arc<dyn Dial>,
    /// Connections without, to this machine: an emulator, and whoever tells a managed identity.
    pub plain: Arc<dyn Dial>,
    /// Signs along: a request that is off by 15 minutes is refused.
    pub clock: Clock,
    /// The environment of the process, for [`Kind`]'s variables.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Means")
    }
}

/// What a client is made of.
pub(crate) struct Parts {
    pub(crate) url: Url,
    /// Who we are to Entra, in words, and what gives its tokens.
    pub(crate) entra: Option<(String, Arc<dyn TokenCredential>)>,
    policies: Vec<Arc<dyn Policy>>,
    means: Means,
}

impl Parts {
    /// Of a container or a queue of this account.
    pub(crate) fn new(account: &Account, service: Service, name: &str, means: &Means) -> Result<Self, AccountError> {
        let part = match service {
            Service::Blobs => "the container's name",
            Service::Queues => "the queue's name",
        };
        let url = crate::place::within(part, account.place(service)?, name)?;
        let entra = match &account.who {
            Who::Entra(_) if url.scheme() != "https" => {
                let cause = "is an identity, and its token would go over http:// for whoever listens to take";
                return Err(wrong("the credential", cause, "use https://, or a key or a signature for an emulator"));
            }
            Who::Entra(wish) => Some(identity(*wish, means)?),
            Who::Key(_) | Who::Sas(_) => None,
        };
        // Nearest to the wire comes last: what is noted is the answer to what was signed.
        let signing = Signing::of(account, &means.clock).map(|signing| Arc::new(signing) as Arc<dyn Policy>);
        let policies = std::iter::once(Arc::new(Noting) as Arc<dyn Policy>).chain(signing).collect();
        Ok(Self { url, entra, policies, means: means.clone() })
    }

    /// For a client with so many connections of its own.
    pub(crate) fn options(&self, connections: usize) -> ClientOptions {
        let limits = Limits {
            connections,
            connect_timeout: CONNECT_MAX,
            answer_timeout: LARGE_CALL_MAX,
            head_timeout: CALL_MAX,
            // The list of 5 000 names has about 4 MiB.
            answer_bytes: BLOB_BYTES_MAX,
            ..Limits::default()
        };
        let transport = transport(&self.means, WithoutTls::Service, limits);
        ClientOptions { per_try_policies: self.policies.clone(), ..transport }
    }

    pub(crate) fn credential(&self) -> Option<Arc<dyn TokenCredential>> {
        self.entra.as_ref().map(|(_, credential)| credential.clone())
    }
}

/// One try: theirs last a minute, which is longer than anybody here has, and would hide why.
fn transport(means: &Means, without_tls: WithoutTls, limits: Limits) -> ClientOptions {
    let transport = Transport::new(means.secure.clone(), means.plain.clone(), without_tls, limits);
    ClientOptions {
        retry: RetryOptions::none(),
        transport: Some(AnyTransport::new(Arc::new(transport))),
        ..Default::default()
    }
}

fn identity(wish: Option<Kind>, means: &Means) -> Result<(String, Arc<dyn TokenCredential>), AccountError> {
    let env: BTreeMap<&str, &str> = means.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let variable = |name: &str| env.get(name).map(|value| (*value).to_owned());
    let limits = Limits {
        connections: TOKEN_CONNECTIONS,
        connect_timeout: TOKEN_WITHIN / 2,
        answer_timeout: TOKEN_WITHIN,
        ..Limits::default()
    };
    let refused =
        |failure: Failure| wrong("the credential", format!("cannot be used: {}", failure.cause), failure.mend);
    let choice = microsoft::choose("the storage account", wish, &variable).map_err(refused)?;
    let options = transport(means, WithoutTls::Identity, limits);
    let credential = microsoft::make(&choice, &variable, options).map_err(refused)?;
    Ok((choice.found, credential))
}
