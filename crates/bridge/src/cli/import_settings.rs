//! `longhaul import-settings FILE…`: from the settings of a C# predecessor to `longhaul.toml` and a report. Never over a file that is
//! there, unless told to; no value of a secret goes into either.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::plain::plain;
use super::{BAD_CONFIGURATION, fail, fail_as, say};
use crate::config;
use crate::predecessor::{self, Export, Family, Moved, Report, export};

/// Files at once: an app's settings, a vault's list, and those of a few more.
const FILES_MAX: usize = 16;

/// `longhaul import-settings`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// local.settings.json, app settings as JSON, as the portal's list or as .env, and lists of a key vault's secrets. Of two with the
    /// same setting the later counts
    #[arg(required = true, num_args = 1..=FILES_MAX)]
    files: Vec<PathBuf>,
    /// The file to write
    #[arg(long, default_value = "longhaul.toml")]
    out: PathBuf,
    /// Replaces the file if it is there
    #[arg(long)]
    force: bool,
    /// Whose settings they are; without it their names tell
    #[arg(long, value_enum)]
    from: Option<Family>,
    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the configuration and tells the report.
pub fn main(arguments: &Arguments) -> ExitCode {
    let mut texts = Vec::with_capacity(arguments.files.len());
    for file in &arguments.files {
        match read(file) {
            Ok(text) => texts.push((plain(&file.display().to_string()), text)),
            Err(e) => return fail(&format!("{}: cannot be read: {e}", file.display())),
        }
    }
    let exports: Vec<_> = texts.iter().map(|(file, text)| Export { file, text }).collect();
    let Moved { toml, report } = match predecessor::understand(&exports, arguments.from) {
        Ok(moved) => moved,
        Err(mistakes) => return fail_as(BAD_CONFIGURATION, &config::report("settings", &mistakes)),
    };
    let out = arguments.out.display();
    match toml.as_ref().map(|toml| write(&arguments.out, toml, arguments.force)) {
        None => {
            tell(&report, None, arguments.json);
            ExitCode::from(BAD_CONFIGURATION)
        }
        Some(Ok(())) => {
            tell(&report, Some(&arguments.out), arguments.json);
            ExitCode::SUCCESS
        }
        Some(Err(e)) if e.kind() == io::ErrorKind::AlreadyExists => {
            fail(&format!("{out} is there already\n    mend: name another with --out, or replace it with --force"))
        }
        Some(Err(e)) => fail(&format!("{out} cannot be written: {e}")),
    }
}

fn tell(report: &Report, wrote: Option<&Path>, json: bool) {
    let wrote = wrote.map(|path| path.display().to_string());
    if json {
        let mut value = report.json();
        value["wrote"] = wrote.into();
        say(&value.to_string());
    } else {
        say(report.text().trim_end());
        wrote.iter().for_each(|file| say(&format!("\nwrote {file}")));
    }
}

/// One byte more than is taken shows that there is more.
fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(file)?.take(export::BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8; save it as such"))
}

fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600); // secrets may come to stand in it
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(text.as_bytes())
}
