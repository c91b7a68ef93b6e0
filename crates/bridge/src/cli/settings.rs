//! Finds and reads the configuration file for the commands.

use std::path::Path;
use std::process::ExitCode;

use super::BAD_CONFIGURATION;
use crate::config::read::vaults::{Vaults, Wanted, read_with, wanted};
use crate::config::{self, Mistake, Read};

/// Reads a configuration and the environment.
///
/// # Errors
/// Every mistake, also that there is no file.
pub(super) fn load(file: &Path, vaults: Vaults<'_>) -> Result<Read, Vec<Mistake>> {
    let text = std::fs::read_to_string(file).map_err(|e| vec![unreadable(&e)])?;
    let mut read = read_with(&text, &environment(), base(file), &|path| std::fs::read_to_string(path), vaults)?;
    read.config.given.file = Some(file.to_owned());
    Ok(read)
}

/// What has to be fetched for it first. Nothing, if there is no file.
pub(super) fn look_ahead(file: &Path) -> Option<Wanted> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(wanted(&text, &environment(), base(file), &|path| std::fs::read_to_string(path)))
}

/// Only `[admin]`. Prints what is wrong with it and gives exit code 64.
pub(super) fn admin(file: &Path) -> Result<config::Admin, ExitCode> {
    let read = || {
        let text = std::fs::read_to_string(file).map_err(|e| vec![unreadable(&e)])?;
        config::read::admin(&text, &environment(), base(file), &|path| std::fs::read_to_string(path))
    };
    read().map_err(|mistakes| refuse(file, &mistakes, BAD_CONFIGURATION))
}

/// As [`load`], without the key vaults: nothing may be opened with it. Prints every mistake and gives exit code 64 if it
/// cannot be used.
pub(super) fn read_unasked(file: &Path) -> Result<Read, ExitCode> {
    load(file, Vaults::Unasked).map_err(|mistakes| refuse(file, &mistakes, BAD_CONFIGURATION))
}

/// Prints every mistake.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
pub(super) fn refuse(file: &Path, mistakes: &[Mistake], code: u8) -> ExitCode {
    eprintln!("{}", config::report(&file.display().to_string(), mistakes));
    ExitCode::from(code)
}

/// All variables that are text.
pub(super) fn environment() -> Vec<(String, String)> {
    crate::app::environment()
}

/// One of them.
pub(super) fn variable(name: &str) -> Option<String> {
    environment().into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

fn base(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn unreadable(error: &std::io::Error) -> Mistake {
    Mistake {
        key: String::new(),
        place: None,
        cause: format!("the file cannot be read: {error}"),
        mend: "`longhaul init` writes one; `--config FILE` names another".to_owned(),
    }
}
