//! A value that must not be seen.

use std::fmt;
use std::path::PathBuf;

/// Where a secret stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the configuration itself.
    Plain,
    /// `env`: a variable of the environment, which cannot change while the process runs.
    Variable(String),
    /// `file`.
    File(PathBuf),
    /// `key_vault` and `secret`.
    KeyVault(vault::Reference),
}

/// Holds a secret; prints as `[secret]` and is never serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Wraps it.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that must use it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
