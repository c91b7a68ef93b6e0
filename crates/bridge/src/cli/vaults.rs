//! The secrets of key vaults that the configuration names: fetched before it is read, and anew while it is in use.
//!
//! Promises that a value that was fetched once stays until there is a newer one: a vault that is away takes nothing away.
//! Keeps values in memory only.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use azure::net::Tls;
use tokio::time::Instant;
use vault::{Failure, Fetched, Plain, Reference};

use super::run::chain;
use super::{BAD_CONFIGURATION, FAILED, settings};
use crate::alarms::facts::{Ending, Runs};
use crate::config::Read;
use crate::config::read::vaults::{Vaults, Wanted};
use crate::events::{Event, Events};

/// A secret without any value is asked for so often.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What is known of the key vaults.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Made when the first secret is wanted.
    vaults: Option<vault::Vaults>,
    /// For the reading of the whole.
    pub(super) known: Fetched,
    /// Those that could not be fetched the last time.
    failing: BTreeSet<Reference>,
    /// All were asked for.
    refreshed: Option<Instant>,
    /// One was.
    asked: Option<Instant>,
}

impl Keeper {
    /// Fetches what the file wants and is not there or due; all of it if somebody asks.
    pub(super) async fn look(&mut self, file: &Path, is_asked: bool, events: Option<&Events>) {
        let of = file.to_owned();
        let Ok(Some(wanted)) = tokio::task::spawn_blocking(move || settings::look_ahead(&of)).await else { return };
        let Wanted { azure, secrets } = wanted;
        self.known.retain(|reference, _| secrets.contains(reference));
        self.failing.retain(|reference| secrets.contains(reference));
        let now = Instant::now();
        let is_due = is_asked || self.refreshed.is_none_or(|at| now >= at + azure.key_vault_refresh);
        let is_again = self.asked.is_none_or(|at| now >= at + AGAIN_AFTER);
        let due = due(secrets, &self.known, is_due, is_again);
        if due.is_empty() {
            return;
        }
        if self.vaults.is_none() {
            match open(azure).await {
                Ok(vaults) => self.vaults = Some(vaults),
                Err(failure) => {
                    return self.take(due.into_iter().map(|secret| (secret, Err(failure.clone()))).collect(), events);
                }
            }
        }
        if let Some(vaults) = &self.vaults {
            let fetched = vaults.fetch(due).await;
            self.take(fetched, events);
        }
        let now = Instant::now();
        self.asked = Some(now);
        if is_due {
            self.refreshed = Some(now);
        }
    }

    /// What of it runs out.
    pub(super) fn endings(&self) -> Vec<Ending> {
        let known = self.known.iter().filter_map(|(secret, known)| Some((secret, known.as_ref().ok()?.ends_at()?)));
        known
            .map(|(secret, at)| Ending {
                what: Runs::VaultSecret,
                name: secret.to_string(),
                at: at.saturating_mul(1_000),
            })
            .collect()
    }

    /// There are secrets without a value, and each may get one by itself.
    fn may_pass(&self) -> bool {
        let mut failures = self.known.values().filter_map(|known| known.as_ref().err()).peekable();
        failures.peek().is_some() && failures.all(|failure| failure.transient)
    }

    fn take(&mut self, fetched: Fetched, events: Option<&Events>) {
        for (secret, outcome) in fetched {
            let event = match &outcome {
                Ok(_) => Event::SecretFetched { secret: &secret, is_back: self.failing.remove(&secret) },
                Err(failure) => Event::SecretNotFetched {
                    secret: &secret,
                    cause: &failure.cause,
                    is_first: self.failing.insert(secret.clone()),
                },
            };
            if let Some(events) = events {
                events.emit(event);
            }
            match (self.known.get(&secret), &outcome) {
                (Some(Ok(_)), Err(_)) => {}
                _ => drop(self.known.insert(secret, outcome)),
            }
        }
    }
}

