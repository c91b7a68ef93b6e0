//! Follows the configuration's files while the bridge runs, and the secrets of its key vaults: SIGHUP takes them at once, a
//! change of a file within seconds, one of a vault within `azure.key_vault_refresh_seconds`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::Signal;
use vault::Fetched;

use super::vaults::Keeper;
use super::{run, settings};
use crate::alarms::Alarms;
use crate::config::read::vaults::Vaults;
use crate::config::{Config, report};
use crate::events::{Event, Events};
use crate::reload::{Outcome, Reload};

/// The files are read so often: a page of TOML and a few secrets, well below a millisecond.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What was read, as it can be compared.
type Seen = Result<Config, String>;

/// Never ends.
pub(super) async fn follow(
    file: PathBuf,
    mut keeper: Keeper,
    reload: &Reload,
    (events, alarms): (&Events, &Alarms),
    mut hangup: Option<Signal>,
) {
    let mut told = None;
    let mut last = None;
    loop {
        let is_asked = tokio::select! {
            () = run::came(&mut hangup) => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        reload.tick();
        // Bounded, but a minute if a vault is silent; what changed meanwhile is seen after it.
        keeper.look(&file, is_asked, Some(events)).await;
        alarms.secrets_end(keeper.endings());
        let (of, known) = (file.clone(), keeper.known.clone());
        let Ok(seen) = tokio::task::spawn_blocking(move || see(&of, &known)).await else { continue };
        // One that is being written may read well and be half of what it is to be: it has to be there twice.
        let is_still = last.as_ref() == Some(&seen);
        if is_asked || is_still {
            take(seen.clone(), reload, events, &mut told, is_asked).await;
        }
        last = Some(seen);
    }
}

fn see(file: &Path, known: &Fetched) -> Seen {
    settings::load(file, Vaults::Fetched(known))
        .map(|read| read.config)
        .map_err(|mistakes| report(&file.display().to_string(), &mistakes))
}

/// The same refusal is told once, unless somebody asks.
async fn take(seen: Seen, reload: &Reload, events: &Events, told: &mut Option<String>, is_asked: bool) {
    let outcome = match seen {
        Ok(config) => Ok(reload.take(config).await),
        Err(report) => Err(report),
    };
    let refusal = match outcome {
        Ok(Outcome::Same) => {
            *told = None;
            if is_asked {
                events.emit(Event::Reloaded { changed: &[] });
            }
            return;
        }
        Ok(Outcome::Taken(changed)) => {
            *told = None;
            return events.emit(Event::Reloaded { changed: &changed });
        }
        Ok(Outcome::Refused(mistakes)) => report("reload", &mistakes),
        Err(report) => report,
    };
    if is_asked || told.as_ref() != Some(&refusal) {
        events.emit(Event::ReloadRefused { cause: &refusal });
        *told = Some(refusal);
    }
}
