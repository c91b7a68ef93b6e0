//! The credential as Microsoft's crates make it.

use std::path::PathBuf;
use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};

use crate::credential::{AUTHORITY, CLIENT, CLIENT_SECRET, Choice, Kind, TENANT, TOKEN_FILE, Variable};
use crate::failure::Failure;

/// Makes it. Asks nobody, but reads the file with a workload's token.
pub fn make(
    choice: &Choice,
    variable: Variable<'_>,
    mut options: ClientOptions,
) -> Result<Arc<dyn TokenCredential>, Failure> {
    let value = |name: &str| variable(name).unwrap_or_default();
    if let Some(authority) = variable(AUTHORITY).filter(|authority| !authority.is_empty()) {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = authority;
        options.cloud = Some(Arc::new(cloud.into()));
    }
    let made = match choice.kind {
        Kind::ServicePrincipal => {
            let options = ClientSecretCredentialOptions { client_options: options };
            let secret = Secret::new(value(CLIENT_SECRET));
            ClientSecretCredential::new(&value(TENANT), value(CLIENT), secret, Some(options))
                .map(|credential| credential as Arc<dyn TokenCredential>)
        }
        Kind::WorkloadIdentity => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: options },
                client_id: Some(value(CLIENT)),
                tenant_id: Some(value(TENANT)),
                token_file_path: Some(PathBuf::from(value(TOKEN_FILE))),
            };
            WorkloadIdentityCredential::new(Some(options)).map(|credential| credential as Arc<dyn TokenCredential>)
        }
        Kind::ManagedIdentity => {
            let client = variable(CLIENT).filter(|client| !client.is_empty());
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client.map(UserAssignedId::ClientId),
                client_options: options,
            };
            ManagedIdentityCredential::new(Some(options)).map(|credential| credential as Arc<dyn TokenCredential>)
        }
    };
    made.map_err(|_| unusable(choice))
}

/// What the crates object to before they ask anybody: each is a variable that holds something else than it should.
fn unusable(choice: &Choice) -> Failure {
    let cause = format!("the credential for {} ({}) cannot be used", choice.opens, choice.found);
    let mend = match choice.kind {
        Kind::ServicePrincipal => format!("check {TENANT}, a GUID or a domain, and that {AUTHORITY}, if set, begins with https://"),
        Kind::WorkloadIdentity => {
            format!("check that the file named by {TOKEN_FILE} can be read, {TENANT}, and that {AUTHORITY}, if set, begins with https://")
        }
        Kind::ManagedIdentity => {
            "managed identities of virtual machines, App Service and Container Apps are known; elsewhere set azure.credential"
                .to_owned()
        }
    };
    Failure::lasting(cause, mend)
}
