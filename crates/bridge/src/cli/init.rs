//! `longhaul init`: writes a commented configuration. Never over a file that is there, unless told to.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::COMMENTED;

/// What `longhaul init` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file to write
    #[arg(long, default_value = "longhaul.toml")]
    config: PathBuf,
    /// Replaces the file if it is there
    #[arg(long)]
    force: bool,
}

/// Writes it and says what to do next.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line's own voice")]
pub fn main(arguments: &Arguments) -> ExitCode {
    let file = arguments.config.display();
    match write(&arguments.config, arguments.force) {
        Ok(()) => {
            println!("wrote {file}; set id_scope and group_key in it, then: longhaul check --config {file}");
            ExitCode::SUCCESS
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            eprintln!(
                "longhaul: {file} is there already\n    mend: name another with --config, or replace it with --force"
            );
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("longhaul: {file} cannot be written: {e}");
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600); // secrets may stand in it
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(COMMENTED.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let dir = std::env::temp_dir().join(format!("longhaul-init-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("longhaul.toml");
        write(&path, false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), COMMENTED);
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(write(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        write(&path, true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), COMMENTED);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
