//! What a configuration wants of key vaults, and what they gave.
//!
//! Reading waits for nobody. So a first reading tells which secrets are wanted ([`wanted`]), somebody else fetches them,
//! and a second one reads the whole ([`read_with`]).

use std::collections::BTreeSet;
use std::path::Path;

use vault::{Fetched, Reference};

use super::reader::ReadFile;
use super::{Read, pass};
use crate::config::{Azure, Mistake};

/// What is known of the key vaults.
#[derive(Clone, Copy, Debug)]
pub enum Vaults<'a> {
    /// They are not to be asked. Their secrets are taken for good; each gets a value that can be told from its reference.
    /// For questions about the file itself: nothing may be opened with what is read so.
    Unasked,
    /// This came of each.
    Fetched(&'a Fetched),
}

/// What has to be fetched before the whole can be read, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `azure.ca_file` and `azure.credential` say how; defaults where something is wrong with them.
    pub azure: Azure,
    /// Each once.
    pub secrets: BTreeSet<Reference>,
}

/// Reads a configuration up to its secrets in key vaults. Mistakes are not told: the second reading finds them again.
pub fn wanted(text: &str, env: &[(String, String)], base: &Path, read_file: ReadFile<'_>) -> Wanted {
    let pass = pass(text, env, base, read_file, Vaults::Unasked);
    let secrets = pass.vault_secrets.into_iter().map(|(_, reference)| reference).collect();
    Wanted { azure: pass.config.azure, secrets }
}

/// As [`super::read()`], with what is known of the key vaults.
///
/// # Errors
/// Every mistake found, also each secret that could not be fetched.
pub fn read_with(
    text: &str,
    env: &[(String, String)],
    base: &Path,
    read_file: ReadFile<'_>,
    vaults: Vaults<'_>,
) -> Result<Read, Vec<Mistake>> {
    let pass = pass(text, env, base, read_file, vaults);
    if pass.mistakes.is_empty() {
        Ok(Read { config: pass.config, warnings: pass.warnings, vault_secrets: pass.vault_secrets })
    } else {
        Err(pass.mistakes)
    }
}
