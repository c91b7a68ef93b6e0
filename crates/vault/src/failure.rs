//! PURE: what an error of Microsoft's crates means, in words of ours.
//!
//! What a service said is not repeated: only its status and its code, which are fixed words, choose ours.

use azure_core::Error;
use azure_core::error::ErrorKind;
use microsoft::{Failure, chain, refused, trouble};

/// Says what follows from an error of a fetch. `credential` tells who we were, in names of variables.
pub(crate) fn read(error: &Error, credential: &str) -> Failure {
    // The crate's own check: a vault may ask for tokens that are meant for vaults of its own cloud, and for no others.
    if chain(error).any(|error| error.to_string().contains("doesn't match the requested domain")) {
        return Failure::lasting(
            "the key vault asks for a token that is meant for somebody else",
            "check its address: it ends with vault.azure.net, vault.azure.cn or vault.usgovcloudapi.net",
        );
    }
    if let Some(failure) = refused(error, credential) {
        return failure;
    }
    match chain(error).find_map(Answer::of) {
        Some(answer) => refused_secret(&answer, credential),
        None => without_answer(error),
    }
}

/// What a vault answered: a status, and its word for it.
struct Answer {
    status: u16,
    /// `error.innererror.code`.
    inner: Option<String>,
}

impl Answer {
    fn of(error: &Error) -> Option<Self> {
        let ErrorKind::HttpResponse { status, raw_response, .. } = error.kind() else { return None };
        let body = raw_response.as_ref().and_then(|raw| serde_json::from_slice::<serde_json::Value>(raw.body()).ok());
        let said = body.as_ref().and_then(|body| body.get("error"));
        let inner = said.and_then(|said| said.get("innererror").or_else(|| said.get("innerError")));
        let inner = inner.and_then(|inner| inner["code"].as_str()).map(str::to_owned);
        Some(Self { status: u16::from(*status), inner })
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

fn without_answer(error: &Error) -> Failure {
    if let Some(why) = trouble(error) {
        return Failure::passing(
            format!("the key vault does not answer: {why}"),
            "check its address, and that a firewall lets port 443 out",
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
