//! Who we are: keys and signatures, right and wrong.

use azure::net::Endpoint;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use microsoft::Kind;
use queue::blobs::{Blobs, FailureKind, New};
use sha2::Sha256;
use storage::{Account, Container, Who};

use crate::emulator::{Emulator, KEY, NAME, means};

/// An account SAS, signed by hand as Microsoft documents it: services blob and queue, containers and objects in them.
pub(crate) fn sas(rights: &str) -> String {
    let (version, end) = ("2021-12-02", "2099-01-01T00:00:00Z");
    let fields = [NAME, rights, "bq", "sco", "", end, "", "http,https", version, "", ""];
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(fields.join("\n").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let signature = percent_encoding::utf8_percent_encode(&signature, percent_encoding::NON_ALPHANUMERIC);
    format!("?sv={version}&ss=bq&srt=sco&sp={rights}&se={end}&spr=http,https&sig={signature}")
}

#[tokio::test]
async fn a_signature_opens_what_it_says_and_no_more() {
    let azurite = Emulator::start().await;
    azurite.container("signed").await;
    let by = |rights: &str| {
        let account = azurite.account(&format!("SharedAccessSignature={}", sas(rights)));
        Container::new(&account, "signed", &means()).unwrap()
    };
    let all = by("rwdlacup");
    assert_eq!(all.put_new("door/1", Bytes::from_static(b"row")).await.result.unwrap(), New::Put);
    assert_eq!(all.list("door/", None).await.result.unwrap().blobs.len(), 1);
    let lease = all.acquire("door/1", std::time::Duration::from_secs(15)).await.result.unwrap().unwrap();
    assert!(all.renew("door/1", &lease).await.result.unwrap());

    let reader = by("rl");
    assert_eq!(reader.get("door/1").await.result.unwrap(), Some(Bytes::from_static(b"row")));
    let failure = reader.put_new("door/2", Bytes::new()).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
    assert!(
        failure.cause.contains("\"door/2\"") && failure.cause.contains("AuthorizationPermissionMismatch"),
        "{failure}"
    );
}

#[tokio::test]
async fn whoever_signs_wrongly_is_told_so_and_not_what_he_signed_with() {
    let azurite = Emulator::start().await;
    let wrong_key = STANDARD.encode("canary-key");
    let canaries = [&wrong_key[..], "canary", "sig="];
    for who in
        [format!("AccountKey={wrong_key}"), "SharedAccessSignature=sv=2021-12-02&ss=b&srt=o&sp=r&sig=canary".into()]
    {
        let container = Container::new(&azurite.account(&who), "signed", &means()).unwrap();
        let reply = container.get("door/1").await;
        let failure = reply.result.clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Denied, "{failure}");
        assert!(failure.cause.contains(" 403 ") && failure.cause.contains("(request "), "{failure}");
        assert!(reply.date.is_some(), "a clock that is wrong shows in it");
        let told = format!("{reply:?} {container:?} {failure}");
        assert!(canaries.iter().all(|canary| !told.contains(canary)), "{told}");
    }
}

#[tokio::test]
async fn a_token_never_goes_over_an_open_line() {
    let identity = Who::Entra(Some(Kind::ManagedIdentity));
    let account = Account::new("http://127.0.0.1:1/devstoreaccount1", identity).unwrap();
    let error = Container::new(&account, "longhaul", &means()).unwrap_err().to_string();
    assert!(error.contains("its token would go over http://") && error.contains("use https://"), "{error}");
}

#[tokio::test]
async fn who_has_no_token_is_told_why() {
    let account = Account::new("acme1", Who::Entra(None)).unwrap();
    let mut means = means();
    let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    means.env = vec![named("AZURE_CLIENT_SECRET", "canary"), named("AZURE_CLIENT_ID", "id")];
    let error = Container::new(&account, "longhaul", &means).unwrap_err().to_string();
    assert!(error.contains("for the storage account") && error.contains("not AZURE_TENANT_ID"), "{error}");

    means.env.push(named("AZURE_TENANT_ID", "acme.example"));
    let container = Container::new(&account, "longhaul", &means).unwrap();
    let failure = container.get("door/1").await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Passing, "nobody answers here: {failure}");
    let entra = Endpoint { host: "login.microsoftonline.com".into(), port: 443 };
    assert!(failure.cause.contains("no token for service-principal, since AZURE_CLIENT_SECRET is set"), "{failure}");
    assert!(failure.cause.contains(&entra.to_string()) && !failure.cause.contains("canary"), "{failure}");
}