/// PURE: what is to be asked for now. A secret that nobody asked for yet is always due.
fn due(wanted: BTreeSet<Reference>, known: &Fetched, is_due: bool, is_again: bool) -> Vec<Reference> {
    let wants = |secret: &Reference| match known.get(secret) {
        None => true,
        Some(Err(_)) => is_due || is_again,
        Some(Ok(_)) => is_due,
    };
    wanted.into_iter().filter(wants).collect()
}

/// Reads roots, so not in an async task.
async fn open(azure: crate::config::Azure) -> Result<vault::Vaults, Failure> {
    let crate::config::Azure { ca_file, credential, .. } = azure;
    let tls = tokio::task::spawn_blocking(move || Tls::new(ca_file.as_deref()).map_err(|e| chain(&e))).await;
    let tls = tls.unwrap_or_else(|_| Err("reading them was interrupted".to_owned())).map_err(|cause| Failure {
        cause: format!("there are no certificates to trust: {cause}"),
        mend: "install ca-certificates, or correct azure.ca_file".to_owned(),
        transient: false,
    })?;
    Ok(vault::Vaults::new(credential, &settings::environment(), Arc::new(tls), Arc::new(Plain)))
}

/// Fetches and reads; prints every mistake. Exit code 64 if the file cannot be used, 1 if only the vaults are away.
pub(super) async fn read(file: &Path) -> Result<(Read, Keeper), ExitCode> {
    let mut keeper = Keeper::default();
    keeper.look(file, true, None).await;
    match settings::load(file, Vaults::Fetched(&keeper.known)) {
        Ok(read) => Ok((read, keeper)),
        Err(mistakes) => {
            let is_away = keeper.may_pass() && settings::load(file, Vaults::Unasked).is_ok();
            Err(settings::refuse(file, &mistakes, if is_away { FAILED } else { BAD_CONFIGURATION }))
        }
    }
}

#[cfg(test)]
mod tests {
    use vault::Value;

    use super::*;

    fn secret(name: &str) -> Reference {
        Reference::new("https://mine.vault.azure.net", name, None).unwrap()
    }

    fn value(value: &str) -> Result<Value, Failure> {
        Ok(Value::new(value.to_owned()))
    }

    fn failure() -> Result<Value, Failure> {
        Err(Failure { cause: "away".to_owned(), mend: "wait".to_owned(), transient: true })
    }

    #[test]
    fn a_vault_that_is_away_takes_nothing_away() {
        let mut keeper = Keeper::default();
        keeper.take([(secret("a"), value("1")), (secret("b"), failure())].into(), None);
        keeper.take([(secret("a"), failure()), (secret("b"), failure())].into(), None);
        assert_eq!(keeper.known, [(secret("a"), value("1")), (secret("b"), failure())].into());
        keeper.take([(secret("a"), value("2")), (secret("b"), value("3"))].into(), None);
        assert_eq!(keeper.known, [(secret("a"), value("2")), (secret("b"), value("3"))].into());
    }

    #[test]
    fn a_start_that_fails_is_worth_another_try_when_only_the_vaults_are_away() {
        let with = |known: &[Result<Value, Failure>]| {
            let known = known.iter().cloned().enumerate().map(|(nth, known)| (secret(&nth.to_string()), known));
            Keeper { known: known.collect(), ..Keeper::default() }.may_pass()
        };
        let lasting = Err(Failure { transient: false, ..failure().unwrap_err() });
        assert!(with(&[value("1"), failure()]));
        assert!(!with(&[failure(), lasting]));
        assert!(!with(&[value("1")]), "what is there is wrong then");
    }

    #[test]
    fn what_is_not_there_is_asked_for_sooner_than_what_is() {
        let known: Fetched = [(secret("there"), value("1")), (secret("refused"), failure())].into();
        let names = ["new", "refused", "there"];
        let due = |is_due, is_again| due(names.map(secret).into(), &known, is_due, is_again);
        assert_eq!(due(true, false), names.map(secret));
        assert_eq!(due(false, true), ["new", "refused"].map(secret));
        assert_eq!(due(false, false), [secret("new")]);
    }
}
