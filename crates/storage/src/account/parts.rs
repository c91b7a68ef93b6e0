//! PURE: a connection string, taken apart.

use std::collections::BTreeMap;

use super::{AccountError, wrong};

/// Parts of a connection string that count here.
pub(super) const NAME: &str = "AccountName";
pub(super) const KEY: &str = "AccountKey";
pub(super) const SAS: &str = "SharedAccessSignature";
pub(super) const PROTOCOL: &str = "DefaultEndpointsProtocol";
pub(super) const ENDINGS: &str = "EndpointSuffix";
pub(super) const BLOBS: &str = "BlobEndpoint";
pub(super) const QUEUES: &str = "QueueEndpoint";
pub(super) const EMULATOR: &str = "UseDevelopmentStorage";
const USED: [&str; 8] = [NAME, KEY, SAS, PROTOCOL, ENDINGS, BLOBS, QUEUES, EMULATOR];
/// Parts that the portal writes and nobody here asks for.
const UNUSED: [&str; 6] = [
    "TableEndpoint",
    "FileEndpoint",
    "BlobSecondaryEndpoint",
    "QueueSecondaryEndpoint",
    "TableSecondaryEndpoint",
    "FileSecondaryEndpoint",
];

/// Names and values, in the spelling of [`USED`]. A name that is not known is not repeated: it may be a piece of a key.
pub(super) fn parts(text: &str) -> Result<BTreeMap<&'static str, &str>, AccountError> {
    let whole = "the connection string";
    let mut parts = BTreeMap::new();
    let pieces = text.split(';').map(str::trim).enumerate().filter(|(_, piece)| !piece.is_empty());
    for (nth, piece) in pieces {
        let named = piece.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let known = |list: &[&'static str]| {
            let (name, _) = named?;
            list.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
        };
        match (known(&USED), named) {
            (Some(name), Some((_, ""))) => return Err(wrong(name, "is empty", "copy the connection string whole")),
            (Some(name), Some((_, value))) => {
                if parts.insert(name, value).is_some() {
                    return Err(wrong(name, "is there twice", "leave one of them out"));
                }
            }
            _ if known(&UNUSED).is_some() => {}
            _ => {
                let cause = format!("has a part (number {}) that is none of {}", nth + 1, USED.join(", "));
                return Err(wrong(whole, cause, "copy it whole from the account's \"Access keys\""));
            }
        }
    }
    Ok(parts)
}
