//! PURE: what an answer means that is not the one hoped for: by the operation, the status and the code in `x-ms-error-code`.
//!
//! By its cause, never by its status alone where a decision hangs on it: an answer that cannot have come from the service is none.

use queue::blobs::FailureKind::{self, Denied, NoPlace, Odd, Passing};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    CreateContainer,
    PutNew,
    PutOver,
    Get,
    List,
    Delete,
    Acquire,
    Renew,
    Release,
    Break,
    CountMessages,
    PeekMessages,
    TakeMessages,
    DeleteMessage,
    PutMessage,
    CreateQueue,
}

impl Operation {
    /// As a sentence about it begins.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::CreateContainer => "create the container",
            Self::PutNew => "put the new blob",
            Self::PutOver => "put over the blob",
            Self::Get => "get the blob",
            Self::List => "list blobs that begin with",
            Self::Delete => "delete the blob",
            Self::Acquire => "acquire the lease of",
            Self::Renew => "renew the lease of",
            Self::Release => "release the lease of",
            Self::Break => "break the lease of",
            Self::CountMessages => "count the messages of the queue",
            Self::PeekMessages => "look into the queue",
            Self::TakeMessages => "take messages from the queue",
            Self::DeleteMessage => "delete a message of the queue",
            Self::PutMessage => "put a message into the queue",
            Self::CreateQueue => "create the queue",
        }
    }
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A decision: the operation's other value (taken, not ours, none was there, there is one already).
    Otherwise,
    /// No decision.
    Failed(FailureKind),
}

/// Reads it.
pub(crate) fn meaning(operation: Operation, status: u16, code: &str) -> Meaning {
    if is_decided(operation, status, code) {
        return Meaning::Otherwise;
    }
    Meaning::Failed(match (status, code) {
        (
            _,
            "AccountIsDisabled"
            | "ContainerBeingDeleted"
            | "ContainerDisabled"
            | "ContainerNotFound"
            | "QueueBeingDeleted",
        )
        | (_, "QueueDisabled" | "QueueNotFound" | "AccountBeingCreated" | "ResourceNotFound") => NoPlace,
        // The second names 400 in the older documents.
        (401 | 403, _) | (400, "InvalidAuthenticationInfo") => Denied,
        (
            409,
            "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "ContainerImmutabilityPolicyNotSatisfied",
        ) => Denied,
        (408 | 429 | 500 | 502 | 503 | 504, _) => Passing,
        _ => Odd,
    })
}

fn is_decided(operation: Operation, status: u16, code: &str) -> bool {
    use Operation as O;
    match operation {
        // Which of them it is, Microsoft's pages do not agree on: what counts is that something is there.
        O::PutNew => matches!(
            (status, code),
            (409, "BlobAlreadyExists") | (412, "ConditionNotMet" | "LeaseIdMissing" | "BlobAlreadyExists")
        ),
        O::PutOver => is_lease_not_ours(status, code) || (status, code) == (404, "BlobNotFound"),
        O::Get | O::Delete => (status, code) == (404, "BlobNotFound"),
        O::Acquire => matches!(
            (status, code),
            (409, "LeaseAlreadyPresent" | "LeaseIsBreakingAndCannotBeAcquired") | (404, "BlobNotFound")
        ),
        O::Renew | O::Release => is_lease_not_ours(status, code) || (status, code) == (404, "BlobNotFound"),
        O::Break => (status, code) == (409, "LeaseNotPresentWithLeaseOperation"),
        O::DeleteMessage => matches!((status, code), (404, "MessageNotFound") | (400, "PopReceiptMismatch")),
        O::CreateContainer => (status, code) == (409, "ContainerAlreadyExists"),
        O::CreateQueue => (status, code) == (409, "QueueAlreadyExists"),
        O::List | O::CountMessages | O::PeekMessages | O::TakeMessages | O::PutMessage => false,
    }
}

/// 412 where something was written, 409 where the lease itself was asked for.
fn is_lease_not_ours(status: u16, code: &str) -> bool {
    match status {
        412 => matches!(
            code,
            "ConditionNotMet"
                | "LeaseIdMissing"
                | "LeaseIdMismatchWithBlobOperation"
                | "LeaseLost"
                | "LeaseNotPresentWithBlobOperation"
        ),
        409 => matches!(
            code,
            "LeaseIdMismatchWithLeaseOperation"
                | "LeaseNotPresentWithLeaseOperation"
                | "LeaseIsBrokenAndCannotBeRenewed"
                | "LeaseIsBreakingAndCannotBeChanged"
                | "LeaseLost"
        ),
        _ => false,
    }
}

/// What a person may do about it.
pub(crate) fn mend(kind: FailureKind, code: &str) -> &'static str {
    match (kind, code) {
        (Denied, "AuthenticationFailed") => "check the key, or the signature and its end, and this machine's clock",
        (Denied, "AuthorizationPermissionMismatch") => {
            "give it the role \"Storage Blob Data Contributor\" (for queues \"Storage Queue Data Contributor\"), or more rights in its signature"
        }
        (Denied, "KeyBasedAuthenticationNotPermitted") => "the account takes no keys: use an identity",
        (
            Denied,
            "BlobImmutableDueToPolicy" | "BlobImmutableDueToLegalHold" | "ContainerImmutabilityPolicyNotSatisfied",
        ) => "an immutability policy or a legal hold is on the container: it must have none",
        (Denied, "AuthorizationFailure" | "AuthorizationSourceIPMismatch") => {
            "let this machine through the account's firewall, and give the credential the right to it"
        }
        (Denied, _) => "check the credential and its rights, and the account's firewall",
        (NoPlace, "ContainerNotFound" | "QueueNotFound") => "create it, or check its name and the account's",
        (NoPlace, "ContainerBeingDeleted" | "QueueBeingDeleted") => {
            "somebody has deleted it: when that is done it can be made again under this name, or name another"
        }
        (NoPlace, "ContainerDisabled" | "QueueDisabled" | "AccountIsDisabled") => {
            "it was shut: see in the portal by whom, or whether its subscription is paid"
        }
        (NoPlace, _) => "see in the portal what became of the account and the container",
        (Passing, _) => "it passes; if it does not, check the account's address and its limits",
        (Odd, _) => "this is a defect: please report it",
    }
}

#[cfg(test)]
mod tests;
