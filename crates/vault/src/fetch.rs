//! Fetches secrets: several at a time, each and all within a bound.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure::UnixSeconds;
use azure::exchange::Limits;
use azure::net::Dial;
use azure_core::credentials::TokenCredential;
use azure_core::http::{ClientOptions, ExponentialRetryOptions, RetryOptions, Transport as AnyTransport};
use azure_security_keyvault_secrets::models::{Secret, SecretClientGetSecretOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use futures_util::StreamExt as _;
use microsoft::{Choice, Failure, Kind, Transport, WithoutTls};
use tokio::time::{Instant, timeout_at};

use crate::failure;
use crate::reference::Reference;

/// One secret, with the token that it may need: three tries of 6 s each, and the waits between them.
pub const FETCH_WITHIN: Duration = Duration::from_secs(25);
/// All secrets of a configuration. With every vault away the first eight take their 25 s, and so do the next eight.
pub const FETCH_ALL_WITHIN: Duration = Duration::from_secs(60);
/// Requests under way at once: 64 secrets of 50 ms each take half a second, and a vault allows 4000 in ten seconds.
const AT_ONCE: usize = 8;
/// Connecting, and the answer to one try. Three tries without a connection, or without an answer, fit into [`FETCH_WITHIN`].
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// A secret's value. Prints as `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    value: String,
    ends_at: Option<UnixSeconds>,
}

impl Value {
    /// Wraps it. It has no end.
    pub fn new(value: String) -> Self {
        Self { value, ends_at: None }
    }

    /// The value, for the one place that must use it.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// When it runs out, as its vault says (`exp`). The vault gives it all the same, also afterwards.
    pub fn ends_at(&self) -> Option<UnixSeconds> {
        self.ends_at
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What came of each secret.
pub type Fetched = BTreeMap<Reference, Result<Value, Failure>>;

/// The vaults, and the credential that opens them. Keeps its tokens and connections from one fetch to the next.
pub struct Vaults {
    wish: Option<Kind>,
    env: BTreeMap<String, String>,
    transport: Arc<Transport>,
    open: Mutex<Open>,
}

/// What is made once it is needed.
#[derive(Default)]
struct Open {
    credential: Option<(String, Arc<dyn TokenCredential>)>,
    /// By the vault's address; each learns its scope from the first challenge.
    clients: BTreeMap<String, Arc<SecretClient>>,
}

impl fmt::Debug for Vaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vaults")
    }
}

impl Vaults {
    /// Asks nobody yet. `env` is the environment of the process; `secure` reaches vaults and Entra, `plain` the endpoints
    /// of a machine's own identity.
    pub fn new(wish: Option<Kind>, env: &[(String, String)], secure: Arc<dyn Dial>, plain: Arc<dyn Dial>) -> Self {
        let limits = Limits {
            connections: AT_ONCE,
            connect_timeout: ANSWER_WITHIN,
            answer_timeout: ANSWER_WITHIN,
            ..Limits::default()
        };
        // An authority, an endpoint of the machine, and the vaults: no more places than there may be secrets.
        let transport = Arc::new(Transport::new(secure, plain, WithoutTls::Identity, limits));
        Self { wish, env: env.iter().cloned().collect(), transport, open: Mutex::default() }
    }

    /// Fetches all of them.
    pub async fn fetch(&self, references: impl IntoIterator<Item = Reference>) -> Fetched {
        let end = Instant::now() + FETCH_ALL_WITHIN;
        let one = async |reference: Reference| {
            let value = self.one(&reference, end.min(Instant::now() + FETCH_WITHIN)).await;
            (reference, value)
        };
        futures_util::stream::iter(references).map(one).buffer_unordered(AT_ONCE).collect().await
    }

    async fn one(&self, reference: &Reference, end: Instant) -> Result<Value, Failure> {
        let (credential, client) = self.client(&reference.url())?;
        let version = reference.version().map(str::to_owned);
        let options = SecretClientGetSecretOptions { secret_version: version, ..Default::default() };
        let asking = async {
            let answer = client.get_secret(reference.name(), Some(options)).await?;
            answer.into_model()
        };
        match timeout_at(end, asking).await {
            Ok(Ok(Secret { value: Some(value), attributes, .. })) => {
                let ends_at = attributes.and_then(|attributes| attributes.expires).map(|end| end.unix_timestamp());
                Ok(Value { value, ends_at })
            }
            Ok(Ok(_)) => Err(Failure::lasting("the secret has no value", "set one in the key vault")),
            Ok(Err(error)) => Err(failure::read(&error, &credential)),
            Err(_elapsed) => Err(failure::too_late(&credential)),
        }
    }

    /// Who we are, in words, and the client of a vault.
    fn client(&self, url: &str) -> Result<(String, Arc<SecretClient>), Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (who, credential) = match &open.credential {
            Some(made) => made.clone(),
            None => open.credential.insert(self.credential()?).clone(),
        };
        if let Some(client) = open.clients.get(url) {
            return Ok((who, client.clone()));
        }
        let options = SecretClientOptions { client_options: self.options(), ..Default::default() };
        let client = SecretClient::new(url, credential, Some(options))
            .map_err(|_| Failure::lasting("is not the address of a key vault", "check it"))?;
        let client = Arc::new(client);
        open.clients.insert(url.to_owned(), client.clone());
        Ok((who, client))
    }

    fn credential(&self) -> Result<(String, Arc<dyn TokenCredential>), Failure> {
        let variable = |name: &str| self.env.get(name).cloned();
        let choice: Choice = microsoft::choose("the key vault", self.wish, &variable)?;
        let made = microsoft::make(&choice, &variable, self.options())?;
        Ok((choice.found, made))
    }

    /// Three tries, and never a wait that would leave no time for the next: what Retry-After says goes before.
    fn options(&self) -> ClientOptions {
        let retry = ExponentialRetryOptions {
            max_retries: 2,
            max_total_elapsed: azure_core::time::Duration::seconds(15),
            max_delay: azure_core::time::Duration::seconds(2),
            ..Default::default()
        };
        ClientOptions {
            retry: RetryOptions::exponential(retry),
            transport: Some(AnyTransport::new(self.transport.clone())),
            ..Default::default()
        }
    }
}
