//! A container of blobs, as [`Blobs`] promises it.

use std::fmt;
use std::num::NonZero;
use std::time::Duration;

use azure_core::http::ClientMethodOptions;
use azure_core::http::request::Body;
use azure_storage_blob::models::{
    BlobClientAcquireLeaseOptions, BlobClientBreakLeaseOptions, BlobClientDeleteOptions, BlobClientDownloadOptions,
    BlobClientReleaseLeaseOptions, BlobClientRenewLeaseOptions, BlobClientUploadOptions,
    BlobContainerClientCreateOptions,
};
use azure_storage_blob::{BlobClient, BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;
use queue::blobs::{Asked, BLOB_BYTES_MAX, Blobs, CALL_MAX, LARGE_CALL_MAX, LeaseId, New, Over, Page, Reply};

use crate::account::{Account, AccountError, Service};
use crate::call::Call;
use crate::client::{Means, Parts};
use crate::meaning::Operation;
use crate::{listing, place};

/// Commits, probes, snapshots and bodies. A worker with 8 partitions has a commit each under way (8) and probes 6 logs four times a
/// second at 10 ms (1); the rest, 19, is for bodies, of which 64 wait their turn.
const CONNECTIONS: usize = 28;
/// Leases have their own: a renewal must not wait behind large bodies. 8 partitions and one of `members` renew every 4 s at 10 ms.
const LEASE_CONNECTIONS: usize = 4;
/// What is put within [`CALL_MAX`]: at 3.4 Mbit/s it takes 0.6 s of it.
const SMALL_BODY: usize = 256 << 10;
/// A whole blob at once.
const WHOLE: NonZero<usize> = NonZero::new(BLOB_BYTES_MAX).expect("not zero");
/// More than a whole blob: put at once as well.
const MORE: NonZero<u64> = NonZero::new(BLOB_BYTES_MAX as u64 + 1).expect("not zero");
const ONE: NonZero<usize> = NonZero::new(1).expect("not zero");
/// How long the service lets a lease last that ends.
const LEASE_LENGTHS: std::ops::RangeInclusive<u64> = 15..=60;

/// A container of an account.
pub struct Container {
    name: String,
    blobs: BlobContainerClient,
    leases: BlobContainerClient,
    entra: Option<String>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.name).finish()
    }
}

impl Container {
    /// Asks nobody yet.
    pub fn new(account: &Account, name: &str, means: &Means) -> Result<Self, AccountError> {
        let parts = Parts::new(account, Service::Blobs, name, means)?;
        let client = |connections| {
            let options =
                BlobContainerClientOptions { client_options: parts.options(connections), ..Default::default() };
            let client = BlobContainerClient::new(parts.url.clone(), parts.credential(), Some(options));
            client.map_err(|_| crate::account::wrong("the container", "has no address", "check the account's"))
        };
        let (blobs, leases) = (client(CONNECTIONS)?, client(LEASE_CONNECTIONS)?);
        Ok(Self { name: name.to_owned(), blobs, leases, entra: parts.entra.map(|(found, _)| found) })
    }

    /// Makes the container: false where it is there already.
    pub async fn create(&self) -> Reply<bool> {
        let call = self.call(Operation::CreateContainer, &self.name);
        let options = BlobContainerClientCreateOptions { method_options: call.options(), ..Default::default() };
        let asking = async { self.blobs.create(Some(options)).await.map(|_| true) };
        call.made(CALL_MAX, asking, || Some(false)).await
    }

    fn call<'a>(&'a self, operation: Operation, name: &'a str) -> Call<'a> {
        Call::new(operation, name, self.entra.as_deref())
    }

    /// Asks about one blob, where it has a name that a blob can have.
    async fn about<'a, T, A: Future<Output = azure_core::Result<T>>>(
        &'a self,
        operation: Operation,
        name: &'a str,
        within: Duration,
        asking: impl FnOnce(BlobClient, ClientMethodOptions<'static>) -> A,
        otherwise: Option<T>,
    ) -> Reply<T> {
        let call = self.call(operation, name);
        if !place::is_blob_name(name) {
            return call.refused("no blob can be called that");
        }
        let is_lease =
            matches!(operation, Operation::Acquire | Operation::Renew | Operation::Release | Operation::Break);
        let container = if is_lease { &self.leases } else { &self.blobs };
        let asking = asking(container.blob_client(name), call.options());
        call.made(within, asking, || otherwise).await
    }

