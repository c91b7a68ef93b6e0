use super::Meaning::{Failed, Otherwise};
use super::Operation::{
    Acquire, Break, CountMessages, CreateContainer, CreateQueue, Delete, DeleteMessage, Get, List, PutMessage, PutNew,
    PutOver, Release, Renew, TakeMessages,
};
use super::*;

const BLOBS: [Operation; 10] = [CreateContainer, PutNew, PutOver, Get, List, Delete, Acquire, Renew, Release, Break];
const QUEUES: [Operation; 5] = [CountMessages, TakeMessages, DeleteMessage, PutMessage, CreateQueue];

fn all() -> impl Iterator<Item = Operation> {
    BLOBS.into_iter().chain(QUEUES)
}

/// Codes that decide, each with the operations that they decide: for all others they are odd.
const DECIDE: [(u16, &str, &[Operation]); 20] = [
    (409, "BlobAlreadyExists", &[PutNew]),
    (412, "BlobAlreadyExists", &[PutNew]),
    (412, "ConditionNotMet", &[PutNew, PutOver, Renew, Release]),
    (412, "LeaseIdMissing", &[PutNew, PutOver, Renew, Release]),
    (412, "LeaseIdMismatchWithBlobOperation", &[PutOver, Renew, Release]),
    (412, "LeaseLost", &[PutOver, Renew, Release]),
    (412, "LeaseNotPresentWithBlobOperation", &[PutOver, Renew, Release]),
    (404, "BlobNotFound", &[PutOver, Get, Delete, Acquire, Renew, Release]),
    (409, "LeaseAlreadyPresent", &[Acquire]),
    (409, "LeaseIsBreakingAndCannotBeAcquired", &[Acquire]),
    (409, "LeaseIdMismatchWithLeaseOperation", &[PutOver, Renew, Release]),
    (409, "LeaseNotPresentWithLeaseOperation", &[PutOver, Renew, Release, Break]),
    (409, "LeaseIsBrokenAndCannotBeRenewed", &[PutOver, Renew, Release]),
    (409, "LeaseIsBreakingAndCannotBeChanged", &[PutOver, Renew, Release]),
    (409, "LeaseLost", &[PutOver, Renew, Release]),
    (404, "MessageNotFound", &[DeleteMessage]),
    (400, "PopReceiptMismatch", &[DeleteMessage]),
    (409, "ContainerAlreadyExists", &[CreateContainer]),
    (409, "QueueAlreadyExists", &[CreateQueue]),
    (404, "", &[]),
];

/// What never decides, whatever was asked.
const FAIL: [(u16, &str, FailureKind); 52] = [
    (503, "ServerBusy", Passing),
    (500, "OperationTimedOut", Passing),
    (500, "InternalError", Passing),
    (429, "TooManyRequests", Passing),
    (429, "", Passing),
    (408, "RequestTimeout", Passing),
    (502, "", Passing),
    (503, "", Passing),
    (504, "", Passing),
    (401, "", Denied),
    (401, "NoAuthenticationInformation", Denied),
    (401, "InvalidAuthenticationInfo", Denied),
    (400, "InvalidAuthenticationInfo", Denied),
    (403, "", Denied),
    (403, "AuthenticationFailed", Denied),
    (403, "AuthorizationFailure", Denied),
    (403, "AuthorizationPermissionMismatch", Denied),
    (403, "AuthorizationProtocolMismatch", Denied),
    (403, "AuthorizationResourceTypeMismatch", Denied),
    (403, "AuthorizationServiceMismatch", Denied),
    (403, "AuthorizationSourceIPMismatch", Denied),
    (403, "InsufficientAccountPermissions", Denied),
    (403, "KeyBasedAuthenticationNotPermitted", Denied),
    (403, "PublicAccessNotPermitted", Denied),
    (409, "BlobImmutableDueToPolicy", Denied),
    (409, "BlobImmutableDueToLegalHold", Denied),
    (409, "ContainerImmutabilityPolicyNotSatisfied", Denied),
    (403, "AccountIsDisabled", NoPlace),
    (409, "AccountBeingCreated", NoPlace),
    (404, "ContainerNotFound", NoPlace),
    (409, "ContainerBeingDeleted", NoPlace),
    (409, "ContainerDisabled", NoPlace),
    (404, "ResourceNotFound", NoPlace),
    (404, "QueueNotFound", NoPlace),
    (409, "QueueBeingDeleted", NoPlace),
    (409, "QueueDisabled", NoPlace),
    (416, "InvalidRange", Odd),
    (400, "InvalidHeaderValue", Odd),
    (400, "InvalidQueryParameterValue", Odd),
    (400, "InvalidInput", Odd),
    (400, "Md5Mismatch", Odd),
    (405, "UnsupportedHttpVerb", Odd),
    (409, "InvalidBlobType", Odd),
    (409, "SnapshotsPresent", Odd),
    (409, "BlockCountExceedsLimit", Odd),
    (411, "MissingContentLengthHeader", Odd),
    (412, "AppendPositionConditionNotMet", Odd),
    (413, "RequestBodyTooLarge", Odd),
    (415, "", Odd),
    (304, "ConditionNotMet", Odd),
    (404, "SomethingNew", Odd),
    (302, "", Odd),
];

#[test]
fn what_decides_decides_what_was_asked_and_nothing_else() {
    for (status, code, decided) in DECIDE {
        for operation in all() {
            let wanted = if decided.contains(&operation) { Otherwise } else { Failed(Odd) };
            assert_eq!(meaning(operation, status, code), wanted, "{operation:?}: {status} {code}");
        }
    }
}

#[test]
fn what_fails_fails_whatever_was_asked() {
    for (status, code, kind) in FAIL {
        for operation in all() {
            assert_eq!(meaning(operation, status, code), Failed(kind), "{operation:?}: {status} {code}");
        }
    }
}

#[test]
fn a_person_is_told_what_to_do() {
    assert!(mend(Denied, "AuthorizationPermissionMismatch").contains("Storage Blob Data Contributor"));
    assert!(mend(Denied, "AuthenticationFailed").contains("clock"));
    assert!(mend(NoPlace, "ContainerNotFound").contains("create"));
}
