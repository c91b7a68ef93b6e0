//! PURE: which of Azure's credentials is used, and which variables are missing for it.
//!
//! The variables are those of Azure's own libraries, the order is that of their default: what names an identity
//! outright goes before what the machine has.

use crate::failure::Failure;

/// `azure.credential`: who we are to Entra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the machine, the App Service or the container group was given.
    ManagedIdentity,
    /// A Kubernetes service account that Entra trusts.
    WorkloadIdentity,
    /// An app registration with a client secret.
    ServicePrincipal,
}

impl Kind {
    /// As it is written in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::ManagedIdentity => "managed-identity",
            Self::WorkloadIdentity => "workload-identity",
            Self::ServicePrincipal => "service-principal",
        }
    }

    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::ManagedIdentity => &[],
            Self::WorkloadIdentity => &[TENANT, CLIENT, TOKEN_FILE],
            Self::ServicePrincipal => &[TENANT, CLIENT, CLIENT_SECRET],
        }
    }
}

pub(crate) const TENANT: &str = "AZURE_TENANT_ID";
pub(crate) const CLIENT: &str = "AZURE_CLIENT_ID";
pub(crate) const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";
pub(crate) const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
pub(crate) const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
const APP_SERVICE: &str = "IDENTITY_ENDPOINT";

/// Looks a variable up.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Which credential it is to be, and what pointed to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub kind: Kind,
    /// For messages: names of variables only.
    pub found: String,
    /// What it is to open: "the key vault".
    pub opens: &'static str,
}

/// Chooses who opens what ("the key vault"). An empty variable counts as none.
pub fn choose(opens: &'static str, wish: Option<Kind>, variable: Variable<'_>) -> Result<Choice, Failure> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let kind = match wish {
        Some(kind) => kind,
        None if is_set(CLIENT_SECRET) => Kind::ServicePrincipal,
        None if is_set(TOKEN_FILE) => Kind::WorkloadIdentity,
        None if is_set(CERTIFICATE) => {
            let cause = format!("{CERTIFICATE} is set, but client certificates are not used in this version");
            return Err(Failure::lasting(
                cause,
                format!("use a managed identity, or a client secret in {CLIENT_SECRET}"),
            ));
        }
        None => Kind::ManagedIdentity,
    };
    let missing: Vec<_> = kind.needs().iter().copied().filter(|name| !is_set(name)).collect();
    if missing.is_empty() {
        return Ok(Choice { kind, found: found(wish, kind, is_set), opens });
    }
    let why = wish.map_or_else(
        || format!("{} is set", kind.needs()[2]),
        |kind| format!("azure.credential is \"{}\"", kind.word()),
    );
    let cause = format!("no credential for {opens}: {why}, but not {}", missing.join(", "));
    Err(Failure::lasting(cause, "set them in the environment of the process, or choose another with azure.credential"))
}

/// "managed-identity, since none of … is set".
fn found(wish: Option<Kind>, kind: Kind, is_set: impl Fn(&str) -> bool) -> String {
    let place =
        if is_set(APP_SERVICE) { "asked at IDENTITY_ENDPOINT" } else { "asked of this machine (169.254.169.254)" };
    match (wish, kind) {
        (Some(_), Kind::ManagedIdentity) => format!("managed-identity by azure.credential, {place}"),
        (None, Kind::ManagedIdentity) => {
            format!("managed-identity, {place}, since neither {CLIENT_SECRET} nor {TOKEN_FILE} is set")
        }
        (Some(_), kind) => format!("{} by azure.credential", kind.word()),
        (None, kind) => format!("{}, since {} is set", kind.word(), kind.needs()[2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wish: Option<Kind>, set: &[&str]) -> Result<Choice, Failure> {
        choose("the key vault", wish, &|name| set.contains(&name).then(|| "canary".to_owned()))
    }

    #[test]
    fn the_variables_of_azures_own_libraries_choose() {
        let kind = |set: &[&str]| chosen(None, set).unwrap().kind;
        assert_eq!(kind(&[]), Kind::ManagedIdentity);
        assert_eq!(kind(&[CLIENT, TENANT]), Kind::ManagedIdentity, "a client id alone names a user-assigned identity");
        assert_eq!(kind(&[TENANT, CLIENT, TOKEN_FILE]), Kind::WorkloadIdentity);
        assert_eq!(kind(&[TENANT, CLIENT, TOKEN_FILE, CLIENT_SECRET]), Kind::ServicePrincipal);
        assert_eq!(chosen(Some(Kind::ManagedIdentity), &[CLIENT_SECRET]).unwrap().kind, Kind::ManagedIdentity);
        assert_eq!(
            choose("the key vault", None, &|_| Some(String::new())).unwrap().kind,
            Kind::ManagedIdentity,
            "empty is none"
        );
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_found() {
        let cause = chosen(None, &[CLIENT_SECRET, CLIENT]).unwrap_err().cause;
        assert!(cause.contains("AZURE_CLIENT_SECRET is set, but not AZURE_TENANT_ID"), "{cause}");
        let cause = chosen(Some(Kind::WorkloadIdentity), &[]).unwrap_err().cause;
        assert!(
            cause.contains("\"workload-identity\", but not AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FED"),
            "{cause}"
        );
        let failure = chosen(None, &[CERTIFICATE]).unwrap_err();
        assert!(!failure.transient && failure.cause.contains(CERTIFICATE) && !failure.cause.contains("canary"));
    }
}
