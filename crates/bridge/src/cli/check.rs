//! `longhaul check`: everything that is wrong, at once.
//!
//! First the file by itself; then, unless `--offline`, what can only be known by asking. Both give [`Finding`]s, and
//! nothing is printed before all are there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::config::{self, Config, Mistake};

/// Exit code: the configuration cannot be used.
const BAD_CONFIGURATION: u8 = 64;
/// Exit code: it can be read, but something does not answer as it should.
const FAILED: u8 = 1;

/// What `longhaul check` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration
    #[arg(long, default_value = "longhaul.toml")]
    config: PathBuf,
    /// Reads the file only, and reaches out to nobody
    #[arg(long)]
    offline: bool,
    /// One JSON object for each finding
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// `run` refuses to start.
    Mistake,
    /// `run` would start, but messages would not get through.
    Failure,
    /// Allowed, but unwise.
    Warning,
    /// Was tried and works.
    Fine,
}

impl Grade {
    /// As it stands in the output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mistake => "mistake",
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Fine => "fine",
        }
    }
}

/// One result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// Key, cause and mend; the mend of what is fine is empty.
    pub what: Mistake,
}

impl Finding {
    fn all(grade: Grade, what: Vec<Mistake>) -> Vec<Self> {
        what.into_iter().map(|what| Self { grade, what }).collect()
    }
}

/// Checks and prints.
pub async fn main(arguments: Arguments) -> ExitCode {
    let (config, mut findings) = offline(&arguments.config);
    if let Some(config) = config.filter(|_| !arguments.offline) {
        findings.extend(online(&config).await);
    }
    print(&arguments, &findings);
    exit_code(&findings)
}

/// What the file and the environment tell. The configuration is there exactly if no finding is a mistake.
pub fn offline(file: &Path) -> (Option<Config>, Vec<Finding>) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) => return (None, Finding::all(Grade::Mistake, vec![unreadable(&e)])),
    };
    let env: Vec<_> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let base = file.parent().unwrap_or(Path::new(""));
    match config::read(&text, &env, base, &|path| std::fs::read_to_string(path)) {
        Ok(read) => (Some(read.config), Finding::all(Grade::Warning, read.warnings)),
        Err(mistakes) => (None, Finding::all(Grade::Mistake, mistakes)),
    }
}

/// What targets, networks and the queue say when asked, without sending telemetry.
async fn online(_config: &Config) -> Vec<Finding> {
    Vec::new()
}

fn unreadable(error: &std::io::Error) -> Mistake {
    Mistake {
        key: String::new(),
        place: None,
        cause: format!("the file cannot be read: {error}"),
        mend: "`longhaul init` writes one; `--config FILE` names another".to_owned(),
    }
}

fn exit_code(findings: &[Finding]) -> ExitCode {
    let any = |grade| findings.iter().any(|finding| finding.grade == grade);
    match (any(Grade::Mistake), any(Grade::Failure)) {
        (true, _) => ExitCode::from(BAD_CONFIGURATION),
        (false, true) => ExitCode::from(FAILED),
        (false, false) => ExitCode::SUCCESS,
    }
}

#[expect(clippy::print_stdout, reason = "the command line's own voice")]
fn print(arguments: &Arguments, findings: &[Finding]) {
    let text =
        if arguments.json { as_json(findings) } else { as_text(&arguments.config.display().to_string(), findings) };
    print!("{text}");
}

fn as_json(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{}\n", line(finding))).collect()
}

fn line(finding: &Finding) -> serde_json::Value {
    let Mistake { key, place, cause, mend } = &finding.what;
    let place = place.as_ref().map(ToString::to_string);
    json!({ "grade": finding.grade.word(), "key": key, "place": place, "cause": cause, "mend": mend })
}

fn as_text(file: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    for (at, finding) in findings.iter().enumerate() {
        match finding.grade {
            Grade::Fine => {
                text.push_str(&format!("{:2}. fine: {}: {}\n", at + 1, finding.what.key, finding.what.cause))
            }
            grade => text.push_str(&format!("{:2}. {}: {}\n", at + 1, grade.word(), finding.what)),
        }
    }
    let count = |grade| findings.iter().filter(|finding| finding.grade == grade).count();
    let (mistakes, failures, warnings) = (count(Grade::Mistake), count(Grade::Failure), count(Grade::Warning));
    text.push_str(&format!("{file}: mistakes {mistakes}, failures {failures}, warnings {warnings}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(grade: Grade) -> Finding {
        let text = |text: &str| text.to_owned();
        Finding {
            grade,
            what: Mistake { key: text("log.level"), place: None, cause: text("is odd"), mend: text("even it") },
        }
    }

    #[test]
    fn the_worst_finding_decides_the_exit_code() {
        let code =
            |grades: &[Grade]| format!("{:?}", exit_code(&grades.iter().copied().map(finding).collect::<Vec<_>>()));
        let is = |n: u8| format!("{:?}", ExitCode::from(n));
        assert_eq!(code(&[]), is(0));
        assert_eq!(code(&[Grade::Warning, Grade::Fine]), is(0));
        assert_eq!(code(&[Grade::Warning, Grade::Failure]), is(1));
        assert_eq!(code(&[Grade::Failure, Grade::Mistake]), is(64));
    }

    #[test]
    fn a_missing_file_is_a_finding_with_its_mend() {
        let (config, findings) = offline(Path::new("no-such-directory/longhaul.toml"));
        assert!(config.is_none());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].grade, Grade::Mistake);
        assert!(findings[0].what.mend.contains("longhaul init"));
    }

    #[test]
    fn every_finding_stands_in_both_outputs() {
        let findings = [finding(Grade::Mistake), finding(Grade::Warning)];
        let text = as_text("x.toml", &findings);
        assert!(text.contains(" 1. mistake: log.level: is odd\n    mend: even it\n 2. warning: "), "{text}");
        assert!(text.ends_with("x.toml: mistakes 1, failures 0, warnings 1\n"), "{text}");
        assert_eq!(as_json(&findings).lines().count(), 2);
        assert!(as_json(&findings).contains(r#""grade":"mistake","key":"log.level""#));
    }
}
