//! The crate against Azurite, Microsoft's emulator, in its strict mode: whatever differs from what we take for the protocol fails.
#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

#[path = "../../../queue/tests/blobs/conformance.rs"]
mod conformance;
mod emulator;
mod entra;
mod log;
mod model;
mod queues;
mod requests;
mod rights;
mod trouble;

use emulator::Emulator;

#[tokio::test]
async fn blobs_are_as_the_queue_is_promised() {
    let azurite = Emulator::start().await;
    let container = azurite.container("conformance").await;
    conformance::conformance(&container, Some(&|length| Box::pin(tokio::time::sleep(length)))).await;
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let azurite = Emulator::start().await;
    let container = azurite.container("pages").await;
    conformance::long_lists_come_in_pages(&container).await;
}