    async fn put<T>(
        &self,
        operation: Operation,
        name: &str,
        body: Bytes,
        options: BlobClientUploadOptions<'static>,
        [done, otherwise]: [T; 2],
    ) -> Reply<T> {
        if body.len() > BLOB_BYTES_MAX {
            return self.call(operation, name).refused("it is longer than a blob may be here");
        }
        let within = if body.len() > SMALL_BODY { LARGE_CALL_MAX } else { CALL_MAX };
        let asking = move |blob: BlobClient, method_options| async move {
            let options =
                BlobClientUploadOptions { method_options, parallel: Some(ONE), partition_size: Some(MORE), ..options };
            blob.upload(Body::from(body).into(), Some(options)).await.map(|_| done)
        };
        self.about(operation, name, within, asking, Some(otherwise)).await
    }

    async fn read(&self, name: &str) -> Reply<Option<Bytes>> {
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientDownloadOptions {
                method_options,
                parallel: Some(ONE),
                partition_size: Some(WHOLE),
                ..Default::default()
            };
            let answer = blob.download(Some(options)).await?;
            listing::is_whole(&answer.headers, BLOB_BYTES_MAX)?;
            answer.body.collect().await.map(Some)
        };
        self.about(Operation::Get, name, LARGE_CALL_MAX, asking, Some(None)).await
    }

    async fn page(&self, prefix: &str, from: Option<&str>) -> Reply<Page> {
        let call = self.call(Operation::List, prefix);
        let asking = listing::page(&self.blobs, prefix, from, call.context());
        call.made(LARGE_CALL_MAX, asking, || None).await
    }

    async fn lease(&self, name: &str, length: Duration) -> Reply<Option<LeaseId>> {
        if !LEASE_LENGTHS.contains(&length.as_secs()) {
            return self.call(Operation::Acquire, name).refused("a lease has 15 to 60 s");
        }
        let seconds = i32::try_from(length.as_secs()).unwrap_or(i32::MAX);
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientAcquireLeaseOptions { method_options, ..Default::default() };
            let answer = blob.acquire_lease(seconds, Some(options)).await?;
            listing::lease_id(answer.headers()).map(Some)
        };
        self.about(Operation::Acquire, name, CALL_MAX, asking, Some(None)).await
    }
}

impl Blobs for Container {
    fn put_new<'a>(&'a self, name: &'a str, body: Bytes) -> Asked<'a, New> {
        let options = BlobClientUploadOptions { if_none_match: Some("*".into()), ..Default::default() };
        Box::pin(self.put(Operation::PutNew, name, body, options, [New::Put, New::Taken]))
    }

    fn put_over<'a>(&'a self, name: &'a str, body: Bytes, lease: Option<&'a LeaseId>) -> Asked<'a, Over> {
        let options = BlobClientUploadOptions { lease_id: lease.map(|lease| lease.0.clone()), ..Default::default() };
        Box::pin(self.put(Operation::PutOver, name, body, options, [Over::Put, Over::NotOurs]))
    }

    fn get<'a>(&'a self, name: &'a str) -> Asked<'a, Option<Bytes>> {
        Box::pin(self.read(name))
    }

    fn list<'a>(&'a self, prefix: &'a str, from: Option<&'a str>) -> Asked<'a, Page> {
        Box::pin(self.page(prefix, from))
    }

    fn delete<'a>(&'a self, name: &'a str) -> Asked<'a, bool> {
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientDeleteOptions { method_options, ..Default::default() };
            blob.delete(Some(options)).await.map(|_| true)
        };
        Box::pin(self.about(Operation::Delete, name, CALL_MAX, asking, Some(false)))
    }

    fn acquire<'a>(&'a self, name: &'a str, length: Duration) -> Asked<'a, Option<LeaseId>> {
        Box::pin(self.lease(name, length))
    }

    fn renew<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientRenewLeaseOptions { method_options, ..Default::default() };
            blob.renew_lease(lease.0.clone(), Some(options)).await.map(|_| true)
        };
        Box::pin(self.about(Operation::Renew, name, CALL_MAX, asking, Some(false)))
    }

    fn release<'a>(&'a self, name: &'a str, lease: &'a LeaseId) -> Asked<'a, bool> {
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientReleaseLeaseOptions { method_options, ..Default::default() };
            blob.release_lease(lease.0.clone(), Some(options)).await.map(|_| true)
        };
        Box::pin(self.about(Operation::Release, name, CALL_MAX, asking, Some(false)))
    }

    fn break_lease<'a>(&'a self, name: &'a str) -> Asked<'a, ()> {
        let asking = move |blob: BlobClient, method_options| async move {
            let options = BlobClientBreakLeaseOptions { method_options, break_period: Some(0), ..Default::default() };
            blob.break_lease(Some(options)).await.map(|_| ())
        };
        Box::pin(self.about(Operation::Break, name, CALL_MAX, asking, Some(())))
    }
}
