//! Who this simulator is: id scope, group keys, policy keys. Made once, kept over restarts where there is a directory.
//!
//! Also the small things that keeping them needs: timestamps, whole files.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::setup::GROUP_NAME;

const IDENTITY_FILE: &str = "identity.json";
/// The size of the keys that the portal makes, in bytes.
const GROUP_KEY_BYTES: usize = 64;
const POLICY_KEY_BYTES: usize = 32;
/// The policies of a new hub.
const POLICIES: [&str; 5] = [OWNER, "service", "device", "registryRead", "registryReadWrite"];
/// The policy that may do everything.
pub(crate) const OWNER: &str = "iothubowner";

/// Two keys, either of which is good: so one can be replaced while the other is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keys {
    #[serde(rename = "primaryKey")]
    pub(crate) primary: String,
    #[serde(rename = "secondaryKey")]
    pub(crate) secondary: String,
}

impl Keys {
    pub(crate) fn both(&self) -> [&str; 2] {
        [&self.primary, &self.secondary]
    }
}

/// The keys of a hub that are no device's, by the name of the policy.
pub(crate) type Policies = BTreeMap<String, Keys>;

/// What clients configure.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) id_scope: String,
    pub(crate) group: Keys,
    pub(crate) policies: Policies,
    /// Of the hubs besides the first, by host name.
    #[serde(default)]
    pub(crate) more_hubs: BTreeMap<String, Policies>,
    /// Of the enrolment groups of a setup, by `scope/name`.
    #[serde(default)]
    more_groups: BTreeMap<String, Keys>,
}

impl Identity {
    fn made_of(random: &Random) -> Self {
        let scope = u32::from_be_bytes(random.bytes()) & 0x00FF_FFFF;
        Self {
            id_scope: format!("0ne{scope:08X}"),
            group: random.keys(GROUP_KEY_BYTES),
            policies: policies(random),
            more_hubs: BTreeMap::new(),
            more_groups: BTreeMap::new(),
        }
    }

    /// The identity kept in `dir`, made on first use.
    pub(crate) fn open(dir: Option<&Path>, random: &Random) -> io::Result<Self> {
        let Some(dir) = dir else { return Ok(Self::made_of(random)) };
        match read_if_there(&dir.join(IDENTITY_FILE))? {
            Some(text) => serde_json::from_str(&text).map_err(io::Error::from),
            None => Ok(Self::made_of(random)),
        }
    }

    pub(crate) fn keep(&self, dir: Option<&Path>) -> io::Result<()> {
        let Some(dir) = dir else { return Ok(()) };
        write_whole(&dir.join(IDENTITY_FILE), &serde_json::to_vec_pretty(self)?, Readers::Owner)
    }

    /// The keys of an enrolment group, made on first use.
    pub(crate) fn group_keys(&mut self, id_scope: &str, name: &str, random: &Random) -> Keys {
        if name == GROUP_NAME && id_scope == self.id_scope {
            return self.group.clone();
        }
        let kept = self.more_groups.entry(format!("{id_scope}/{name}"));
        kept.or_insert_with(|| random.keys(GROUP_KEY_BYTES)).clone()
    }

    /// The policies of another hub, made on first use.
    pub(crate) fn policies_of(&mut self, hub: &str, random: &Random) -> &Policies {
        self.more_hubs.entry(hub.to_owned()).or_insert_with(|| policies(random))
    }
}

fn policies(random: &Random) -> Policies {
    POLICIES.map(|name| (name.to_owned(), random.keys(POLICY_KEY_BYTES))).into()
}

/// A point in time; outside the calendar the epoch, for a clock that is far off is no reason to fall over.
pub(crate) fn timestamp(at_ms: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// A file's text, `None` when there is no such file.
pub(crate) fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who may read a file besides the one who runs the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Nobody: it holds keys.
    Owner,
    /// Clients under any name: the CA's certificate.
    Everyone,
}

/// Replaces a file as a whole: after a crash the old or the new one is there.
pub(crate) fn write_whole(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = open_for(readers, std::fs::OpenOptions::new().write(true).create(true).truncate(true), &beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Opens a file; when that makes it, it is made for these readers.
pub(crate) fn open_for(readers: Readers, options: &mut std::fs::OpenOptions, path: &Path) -> io::Result<std::fs::File> {
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}
