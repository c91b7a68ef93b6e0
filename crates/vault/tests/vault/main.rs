//! Secrets come out of a vault that is as strict as Azure's, under the names that the real ones have: the stand-in is
//! dialled instead of them, and nothing else differs.
#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod log;
mod mistakes;
mod stand_in;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use azure::net::{Dial, Dialing, Endpoint, Tls};
use stand_in::{ASSERTION, CLIENT, CLIENT_SECRET, StandIn, TENANT};
use tokio_rustls::TlsConnector;
use vault::{Failure, Kind, Reference, Value, Vaults};

const VAULT: &str = "https://mine.vault.azure.net";
const AUTHORITY: &str = "login.microsoftonline.com";

/// Dials the stand-in whatever the name, and trusts it by that name.
#[derive(Debug)]
struct Redirect {
    port: u16,
    /// None: without TLS, and 169.254.169.254 only.
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Dial for Redirect {
    fn dial(&self, endpoint: &Endpoint) -> Dialing {
        let (port, tls, endpoint) = (self.port, self.tls.clone(), endpoint.clone());
        Box::pin(async move {
            let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
            let Some(tls) = tls else {
                assert_eq!(endpoint.to_string(), "169.254.169.254:80");
                return Ok(Box::new(tcp) as Box<dyn azure::net::Stream>);
            };
            let name = endpoint.host.try_into().map_err(std::io::Error::other)?;
            Ok(Box::new(TlsConnector::from(tls).connect(name, tcp).await?) as Box<dyn azure::net::Stream>)
        })
    }
}

/// A stand-in, and whoever reads from it.
struct Site {
    vault: StandIn,
    tls: Arc<rustls::ClientConfig>,
    dir: PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

impl Site {
    async fn start(name: &str) -> Self {
        let vault = StandIn::start(&["mine.vault.azure.net", "other.example.net", AUTHORITY]).await;
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let ca = dir.join("ca.pem");
        std::fs::write(&ca, &vault.ca_pem).unwrap();
        let tls = Tls::new(Some(&ca)).unwrap().config();
        vault.set("webhook-key", "canary-secret-value-0005");
        Self { vault, tls, dir }
    }

    fn vaults(&self, wish: Option<Kind>, env: &[(&str, &str)]) -> Vaults {
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let secure = Redirect { port: self.vault.port, tls: Some(self.tls.clone()) };
        let plain = Redirect { port: self.vault.identity_port, tls: None };
        Vaults::new(wish, &env, Arc::new(secure), Arc::new(plain))
    }

    /// As the service principal that the vault knows.
    fn known(&self) -> Vaults {
        self.vaults(None, &SERVICE_PRINCIPAL)
    }
}

const SERVICE_PRINCIPAL: [(&str, &str); 3] =
    [("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT), ("AZURE_CLIENT_SECRET", CLIENT_SECRET)];

fn reference(name: &str) -> Reference {
    Reference::new(VAULT, name, None).unwrap()
}

async fn one(vaults: &Vaults, reference: Reference) -> Result<Value, Failure> {
    vaults.fetch([reference.clone()]).await.remove(&reference).unwrap()
}

#[tokio::test]
async fn a_service_principal_reads_by_its_secret_and_asks_for_one_token_only() {
    let site = Site::start("principal").await;
    for nth in 0..20 {
        site.vault.set(&format!("s{nth}"), &format!("value {nth}"));
    }
    let vaults = site.known();
    let all: Vec<_> = (0..20).map(|nth| reference(&format!("s{nth}"))).collect();
    let fetched = vaults.fetch(all.clone()).await;
    let wanted: BTreeMap<_, _> =
        all.into_iter().enumerate().map(|(nth, r)| (r, Ok(Value::new(format!("value {nth}"))))).collect();
    assert_eq!(fetched, wanted);
    assert_eq!(site.vault.count("token by secret"), 1);
}

#[tokio::test]
async fn a_workload_reads_by_the_token_of_its_cluster() {
    let site = Site::start("workload").await;
    let file = site.dir.join("token");
    let env = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let vaults = site.vaults(None, &env);
    let failure = one(&vaults, reference("webhook-key")).await.unwrap_err();
    assert!(failure.mend.contains("AZURE_FEDERATED_TOKEN_FILE"), "{failure:?}");
    std::fs::write(&file, ASSERTION).unwrap();
    let value = one(&vaults, reference("webhook-key")).await.unwrap();
    assert_eq!(value.expose(), "canary-secret-value-0005", "once the file is there");
    assert_eq!(site.vault.count("token by assertion"), 1);
}

#[tokio::test]
async fn a_machine_reads_by_its_own_identity() {
    let site = Site::start("machine").await;
    for wish in [None, Some(Kind::ManagedIdentity)] {
        let value = one(&site.vaults(wish, &[]), reference("webhook-key")).await.unwrap();
        assert_eq!(value.expose(), "canary-secret-value-0005");
    }
    assert_eq!(site.vault.count("token by imds"), 2);
}

#[tokio::test]
async fn a_new_version_is_read_and_an_old_one_by_its_number() {
    let site = Site::start("versions").await;
    let vaults = site.known();
    assert_eq!(one(&vaults, reference("webhook-key")).await.unwrap().expose(), "canary-secret-value-0005");
    site.vault.set("webhook-key", "the second");
    assert_eq!(one(&vaults, reference("webhook-key")).await.unwrap().expose(), "the second");
    let first = Reference::new(VAULT, "webhook-key", Some(&format!("{:032x}", 1))).unwrap();
    assert_eq!(one(&vaults, first).await.unwrap().expose(), "canary-secret-value-0005");
    assert_eq!(site.vault.count("token by secret"), 1);
}

#[tokio::test]
async fn a_vault_that_throttles_is_waited_for() {
    let site = Site::start("throttled").await;
    site.vault.change(|state| state.throttled = (1, 1));
    let begin = tokio::time::Instant::now();
    assert!(one(&site.known(), reference("webhook-key")).await.is_ok());
    assert!(begin.elapsed().as_millis() > 900, "Retry-After said a second");
    site.vault.change(|state| state.throttled = (u32::MAX, 0));
    let failure = one(&site.known(), reference("webhook-key")).await.unwrap_err();
    assert!(failure.transient && failure.cause.contains("too often"), "{failure:?}");
}
