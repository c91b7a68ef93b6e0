//! Finds and reads the configuration file for the commands.

use std::path::Path;
use std::process::ExitCode;

use super::BAD_CONFIGURATION;
use crate::config::{self, Read};

/// Reads a configuration; prints every mistake and gives exit code 64 if it cannot be used.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
pub(super) fn read(file: &Path) -> Result<Read, ExitCode> {
    let bad = |text: &str| {
        eprintln!("{text}");
        Err(ExitCode::from(BAD_CONFIGURATION))
    };
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => {
            let mend = "`longhaul init` writes one; `--config FILE` names another";
            return bad(&format!("longhaul: {}: cannot be read: {e}\n    mend: {mend}", file.display()));
        }
    };
    let env: Vec<_> = std::env::vars().collect();
    let base = file.parent().unwrap_or(Path::new("."));
    config::read(&text, &env, base, &|path| std::fs::read_to_string(path))
        .or_else(|mistakes| bad(&config::report(&file.display().to_string(), &mistakes)))
}
