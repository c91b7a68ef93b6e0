//! `longhaul check`: everything that is wrong, at once.
//!
//! First the file by itself; then, unless `--offline`, what can only be known by asking. Both give [`Finding`]s, and
//! nothing is printed before all are there.

mod online; // asking

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::{BAD_CONFIGURATION, FAILED, settings};
use crate::config::read::vaults::Vaults;
use crate::config::{Config, Mistake};
use crate::identity::{Clash, Side, clashes};

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
    let findings =
        if arguments.offline { offline(&arguments.config).1 } else { online::findings(&arguments.config).await };
    print(&arguments, &findings);
    exit_code(&findings)
}

/// What the file and the environment tell. The configuration is there exactly if no finding is a mistake.
pub fn offline(file: &Path) -> (Option<Config>, Vec<Finding>) {
    match settings::load(file, Vaults::Unasked) {
        Ok(read) => {
            let mut warnings = read.warnings;
            warnings.extend(read.vault_secrets.into_iter().map(|(key, secret)| Mistake {
                key,
                place: None,
                cause: format!("{secret} is not asked with --offline"),
                mend: "check without --offline before you rely on it".to_owned(),
            }));
            let mut findings = Finding::all(Grade::Warning, warnings);
            findings.extend(doubtful_names(&read.config));
            (Some(read.config), findings)
        }
        Err(mistakes) => (None, Finding::all(Grade::Mistake, mistakes)),
    }
}

/// Both sides of each conflict of names that the routes allow.
fn doubtful_names(config: &Config) -> Vec<Finding> {
    let who = |side: &Side| match &side.application {
        Some(application) => format!("application `{application}` (targets.{})", side.target),
        None => format!("any application without a route of its own (targets.{})", side.target),
    };
    let warning = |clash: Clash| Mistake {
        key: "routes".to_owned(),
        place: None,
        cause: format!(
            "{} and {} may come out under one name at `{}`: a device `{}` of both would be `{}`, which the first to send keeps",
            who(&clash.one),
            who(&clash.other),
            clash.scope,
            clash.device,
            clash.id
        ),
        mend: "no trouble if no id is in both; else device_id = \"{application_id}--{device_id}\" for new devices"
            .to_owned(),
    };
    Finding::all(Grade::Warning, clashes(config).into_iter().map(warning).collect())
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
    fn secrets_are_found_beside_the_file() {
        let dir = std::env::temp_dir().join(format!("longhaul-check-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let text = "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00ABCDEF\"\ngroup_key = { file = \"group.key\" }\n\
                    [[routes]]\ntarget = \"main\"\n";
        std::fs::write(dir.join("longhaul.toml"), text).unwrap();
        let (config, findings) = offline(&dir.join("longhaul.toml"));
        assert!(config.is_none() && findings[0].what.key == "targets.main.group_key", "{findings:?}");
        std::fs::write(dir.join("group.key"), format!("{}==\n", "A".repeat(86))).unwrap();
        let (config, findings) = offline(&dir.join("longhaul.toml"));
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(config.unwrap().queue.dir, dir.join("data"));
        std::fs::remove_dir_all(&dir).unwrap();
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
