//! The shortest story that still fails: as few of the plan's first events as will do, and of those only the ones that are needed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::campaign::Story;
use crate::judge::Finding;
use crate::plan::What;
use crate::story::tell;

/// A failure, made small.
#[derive(Clone, Debug)]
pub struct Smallest {
    /// How to tell it again.
    pub story: Story,
    /// What it still finds.
    pub findings: Vec<String>,
    /// What happens in it, one line an event.
    pub events: Vec<String>,
}

/// Makes a failing story small; none when it does not fail. Takes as many tellings as it has events, and as many again as
/// its shortest beginning has.
pub fn minimise(story: &Story, jobs: usize) -> Option<Smallest> {
    let kinds: BTreeSet<_> = failing(story).iter().map(|finding| finding.kind).collect();
    if kinds.is_empty() {
        return None;
    }
    let fails = |story: &Story| failing(story).iter().any(|finding| kinds.contains(finding.kind));
    let all = story.plan().told_before_quiet();
    let events =
        first(all, jobs, |events| fails(&Story { events: Some(events), without: Vec::new(), ..story.clone() }));
    let mut small = Story { events: Some(events.unwrap_or(all)), without: Vec::new(), ..story.clone() };
    // The last one is needed: without it the beginning would be shorter.
    for index in (0..small.events.unwrap_or(0).saturating_sub(1)).rev() {
        small.without.push(index);
        if !fails(&small) {
            small.without.pop();
        }
    }
    small.without.sort_unstable();
    let findings = failing(&small).iter().map(ToString::to_string).collect();
    let plan = small.plan();
    let shown = plan.events.iter().take(plan.told_before_quiet());
    let events = shown.map(|event| format!("{} {}", crate::log::Moment(event.at), said(&event.what))).collect();
    Some(Smallest { story: small, findings, events })
}

fn failing(story: &Story) -> Vec<Finding> {
    tell(story.plan(), false).findings
}

/// The least number up to `most` for which it holds, tried upwards on several threads.
fn first(most: usize, jobs: usize, holds: impl Fn(usize) -> bool + Sync) -> Option<usize> {
    let (next, least) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let count = next.fetch_add(1, Ordering::Relaxed);
                    if count > most || count > least.load(Ordering::Relaxed) {
                        return;
                    }
                    if holds(count) {
                        least.fetch_min(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(least.into_inner()).filter(|least| *least <= most)
}

fn said(what: &What) -> String {
    match what {
        What::Post { uplinks, how, .. } => {
            let mut said = how.map_or_else(|| "post".to_owned(), |how| how.facts().name.to_owned());
            for uplink in uplinks {
                let _ = write!(said, ", {} of device {}", uplink.id, uplink.device);
            }
            said
        }
        What::Trouble { fault, device, lasts, amount } => {
            let whom = device.map(|device| format!(" (device {device})")).unwrap_or_default();
            format!("{}{whom}, {lasts} ms, {amount}", fault.name())
        }
    }
}

impl Smallest {
    /// As it stands after `sim` on a command line.
    pub fn arguments(&self) -> String {
        let mut arguments = format!("{}", self.story.seed);
        if let Some(events) = self.story.events {
            let _ = write!(arguments, " --events {events}");
        }
        if !self.story.without.is_empty() {
            let _ = write!(arguments, " --without {}", ranges(&self.story.without));
        }
        arguments
    }
}

/// `0-3,7` for 0, 1, 2, 3 and 7.
fn ranges(numbers: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let shown = parts.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_number_is_found_on_any_number_of_threads() {
        for jobs in [1, 2, 5] {
            assert_eq!(first(100, jobs, |count| count >= 37), Some(37));
            assert_eq!(first(100, jobs, |count| count == 37 || count == 90), Some(37));
            assert_eq!(first(20, jobs, |count| count >= 37), None);
        }
    }

    #[test]
    fn neighbours_are_written_as_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0-3,7,9-10");
        assert_eq!(ranges(&[]), "");
    }
}
