//! From TOML and environment to a [`Config`], with every mistake at once.

use super::Config;

/// One thing that is wrong: where, why, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Dotted key, as in `targets.main.group_key`.
    pub key: String,
    /// What is wrong with it.
    pub cause: String,
    /// What to do about it.
    pub mend: String,
}

/// A configuration that can be used, and what is allowed but unwise.
#[derive(Clone, Debug)]
pub struct Read {
    /// The configuration.
    pub config: Config,
    /// Not wrong, worth a thought.
    pub warnings: Vec<Mistake>,
}

/// Reads a configuration. `env` is the process environment (handed in); `LONGHAUL__SECTION__KEY` entries override keys.
///
/// # Errors
/// Every mistake found, in the order of the keys.
pub fn read(
    _text: &str,
    _env: &[(String, String)],
    _base: &std::path::Path,
    _files: &dyn Fn(&std::path::Path) -> std::io::Result<String>,
) -> Result<Read, Vec<Mistake>> {
    todo!()
}

/// stub
pub fn report(_file: &str, _m: &[Mistake]) -> String {
    String::new()
}
