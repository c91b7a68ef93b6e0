//! Each failure names its cause and its mend, and repeats nothing that a service said.

use super::*;

async fn failure(vaults: &Vaults, reference: Reference) -> Failure {
    let failure = one(vaults, reference).await.unwrap_err();
    let text = format!("{failure:?}");
    assert!(!text.contains("canary") && !text.contains("said"), "{text}");
    failure
}

#[tokio::test]
async fn what_the_vault_refuses_is_told_apart() {
    let site = Site::start("refused").await;
    site.vault.change(|state| {
        state.forbidden.insert("forbidden".to_owned());
        state.secrets.insert("disabled".to_owned(), vec![("1".to_owned(), "x".to_owned())]);
        state.disabled.insert("disabled".to_owned());
    });
    let vaults = site.known();
    for (name, cause, mend) in [
        ("none", "no such secret", "name of the secret"),
        ("forbidden", "service-principal, since AZURE_CLIENT_SECRET is set", "Key Vault Secrets User"),
        ("disabled", "is disabled", "enable it"),
    ] {
        let failure = failure(&vaults, reference(name)).await;
        assert!(
            failure.cause.contains(cause) && failure.mend.contains(mend) && !failure.transient,
            "{name}: {failure:?}"
        );
    }
}

#[tokio::test]
async fn what_entra_refuses_is_told_by_its_code() {
    let site = Site::start("entra").await;
    let with = |name: &str, value: &'static str| {
        SERVICE_PRINCIPAL.map(|(known, old)| (known, if known == name { value } else { old }))
    };
    for (env, cause) in [
        (with("AZURE_CLIENT_SECRET", "canary-wrong"), "the client secret is wrong (AADSTS7000215)"),
        (with("AZURE_CLIENT_ID", "somebody"), "no such application (AADSTS700016)"),
    ] {
        let failure = failure(&site.vaults(None, &env), reference("webhook-key")).await;
        assert!(failure.cause.contains(cause) && !failure.transient, "{failure:?}");
    }
    let file = site.dir.join("token");
    std::fs::write(&file, "canary.other").unwrap();
    let env = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let failure = failure(&site.vaults(None, &env), reference("webhook-key")).await;
    assert!(failure.cause.contains("AADSTS700213"), "{failure:?}");
}

#[tokio::test]
async fn a_vault_may_not_ask_for_tokens_that_are_meant_for_others() {
    let site = Site::start("resource").await;
    site.vault.change(|state| state.resource = Some("https://management.azure.com".to_owned()));
    let failure = failure(&site.known(), reference("webhook-key")).await;
    assert!(failure.cause.contains("meant for somebody else"), "{failure:?}");
    let elsewhere = Reference::new("https://other.example.net", "webhook-key", None).unwrap();
    site.vault.change(|state| state.resource = None);
    let failure = super::mistakes::failure(&site.known(), elsewhere).await;
    assert!(failure.cause.contains("meant for somebody else"), "{failure:?}");
    assert_eq!(site.vault.count("token by secret"), 0, "and none was asked for");
}

#[tokio::test]
async fn a_vault_or_an_entra_that_is_away_passes_by_itself() {
    let site = Site::start("away").await;
    site.vault.change(|state| state.away = true);
    let failure = failure(&site.known(), reference("webhook-key")).await;
    assert!(failure.transient && failure.cause.contains("503"), "{failure:?}");
    let nobody = || -> Arc<dyn Dial> { Arc::new(Redirect { port: 1, tls: None }) };
    let env = SERVICE_PRINCIPAL.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let secure = Arc::new(Redirect { port: 1, tls: Some(site.tls.clone()) });
    let failure = super::mistakes::failure(&Vaults::new(None, &env, secure, nobody()), reference("webhook-key")).await;
    assert!(failure.transient && failure.cause.contains("cannot reach mine.vault.azure.net:443"), "{failure:?}");
    let secure = Arc::new(Redirect { port: site.vault.port, tls: Some(site.tls.clone()) });
    site.vault.change(|state| state.away = false);
    let plain = Arc::new(Unreachable);
    let failure = super::mistakes::failure(&Vaults::new(None, &[], secure, plain), reference("webhook-key")).await;
    assert!(failure.transient && failure.cause.contains("169.254.169.254"), "{failure:?}");
    assert!(failure.cause.contains("neither AZURE_CLIENT_SECRET nor AZURE_FEDERATED_TOKEN_FILE"), "{failure:?}");
}

/// A machine that is none of Azure's.
#[derive(Debug)]
struct Unreachable;

impl Dial for Unreachable {
    fn dial(&self, _: &Endpoint) -> Dialing {
        Box::pin(async { Err(std::io::ErrorKind::HostUnreachable.into()) })
    }
}

/// Packets vanish.
#[derive(Debug)]
struct Silent;

impl Dial for Silent {
    fn dial(&self, _: &Endpoint) -> Dialing {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_network_costs_a_minute_however_many_secrets_there_are() {
    for (secrets, within) in [(1, vault::FETCH_WITHIN), (64, vault::FETCH_ALL_WITHIN)] {
        let env = SERVICE_PRINCIPAL.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let vaults = Vaults::new(None, &env, Arc::new(Silent), Arc::new(Silent));
        let begin = tokio::time::Instant::now();
        let fetched = vaults.fetch((0..secrets).map(|nth| reference(&format!("s{nth}")))).await;
        assert!(begin.elapsed() <= within, "{secrets}: {:?}", begin.elapsed());
        assert_eq!(fetched.len(), secrets);
        assert!(fetched.values().all(|outcome| outcome.as_ref().is_err_and(|failure| failure.transient)));
    }
}
