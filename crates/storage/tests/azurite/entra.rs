//! As an identity of Entra's: Azurite knows none without certificates, so a stand-in answers for Entra and for the account. TLS is whoever
//! dials' and left out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure::net::{Dial, Dialing, Endpoint};
use bytes::Bytes;
use queue::blobs::{Blobs, FailureKind, LeaseId};
use storage::{Account, Container, Means, Who};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::emulator::means;

const TOKEN: &str = "canary-token";
const GIVEN: &str = r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"canary-token"}"#;

/// Everybody that is reached with TLS is this one.
#[derive(Debug)]
struct Everybody(u16);

impl Dial for Everybody {
    fn dial(&self, _: &Endpoint) -> Dialing {
        let port = self.0;
        Box::pin(
            async move { Ok(Box::new(TcpStream::connect(("127.0.0.1", port)).await?) as Box<dyn azure::net::Stream>) },
        )
    }
}

/// What was asked of whom: `POST login.microsoftonline.com`.
type Asked = Arc<Mutex<Vec<String>>>;

/// `entra` and `account` are what each answers: a status with its headers, and a body.
async fn identity(entra: [&'static str; 2], account: &'static str) -> (Container, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::default();
    let seen = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, seen.clone(), entra, account));
        }
    });
    let env =
        [("AZURE_TENANT_ID", "acme.example"), ("AZURE_CLIENT_ID", "id"), ("AZURE_CLIENT_SECRET", "canary-secret")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let means = Means { secure: Arc::new(Everybody(port)), env, ..means() };
    let account = Account::new("acme1", Who::Entra(None)).unwrap();
    (Container::new(&account, "longhaul", &means).unwrap(), asked)
}

async fn serve(mut stream: TcpStream, asked: Asked, entra: [&str; 2], account: &str) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await?;
        let (method, host) = (head.split(' ').next().unwrap(), header("host").unwrap());
        asked.lock().unwrap().push(format!("{method} {host}"));
        let [status, body] = match host {
            "login.microsoftonline.com" => entra,
            "acme1.blob.core.windows.net" if header("authorization") == Some(&format!("Bearer {TOKEN}")) => {
                [account, ""]
            }
            _ => panic!("nobody's: {head}"),
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::test]
async fn one_token_opens_the_account_for_blobs_and_for_leases() {
    let (container, asked) = identity(["200 OK", GIVEN], "404 Not Found\r\nx-ms-error-code: BlobNotFound").await;
    for _ in 0..3 {
        assert_eq!(container.get("door/1").await.result.unwrap(), None);
    }
    assert_eq!(container.acquire("door/1", Duration::from_secs(15)).await.result.unwrap(), None);
    assert!(!container.renew("door/1", &LeaseId("00000000-0000-4000-8000-000000000000".into())).await.result.unwrap());
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|asked| *asked == "POST login.microsoftonline.com").count(), 1, "{asked:?}");
    assert_eq!(asked.len(), 6, "{asked:?}");
}

#[tokio::test]
async fn an_identity_without_the_role_is_told_which_it_lacks() {
    let answer = "403 Forbidden\r\nx-ms-error-code: AuthorizationPermissionMismatch\r\nx-ms-request-id: 1f2e-33";
    let (container, _) = identity(["200 OK", GIVEN], answer).await;
    let failure = container.put_new("door/1", Bytes::new()).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
    assert!(failure.cause.contains("Storage Blob Data Contributor") && failure.cause.contains("1f2e-33"), "{failure}");
    assert!(!failure.cause.contains("canary"), "{failure}");
}

#[tokio::test]
async fn an_identity_that_entra_does_not_know_is_told_what_is_wrong_with_it() {
    let said =
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: canary-secret","error_codes":[7000215]}"#;
    let (container, _) = identity(["401 Unauthorized", said], "500 Never\r\n").await;
    let failure = container.get("door/1").await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
    assert!(
        failure.cause.contains("AADSTS7000215") && failure.cause.contains("AZURE_CLIENT_SECRET wants"),
        "{failure}"
    );
    assert!(!failure.cause.contains("canary"), "{failure}");

    let (container, _) = identity(["503 Busy", "{}"], "500 Never\r\n").await;
    let failure = container.get("door/1").await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Passing, "Entra's trouble passes: {failure}");
}
