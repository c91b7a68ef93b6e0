//! PURE: which secret of which vault is meant.

use std::fmt;

use azure::net::{Endpoint, EndpointError};

/// Longest name of a secret (Key Vault, "About keys, secrets and certificates": 1 to 127 characters).
const NAME_MAX: usize = 127;
/// A version is a number of 128 bits in hexadecimal.
const VERSION_CHARS: usize = 32;

/// A secret in a vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    vault: Endpoint,
    name: String,
    version: Option<String>,
}

/// Why something is no reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Not `https://…`.
    #[error("a key vault is reached by https only; write it as in \"https://NAME.vault.azure.net\"")]
    Scheme,
    /// More than a host after it.
    #[error("only the address of the vault is wanted, without a path; write it as in \"https://NAME.vault.azure.net\"")]
    Path,
    /// Not a host.
    #[error("is not the address of a key vault: {0}; write it as in \"https://NAME.vault.azure.net\"")]
    Host(EndpointError),
    /// Not the name of a secret.
    #[error("is not the name of a secret; it has 1 to 127 letters, digits and '-', as the portal shows it")]
    Name,
    /// Not a version of a secret.
    #[error("is not the version of a secret; it has 32 hexadecimal digits, and is best left out: the newest is taken")]
    Version,
}

impl Reference {
    /// Reads the address of a vault, the name of a secret and, if given, its version.
    pub fn new(vault: &str, name: &str, version: Option<&str>) -> Result<Self, ReferenceError> {
        let rest = vault.trim().strip_prefix("https://").ok_or(ReferenceError::Scheme)?;
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let vault = Endpoint::parse(host, 443).map_err(|why| match why {
            EndpointError::Url => ReferenceError::Path,
            why => ReferenceError::Host(why),
        })?;
        let is_name =
            (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_name {
            return Err(ReferenceError::Name);
        }
        let is_version = |v: &&str| v.len() == VERSION_CHARS && v.bytes().all(|b| b.is_ascii_hexdigit());
        if version.is_some() && version.filter(is_version).is_none() {
            return Err(ReferenceError::Version);
        }
        Ok(Self { vault, name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// The vault's address, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.vault.authority())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/secrets/{}", self.url(), self.name)?;
        self.version.iter().try_for_each(|version| write!(f, "/{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_the_portal_shows_it() {
        let version = "0123456789abcdef0123456789ABCDEF";
        let shown = |vault, version| Reference::new(vault, "group-key", version).unwrap().to_string();
        assert_eq!(shown("https://Mine.vault.azure.net/", None), "https://mine.vault.azure.net/secrets/group-key");
        assert_eq!(shown("https://v.vault.azure.net:8443", None), "https://v.vault.azure.net:8443/secrets/group-key");
        assert!(shown("https://v.vault.azure.net", Some(version)).ends_with(version));
    }

    #[test]
    fn what_is_none_is_refused_by_cause() {
        let refused =
            |vault: &str, name: &str, version: Option<&str>| Reference::new(vault, name, version).unwrap_err();
        let good = "https://v.vault.azure.net";
        assert_eq!(refused("http://v.vault.azure.net", "n", None), ReferenceError::Scheme);
        assert_eq!(refused("v.vault.azure.net", "n", None), ReferenceError::Scheme);
        assert_eq!(refused("https://v.vault.azure.net/secrets/n", "n", None), ReferenceError::Path);
        assert_eq!(
            refused("https://a@v.vault.azure.net", "n", None),
            ReferenceError::Host(EndpointError::Character('@'))
        );
        for name in ["", "a/b", "a_b", "a?b", "..", &"a".repeat(128)] {
            assert_eq!(refused(good, name, None), ReferenceError::Name, "{name}");
        }
        for version in ["", "1", "0123456789abcdef0123456789abcde/"] {
            assert_eq!(refused(good, "n", Some(version)), ReferenceError::Version, "{version}");
        }
    }
}
