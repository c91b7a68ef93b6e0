//! `[queue]`: on which disk, or in whose storage account, messages rest.
//!
//! Asks nobody whether the account is there. No message repeats a key, a signature or a connection string.

use storage::{Account, Who, is_container_name};

use super::reader::{At, Reader, Section};
use super::secrets;
use super::{bound, choice, count, port};
use crate::config::{QueueConfig, QueueKind, StorageQueue};

/// Smallest database file: below it a few large messages fill it.
const BYTES_MIN: i64 = 16 << 20;
/// 8 GiB: a day of 100 uplinks a second of 900 bytes each.
const BYTES: i64 = 8 << 30;
/// Into how many parts devices are divided at the most: each takes two commits a second while it is at work.
const PARTITIONS_MAX: i64 = 256;
/// What four workers share evenly.
const PARTITIONS: i64 = 4;

const CONTAINER: &str = "longhaul";
const URL_EXAMPLE: &str = "account_url = \"https://NAME.blob.core.windows.net\"";
/// Passes for the connection string that a key vault was not asked for, and opens nothing.
const UNASKED: &str = "AccountName=knowntothekeyvault;AccountKey=AAAAAAAAAAAAAAAAAAAAAA==";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Embedded,
    Storage,
}

/// `credential` is who we are where the account is named by its address alone.
pub(super) fn read(reader: &mut Reader<'_>, mut section: Section, credential: Option<vault::Kind>) -> QueueConfig {
    let at = section.at_key("kind");
    let is_given = section.has("kind");
    let kind = choice(reader, &mut section, "kind", &[("embedded", Kind::Embedded), ("azure-storage", Kind::Storage)]);
    match kind {
        Some(kind) => refuse_keys_of_others(reader, &mut section, kind),
        None if !is_given => refuse_keys_of_others(reader, &mut section, Kind::Embedded),
        // Which keys are wrong is not known then.
        None => section.discard(&["max_bytes", "connection_string", "account_url", "container", "partitions"]),
    }
    let kind = match kind {
        Some(Kind::Storage) => storage(reader, &mut section, &at, credential),
        Some(Kind::Embedded) | None => QueueKind::Embedded,
    };
    let dir_at = section.at_key("dir");
    let dir = section.text(reader, "dir", "dir = \"data\"").map_or("data".to_owned(), |found| found.value);
    if dir.is_empty() {
        reader.mistake(&dir_at, "is empty", "name a directory on a local disk, such as dir = \"data\"");
    }
    let queue = QueueConfig {
        kind,
        dir: reader.path(&dir),
        max_bytes: count(section.number(reader, "max_bytes", BYTES_MIN..=i64::MAX, BYTES)),
        dead_letters_max: count(section.number(reader, "dead_letters_max", 1..=1_000_000_000, 100_000)),
        kept_max: count(section.number(reader, "kept_max", 0..=1_000_000_000, 20_000)),
        max_waiting_per_device: bound(section.number(reader, "max_waiting_per_device", 0..=1_000_000_000, 0)),
        max_waiting_per_application: bound(section.number(reader, "max_waiting_per_application", 0..=1_000_000_000, 0)),
    };
    section.finish(reader);
    queue
}

fn refuse_keys_of_others(reader: &mut Reader<'_>, section: &mut Section, kind: Kind) {
    let (others, whose): (&[&'static str], _) = match kind {
        Kind::Embedded => (&["connection_string", "account_url", "container", "partitions"], "azure-storage"),
        Kind::Storage => (&["max_bytes"], "embedded"),
    };
    for key in others.iter().filter(|key| section.has(key)) {
        let at = section.at_key(key);
        let mend = format!("remove it, or write kind = \"{whose}\"");
        reader.mistake(&at, format!("belongs to kind = \"{whose}\" only"), mend);
    }
    section.discard(others);
}

/// What is wrong is reported; then it does not matter what is given back.
fn storage(reader: &mut Reader<'_>, section: &mut Section, kind_at: &At, credential: Option<vault::Kind>) -> QueueKind {
    let account = account(reader, section, kind_at, credential);
    let container_at = section.at_key("container");
    let container = section.text(reader, "container", "container = \"longhaul\"");
    let container = container.map_or_else(|| CONTAINER.to_owned(), |found| found.value);
    if !is_container_name(&container) {
        let mend = "write 3 to 63 lower-case letters and digits, with single hyphens between them";
        reader.mistake(&container_at, "is no name of a container", mend);
    }
    for key in ["max_waiting_per_device", "max_waiting_per_application"] {
        if section.has(key) {
            let at = section.at_key(key);
            reader.warn(&at, "has no effect with `azure-storage` yet", "remove it, so that nobody relies on it");
        }
    }
    let partitions = port(section.number(reader, "partitions", 1..=PARTITIONS_MAX, PARTITIONS));
    let storage = |account| QueueKind::Storage(Box::new(StorageQueue { account, container, partitions }));
    account.map_or(QueueKind::Embedded, storage)
}

fn account(
    reader: &mut Reader<'_>,
    section: &mut Section,
    kind_at: &At,
    credential: Option<vault::Kind>,
) -> Option<Account> {
    let (text, url) = (section.take("connection_string"), section.text(reader, "account_url", URL_EXAMPLE));
    let (at, account) = match (text, url) {
        (Some(text), None) => {
            let at = text.at.clone();
            let secret = secrets::sourced(reader, text)?;
            let text = if secret.is_unasked { UNASKED } else { &secret.found.value };
            (at, Account::from_connection_string(text))
        }
        (None, Some(url)) => (url.at, Account::new(&url.value, Who::Entra(credential))),
        (Some(text), Some(_)) => {
            let mend = "keep one: connection_string brings a key along, account_url goes by an identity of Entra's";
            reader.mistake(&text.at, "stands beside account_url", mend);
            return None;
        }
        (None, None) => {
            let mend = format!(
                "write connection_string = {{ env = \"NAME\" }}; or {URL_EXAMPLE}, and give our identity the role \"Storage Blob Data Contributor\""
            );
            reader.missing(kind_at, "`azure-storage` is in an account, and none is named", mend);
            return None;
        }
    };
    account.map_err(|wrong| reader.mistake(&at, format!("{} {}", wrong.part, wrong.cause), wrong.mend)).ok()
}
