//! Finds and reads the configuration file for the commands.

use std::path::Path;
use std::process::ExitCode;

use super::BAD_CONFIGURATION;
use crate::config::{self, Mistake, Read};

/// Reads a configuration and the environment.
///
/// # Errors
/// Every mistake, also that there is no file.
pub(super) fn load(file: &Path) -> Result<Read, Vec<Mistake>> {
    let text = std::fs::read_to_string(file).map_err(|e| vec![unreadable(&e)])?;
    let env: Vec<_> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let base = file.parent().unwrap_or(Path::new(""));
    config::read(&text, &env, base, &|path| std::fs::read_to_string(path))
}

/// As [`load`]; prints every mistake and gives exit code 64 if it cannot be used.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
pub(super) fn read(file: &Path) -> Result<Read, ExitCode> {
    load(file).map_err(|mistakes| {
        eprintln!("{}", config::report(&file.display().to_string(), &mistakes));
        ExitCode::from(BAD_CONFIGURATION)
    })
}

fn unreadable(error: &std::io::Error) -> Mistake {
    Mistake {
        key: String::new(),
        place: None,
        cause: format!("the file cannot be read: {error}"),
        mend: "`longhaul init` writes one; `--config FILE` names another".to_owned(),
    }
}
