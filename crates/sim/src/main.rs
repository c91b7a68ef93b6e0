//! `sim`: tells seeds; see `docs/simulation.md`.

#![expect(clippy::print_stdout, reason = "what it has to say")]
#![expect(clippy::print_stderr, reason = "how far it is")]

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use sim::campaign::{Campaign, Outcome, Story};
use sim::minimise::minimise;

/// The whole bridge in virtual time. With a seed: its story, line by line, and what the judge finds in it. With --seeds: many
/// of them, and what they had in them. Exits with 1 when something was found.
#[derive(Debug, Parser)]
struct Arguments {
    /// One seed, to be read.
    seed: Option<u64>,
    /// Many seeds: FROM..TO, without TO.
    #[arg(long, value_name = "FROM..TO", value_parser = range, conflicts_with = "seed")]
    seeds: Option<Range<u64>>,
    /// Simulated hours of a story, without the quiet in the end.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// Of one seed's events only so many.
    #[arg(long, value_name = "COUNT", requires = "seed")]
    events: Option<usize>,
    /// And of those not these: 3,7-9.
    #[arg(long, value_name = "LIST", value_parser = list, requires = "seed")]
    without: Option<List>,
    /// Only what the judge finds, without the story.
    #[arg(long, requires = "seed")]
    brief: bool,
    /// Makes a failing seed small: the shortest story that still fails.
    #[arg(long, requires = "seed")]
    minimise: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Stops at the first seed in which something is found.
    #[arg(long, requires = "seeds")]
    until_found: bool,
    /// How often each kind of trouble happened.
    #[arg(long, requires = "seeds")]
    coverage: bool,
    /// Fails when a kind of trouble happened less often.
    #[arg(long, value_name = "TIMES", requires = "seeds")]
    at_least: Option<u64>,
}

#[derive(Clone, Debug)]
struct List(Vec<usize>);

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    ends.filter(|range: &Range<u64>| !range.is_empty()).ok_or_else(|| "not FROM..TO, such as 1..1001".to_owned())
}

fn list(text: &str) -> Result<List, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (Ok(from), Ok(to)) = (from.parse::<usize>(), to.parse::<usize>()) else {
            return Err(format!("{part:?} is neither a number nor a range such as 7-9"));
        };
        all.extend(from..=to);
    }
    Ok(List(all))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let length = Duration::try_from_secs_f64(arguments.hours * 3600.0).unwrap_or(Duration::from_secs(3600));
    let is_clean = match (&arguments.seeds, arguments.seed) {
        (Some(seeds), _) => many(&arguments, seeds.clone(), length),
        (None, seed) => one(&arguments, seed.unwrap_or(1), length),
    };
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(arguments: &Arguments, seed: u64, length: Duration) -> bool {
    let without = arguments.without.clone().map(|list| list.0).unwrap_or_default();
    let story = Story { seed, length, events: arguments.events, without };
    if arguments.minimise {
        return small(&story, arguments);
    }
    let read = story.read();
    if !arguments.brief {
        print!("{}", read.log);
    }
    for finding in &read.findings {
        println!("seed {seed}: {finding}");
    }
    println!("seed {seed}: {} findings, log {:016x}", read.findings.len(), read.fingerprint);
    read.findings.is_empty()
}

/// Says how a failing story can be told in the fewest words. False when there is one.
fn small(story: &Story, arguments: &Arguments) -> bool {
    let Some(smallest) = minimise(story, arguments.jobs) else {
        println!("seed {}: nothing is found in it", story.seed);
        return true;
    };
    println!("seed {}, as short as it can be:", story.seed);
    smallest.events.iter().for_each(|event| println!("  {event}"));
    smallest.findings.iter().for_each(|finding| println!("  -> {finding}"));
    let hours = if arguments.hours == 1.0 { String::new() } else { format!(" --hours {}", arguments.hours) };
    println!("again: cargo run --release -p sim -- {}{hours}", smallest.arguments());
    false
}

fn many(arguments: &Arguments, seeds: Range<u64>, length: Duration) -> bool {
    let campaign = Campaign { seeds, length, jobs: arguments.jobs, until_found: arguments.until_found };
    #[expect(clippy::disallowed_methods, reason = "how long a campaign takes is real time")]
    let began = Instant::now();
    let outcome = campaign.run(|told| {
        if told % 1_000 == 0 {
            eprintln!("{told} seeds in {:.0} s", began.elapsed().as_secs_f64());
        }
    });
    for failure in &outcome.failures {
        failure.findings.iter().for_each(|finding| println!("seed {}: {finding}", failure.seed));
    }
    if arguments.coverage {
        outcome.happened.iter().for_each(|(name, times)| println!("{times:>9}  {name}"));
    }
    summary(&outcome, began.elapsed());
    let seldom = arguments.at_least.map(|times| outcome.seldom(times)).unwrap_or_default();
    seldom.iter().for_each(|name| println!("too seldom: {name}, {} times", outcome.happened[*name]));
    if let Some(failure) = outcome.failures.first() {
        let story = Story { seed: failure.seed, length, events: None, without: Vec::new() };
        small(&story, arguments);
    }
    outcome.failed == 0 && seldom.is_empty()
}

fn summary(outcome: &Outcome, took: Duration) {
    let hours = outcome.lasted.as_secs_f64() / 3600.0;
    let kinds = outcome.happened.values().filter(|times| **times > 0).count();
    println!(
        "{} seeds, {hours:.0} simulated hours, {} messages, {} starts of the process, {kinds} of {} kinds of trouble, \
         {} with findings, in {:.1} s; logs {:016x}",
        outcome.told,
        outcome.taken,
        outcome.lives,
        outcome.happened.len(),
        outcome.failed,
        took.as_secs_f64(),
        outcome.fingerprint,
    );
}
