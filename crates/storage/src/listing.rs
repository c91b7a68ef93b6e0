//! What answers about blobs hold: a page of a list, how long a blob is, a lease.

use azure_core::Result;
use azure_core::http::Context;
use azure_core::http::headers::{HeaderName, Headers};
use azure_core::http::pager::PagerOptions;
use azure_storage_blob::BlobContainerClient;
use azure_storage_blob::models::{BlobContainerClientListBlobsOptions, BlobItem, LeaseStatus};
use futures_util::TryStreamExt as _;
use queue::blobs::{LIST_MAX, LeaseId, Listed, Page};

use crate::call::odd;

const RANGE: HeaderName = HeaderName::from_static("content-range");
const LEASE: HeaderName = HeaderName::from_static("x-ms-lease-id");

/// One page: the pager is not asked for a second.
pub(crate) async fn page(
    container: &BlobContainerClient,
    prefix: &str,
    from: Option<&str>,
    context: Context<'static>,
) -> Result<Page> {
    let options = BlobContainerClientListBlobsOptions {
        marker: from.map(str::to_owned),
        maxresults: i32::try_from(LIST_MAX).ok(),
        // One that is empty is left out: Azurite does not sign for it.
        prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
        method_options: PagerOptions { context, ..Default::default() },
        ..Default::default()
    };
    let mut pages = container.list_blobs(Some(options))?.into_pages();
    let page = pages.try_next().await?.ok_or_else(|| odd("no page"))?.into_model()?;
    // Anything that can be read as XML would do for a page without blobs, also the page of somebody in between.
    if page.service_endpoint.is_none() && page.container_name.is_none() {
        return Err(odd("a page of no container"));
    }
    let blobs = page.blob_items.into_iter().map(listed).collect::<Option<_>>();
    let blobs = blobs.ok_or_else(|| odd("a blob without a name, a length or a time"))?;
    Ok(Page { blobs, next: page.next_marker.filter(|next| !next.is_empty()) })
}

fn listed(item: BlobItem) -> Option<Listed> {
    let properties = item.properties?;
    Some(Listed {
        name: item.name?,
        bytes: properties.content_length?,
        is_leased: properties.lease_status == Some(LeaseStatus::Locked),
        put_at: properties.last_modified?.unix_timestamp().checked_mul(1_000)?,
    })
}

/// Is all of the blob in this one answer? One that is longer than `max` was not put by us.
pub(crate) fn is_whole(headers: &Headers, max: usize) -> Result<()> {
    // `bytes 0-1023/146515`; without it the answer is the blob.
    let total = headers
        .get_optional_str(&RANGE)
        .and_then(|range| range.rsplit_once('/'))
        .map(|(_, total)| total.parse::<usize>());
    match total {
        None => Ok(()),
        Some(Ok(total)) if total <= max => Ok(()),
        Some(_) => Err(odd("a blob that is longer than one of ours can be")),
    }
}

/// The lease that was acquired.
pub(crate) fn lease_id(headers: &Headers) -> Result<LeaseId> {
    let id = headers.get_optional_str(&LEASE).filter(|id| !id.is_empty());
    id.map(|id| LeaseId(id.to_owned())).ok_or_else(|| odd("a lease without an id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_that_is_too_long_is_not_read_in_part() {
        let told = |range: &'static str| {
            let mut headers = Headers::new();
            headers.insert("content-range", range);
            is_whole(&headers, 1_024).is_ok()
        };
        assert!(told("bytes 0-1023/1024") && is_whole(&Headers::new(), 1_024).is_ok());
        assert!(!told("bytes 0-1023/1025") && !told("bytes 0-1023/*"));
    }
}
