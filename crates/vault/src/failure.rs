//! PURE: what an error of Microsoft's crates means, in words of ours.
//!
//! What a service said is not repeated: only its status and its code, which are fixed words, choose ours.

use std::error::Error as _;

use azure_core::Error;
use azure_core::error::ErrorKind;

/// Why a secret could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub mend: String,
    /// It may pass by itself.
    pub transient: bool,
}

impl Failure {
    pub(crate) fn lasting(cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { cause: cause.into(), mend: mend.into(), transient: false }
    }

    pub(crate) fn passing(cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { cause: cause.into(), mend: mend.into(), transient: true }
    }
}

/// Says what follows from an error of a fetch. `credential` tells who we were, in names of variables.
pub(crate) fn read(error: &Error, credential: &str) -> Failure {
    let all: Vec<&Error> = chain(error).collect();
    let answer = all.iter().find_map(|error| Answer::of(error));
    let is_credential = all.iter().any(|error| *error.kind() == ErrorKind::Credential);
    match answer {
        Some(answer) if is_credential => refused_credential(&answer, credential),
        Some(answer) => refused_secret(&answer, credential),
        None => without_answer(&all, is_credential, credential),
    }
}

fn chain(error: &Error) -> impl Iterator<Item = &Error> {
    fn next<'a>(error: &&'a Error) -> Option<&'a Error> {
        let error: &'a Error = error;
        error.source()?.downcast_ref()
    }
    std::iter::successors(Some(error), next)
}

/// What a service answered: a status, and its words for it.
struct Answer {
    status: u16,
    /// The code of an Entra answer.
    entra: Option<String>,
    /// `error.innererror.code` of a Key Vault answer.
    inner: Option<String>,
}

impl Answer {
    fn of(error: &Error) -> Option<Self> {
        let ErrorKind::HttpResponse { status, error_code, raw_response } = error.kind() else { return None };
        let body = raw_response.as_ref().and_then(|raw| serde_json::from_slice::<serde_json::Value>(raw.body()).ok());
        let said = body.as_ref().and_then(|body| body.get("error"));
        let inner = said.and_then(|said| said.get("innererror").or_else(|| said.get("innerError")));
        let inner = inner.and_then(|inner| inner["code"].as_str()).map(str::to_owned);
        Some(Self { status: u16::from(*status), entra: error_code.clone(), inner })
    }
}

const ROLE: &str = "give it the role \"Key Vault Secrets User\" on the vault, or \"Get\" for secrets where the vault has access policies";

fn refused_secret(answer: &Answer, credential: &str) -> Failure {
    match (answer.status, answer.inner.as_deref()) {
        (404, _) => Failure::lasting(
            "the key vault has no such secret, or not that version of it",
            "check the name of the secret; one that was deleted can be recovered in the portal",
        ),
        (403, Some("SecretDisabled")) => {
            Failure::lasting("the secret is disabled in the key vault", "enable it, or name another one")
        }
        (403, Some("ForbiddenByFirewall" | "ForbiddenByConnection")) => Failure::lasting(
            "the key vault's firewall lets nobody in from here",
            "add this network to the vault's networking page, or use its private endpoint",
        ),
        (403, _) => Failure::lasting(format!("the key vault refuses the secret to {credential}"), ROLE),
        (401, _) => Failure::lasting(
            format!("the key vault does not take the token of {credential}"),
            "check that vault and identity are of the same tenant, and the clock of this machine",
        ),
        (429, _) => {
            Failure::passing("the key vault is asked too often", "ask less often: azure.key_vault_refresh_seconds")
        }
        (status @ 500.., _) => {
            Failure::passing(format!("the key vault answers {status}"), "it is Azure's trouble; it passes")
        }
        (status, _) => Failure::lasting(
            format!("the key vault answers {status}"),
            "check the address of the vault and the secret's name",
        ),
    }
}

/// Entra's codes that have a mend of their own (learn.microsoft.com/entra/identity-platform/reference-error-codes).
const ENTRA: [(&str, &str, &str); 7] = [
    ("7000215", "the client secret is wrong", "AZURE_CLIENT_SECRET wants the value of the secret, not its id"),
    ("7000222", "the client secret has run out", "make a new one in the app registration and set AZURE_CLIENT_SECRET"),
    ("700016", "the tenant has no such application", "check AZURE_CLIENT_ID and AZURE_TENANT_ID"),
    ("90002", "there is no such tenant", "check AZURE_TENANT_ID, and AZURE_AUTHORITY_HOST for clouds of their own"),
    ("900023", "the tenant's id is none", "check AZURE_TENANT_ID"),
    (
        "70021",
        "no federated credential fits",
        "check issuer, subject and audience of the application's federated credential",
    ),
    (
        "700213",
        "no federated credential fits",
        "check issuer, subject and audience of the application's federated credential",
    ),
];

fn refused_credential(answer: &Answer, credential: &str) -> Failure {
    let code = answer.entra.as_deref().unwrap_or_default();
    if let Some((code, what, mend)) = ENTRA.iter().find(|(known, ..)| code.split(',').any(|code| code == *known)) {
        return Failure::lasting(format!("Entra refuses {credential}: {what} (AADSTS{code})"), *mend);
    }
    let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit() || b == b',');
    match answer.status {
        status @ (429 | 500..) => {
            Failure::passing(format!("no token for {credential}: {status}"), "it is Azure's trouble; it passes")
        }
        _ if is_number => Failure::lasting(
            format!("Entra refuses {credential} (AADSTS{code})"),
            "https://login.microsoftonline.com/error says what the code means",
        ),
        status => Failure::lasting(
            format!("no token for {credential}: {status}"),
            "check that an identity is assigned here, and AZURE_CLIENT_ID if it is a user-assigned one",
        ),
    }
}

fn without_answer(all: &[&Error], is_credential: bool, credential: &str) -> Failure {
    if let Some(trouble) = all.iter().find_map(|error| error.source()?.downcast_ref::<azure::exchange::Trouble>()) {
        return unreachable(trouble, is_credential.then_some(credential));
    }
    // The crate's own check: a vault may ask for tokens that are meant for vaults of its own cloud, and for no others.
    if all.iter().any(|error| error.to_string().contains("doesn't match the requested domain")) {
        return Failure::lasting(
            "the key vault asks for a token that is meant for somebody else",
            "check its address: it ends with vault.azure.net, vault.azure.cn or vault.usgovcloudapi.net",
        );
    }
    if is_credential {
        return Failure::lasting(
            format!("no token for {credential}"),
            "check that the credential is one that can be used here; azure.credential chooses another",
        );
    }
    Failure::lasting("what answers there is no key vault", "check the address of the vault")
}

/// All tries together took too long.
pub(crate) fn too_late(credential: &str) -> Failure {
    Failure::passing(
        format!("neither the key vault nor whoever gives a token for {credential} answered in time"),
        "check the vault's address and that this machine has that identity; else it is Azure's trouble, and passes",
    )
}

/// Nobody answered, be it the vault or whoever gives tokens.
fn unreachable(why: &azure::exchange::Trouble, credential: Option<&str>) -> Failure {
    match credential {
        Some(credential) => Failure::passing(
            format!("no token for {credential}: {why}"),
            "check that this machine has that identity, and that a firewall lets Entra's address out",
        ),
        None => Failure::passing(
            format!("the key vault does not answer: {why}"),
            "check its address, and that a firewall lets port 443 out",
        ),
    }
}
