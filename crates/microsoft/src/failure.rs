//! PURE: what is wrong with a credential, in words of ours.
//!
//! What a service said is not repeated: only its status and its code, which are fixed words, choose ours.

use std::error::Error as _;

use azure::exchange::Trouble;
use azure_core::Error;
use azure_core::error::ErrorKind;

/// Why something could not be had.
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
    /// It stays until somebody mends it.
    pub fn lasting(cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { cause: cause.into(), mend: mend.into(), transient: false }
    }

    /// It may pass by itself.
    pub fn passing(cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { cause: cause.into(), mend: mend.into(), transient: true }
    }
}

/// An error, and what of azure_core's stands below it.
pub fn chain(error: &Error) -> impl Iterator<Item = &Error> {
    fn next<'a>(error: &&'a Error) -> Option<&'a Error> {
        let error: &'a Error = error;
        error.source()?.downcast_ref()
    }
    std::iter::successors(Some(error), next)
}

/// What our connections said, where nobody answered.
pub fn trouble(error: &Error) -> Option<&Trouble> {
    chain(error).find_map(|error| error.source()?.downcast_ref())
}

/// Says what is wrong with the credential, if it is the credential: it is named as [`crate::Choice::found`] says.
pub fn refused(error: &Error, credential: &str) -> Option<Failure> {
    if !chain(error).any(|error| *error.kind() == ErrorKind::Credential) {
        return None;
    }
    let answer = chain(error).find_map(|error| match error.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => Some((u16::from(*status), error_code.as_deref())),
        _ => None,
    });
    Some(match (answer, trouble(error)) {
        (Some((status, code)), _) => by_answer(status, code.unwrap_or_default(), credential),
        (None, Some(why)) => Failure::passing(
            format!("no token for {credential}: {why}"),
            "check that this machine has that identity, and that a firewall lets Entra's address out",
        ),
        (None, None) => Failure::lasting(
            format!("no token for {credential}"),
            "check that the credential is one that can be used here; azure.credential chooses another",
        ),
    })
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

fn by_answer(status: u16, code: &str, credential: &str) -> Failure {
    if let Some((code, what, mend)) = ENTRA.iter().find(|(known, ..)| code.split(',').any(|code| code == *known)) {
        return Failure::lasting(format!("Entra refuses {credential}: {what} (AADSTS{code})"), *mend);
    }
    let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit() || b == b',');
    match status {
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
