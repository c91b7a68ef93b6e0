//! What became of a queue's messages, and what is told of it. No word of a message is repeated.

use std::process::ExitCode;
use std::sync::Arc;

use queue::{Place, UnixMillis};
use serde::Serialize;
use storage::Messages;

use super::super::{FAILED, say};
use crate::admin::takeover::Said;

/// A storage queue, before anything is taken.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) messages: Arc<Messages>,
    pub(super) is_poison: bool,
    pub(super) is_there: bool,
    /// About how many, hidden ones included.
    pub(super) count: u64,
}

/// What became of its messages.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) queue: String,
    #[serde(rename = "poison")]
    pub(super) is_poison: bool,
    /// About how many stood there.
    pub(super) found: u64,
    /// Wait to be sent. In a dry run: of those that were looked at.
    pub(super) kept: usize,
    /// Are dead letters.
    pub(super) buried: usize,
    /// Were here already.
    pub(super) known: usize,
    /// Are no JSON, and stay over there.
    pub(super) not_json: usize,
    /// Are here, and could not be deleted over there.
    pub(super) undeleted: usize,
    /// About how many stand there now; none where it could not be asked.
    pub(super) left: Option<u64>,
    /// What ended it.
    pub(super) trouble: Option<String>,
}

impl Outcome {
    /// Somebody has taken them and not deleted them: whoever was ended in the middle, or the predecessor's processor.
    fn hidden(&self) -> u64 {
        let ours = u64::try_from(self.not_json + self.undeleted).unwrap_or(u64::MAX);
        self.left.unwrap_or(0).saturating_sub(ours)
    }

    fn is_well(&self) -> bool {
        self.trouble.is_none() && self.not_json == 0 && self.undeleted == 0 && self.hidden() == 0
    }
}

/// What would become of those that can be seen without taking them, 32 at the most.
pub(super) async fn foreseen(queue: Found, buries: bool, now: UnixMillis) -> Result<Outcome, String> {
    let mut outcome =
        Outcome { queue: queue.name, is_poison: queue.is_poison, found: queue.count, ..Outcome::default() };
    if !queue.is_there {
        return Ok(outcome);
    }
    for body in queue.messages.peek().await.result.map_err(|failure| failure.to_string())? {
        match (Said { body: &body, put_at: now, is_poison: buries }).put("-", now) {
            None => outcome.not_json += 1,
            Some(put) if matches!(put.place, Place::Lane) => outcome.kept += 1,
            Some(_) => outcome.buried += 1,
        }
    }
    Ok(outcome)
}

/// To the terminal; the exit code says whether anything is left to do.
pub(super) fn tell(outcomes: &[Outcome], json: bool, dry_run: bool) -> ExitCode {
    if json {
        say(&serde_json::json!({ "dry_run": dry_run, "queues": outcomes }).to_string());
    } else {
        outcomes.iter().for_each(|outcome| if dry_run { foretell(outcome) } else { report(outcome) });
    }
    match dry_run || outcomes.iter().all(Outcome::is_well) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(FAILED),
    }
}

fn foretell(outcome: &Outcome) {
    let Outcome { queue, found, kept, buried, not_json, .. } = outcome;
    say(&format!(
        "{queue}: about {found}; of the first {}: {kept} would be sent, {buried} would be dead letters, {not_json} are no JSON",
        kept + buried + not_json
    ));
}

fn report(outcome: &Outcome) {
    let Outcome { queue, kept, buried, known, .. } = outcome;
    say(&format!("{queue}: {kept} wait to be sent, {buried} are dead letters, {known} were here already"));
    if outcome.is_poison && *buried > 0 {
        say(
            "    look: longhaul dead-letters list --reason predecessor_poison; send them: longhaul dead-letters replay with the same",
        );
    }
    if outcome.not_json > 0 {
        say(&format!("    {} are no JSON and stay there: nobody can send them, delete them there", outcome.not_json));
    }
    if outcome.undeleted > 0 {
        say(&format!(
            "    {} are here and could not be deleted there: run this again, they are known",
            outcome.undeleted
        ));
    }
    if outcome.hidden() > 0 {
        say(&format!(
            "    about {} are hidden, or came just now: a run that was ended has taken them, or the predecessor's processor (is it \
             stopped?); run this again in some minutes",
            outcome.hidden()
        ));
    }
    if let Some(trouble) = &outcome.trouble {
        say(&format!("    ended: {trouble}; what is not here yet stays there: run this again"));
    }
}
