//! `mutants`: plants the mistakes of `mutants.toml` one at a time in a copy of the tree, and tells stories until the judge
//! finds something wrong. The unchanged tree goes first, and nothing may be found there.
//!
//! Ends with 1 when a mistake was not found, does not apply or does not compile, or when the unchanged tree is guilty.
#![expect(clippy::print_stdout, reason = "its table is what it is for")]

use std::io::{BufRead as _, BufReader};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io, thread};

use clap::Parser;
use sim::mutants::Mutant;
use tokio::time::Instant;

/// Seeds that one process tells: few, so that one that finds something does not wait for many others.
const SEEDS_AT_ONCE: u64 = 8;
/// A mistake may make a story endless, or have it eat all memory. Eight honest ones take two seconds of processor time in an
/// unoptimised build, and 100 MB.
const BOUNDS: [&str; 2] = ["--cpu=60", "--as=4294967296"];

/// Told by the copy and by this build.
const REBUILT: [&str; 5] = ["1", "3", "20", "77", "260"];

/// Plants mistakes in a copy of the tree and lets the simulation find them.
#[derive(Debug, Parser)]
struct Arguments {
    /// Tell so many seeds before a mistake counts as not found.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Where the copy is, with a target directory of its own; both are used again.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave the unchanged tree out.
    #[arg(long)]
    without_unchanged: bool,
    /// Only those whose names contain one of these.
    names: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match campaign(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            println!("failed: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// True when every mistake was found and the unchanged tree is without one.
fn campaign(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let dir = arguments.dir.clone().unwrap_or_else(|| std::env::temp_dir().join("longhaul-mutants"));
    let copy = Copy::new(root, dir)?;
    let is_wanted = |mutant: &Mutant| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| mutant.name.contains(name.as_str()))
    };
    let mutants: Vec<Mutant> = Mutant::all()?.into_iter().filter(is_wanted).collect();
    println!("{:44} {:>8} {:>6} {:>6} {:>6}", "mistake", "found", "seed", "build", "search");
    let mut is_well = true;
    if !arguments.without_unchanged {
        let begun = Instant::now();
        copy.build()?;
        let built = begun.elapsed().as_secs();
        let (found, searched) = copy.search(1..=arguments.seeds);
        let (kind, seed) = found.as_ref().map_or(("nothing", 0), |found| (&found.kind, found.seed));
        println!("{:44} {kind:>8} {seed:>6} {built:>4} s {searched:>4} s", "(none)");
        is_well &= found.is_none() && copy.tells_the_same()?;
    }
    let mut found = 0;
    for mutant in &mutants {
        found += usize::from(copy.try_one(mutant, arguments.seeds));
    }
    println!("{found} of {} found within {} seeds", mutants.len(), arguments.seeds);
    Ok(is_well && found == mutants.len())
}

/// The tree that is spoilt.
struct Copy {
    root: PathBuf,
    tree: PathBuf,
    target: PathBuf,
}

/// What the judge said first.
struct Found {
    seed: u64,
    kind: String,
}

impl Copy {
    /// All files that git knows, as they stand now.
    fn new(root: PathBuf, dir: PathBuf) -> io::Result<Self> {
        let copy = Self { root, tree: dir.join("tree"), target: dir.join("target") };
        let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(&copy.root).output()?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for file in listed.split_terminator('\0') {
            let Ok(text) = fs::read(copy.root.join(file)) else { continue };
            let there = copy.tree.join(file);
            // What is the same keeps its time, and cargo what was built of it.
            if fs::read(&there).is_ok_and(|before| before == text) {
                continue;
            }
            if let Some(parent) = there.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&there, text)?;
        }
        Ok(copy)
    }

    /// The copy was built elsewhere, of the same sources: it tells the same stories, to the byte.
    fn tells_the_same(&self) -> io::Result<bool> {
        let own = std::env::current_exe()?.with_file_name("sim");
        if !own.exists() {
            println!("{} is not there to be compared with; build it: cargo build -p sim", own.display());
            return Ok(false);
        }
        let tell = |sim: &Path, seed| Command::new(sim).arg(seed).output().map(|told| told.stdout);
        for seed in REBUILT {
            let (ours, theirs) = (tell(&own, seed)?, tell(&self.target.join("debug/sim"), seed)?);
            if ours.is_empty() || ours != theirs {
                println!("seed {seed} is told differently by another build of the same sources");
                return Ok(false);
            }
        }
        println!("seeds {} are told the same by two builds, to the byte", REBUILT.join(", "));
        Ok(true)
    }

    /// True when it was found.
    fn try_one(&self, mutant: &Mutant, seeds: u64) -> bool {
        let name = &mutant.name;
        if let Err(cause) = mutant.plant(&self.root, &self.tree) {
            println!("{name:44} DOES NOT APPLY: {cause}");
            return false;
        }
        let begun = Instant::now();
        let found = match self.build() {
            Err(cause) => {
                println!("{name:44} DOES NOT COMPILE\n{cause}");
                None
            }
            Ok(()) => {
                let built = begun.elapsed().as_secs();
                let (found, searched) = self.search(mutant.seed.map_or(1..=seeds, |seed| seed..=seed));
                match &found {
                    Some(Found { seed, kind }) => {
                        println!("{name:44} {kind:>8} {seed:>6} {built:>4} s {searched:>4} s");
                    }
                    None => println!("{name:44} NOT FOUND {:>5} {built:>4} s {searched:>4} s", "-"),
                }
                found
            }
        };
        if let Err(cause) = mutant.mend(&self.root, &self.tree) {
            println!("{name:44} CANNOT BE MENDED: {cause}");
            return false;
        }
        found.is_some()
    }

    fn build(&self) -> Result<(), String> {
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--package", "sim", "--bin", "sim"])
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.tree)
            .output()
            .map_err(|cause| cause.to_string())?;
        if built.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&built.stderr).into_owned()) }
    }

    /// The first seed that finds something, and how many seconds that took.
    fn search(&self, seeds: RangeInclusive<u64>) -> (Option<Found>, u64) {
        let begun = Instant::now();
        let next = AtomicU64::new(*seeds.start());
        let found: Mutex<Option<Found>> = Mutex::new(None);
        let is_found = || found.lock().is_ok_and(|found| found.is_some());
        let tell = || {
            while !is_found() {
                let from = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
                if from > *seeds.end() {
                    break;
                }
                let told = self.tell(from, seeds.end().saturating_add(1).min(from + SEEDS_AT_ONCE));
                let told = told.unwrap_or_else(|cause| Some(Found { seed: from, kind: cause.to_string() }));
                let Some(one) = told else { continue };
                // Whoever began earlier ends as well, so that the first of all seeds is known.
                let Ok(mut found) = found.lock() else { break };
                if found.as_ref().is_none_or(|before| one.seed < before.seed) {
                    *found = Some(one);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(tell);
            }
        });
        (found.into_inner().unwrap_or_default(), begun.elapsed().as_secs())
    }

    /// Tells the seeds from `from` up to the one before `to`.
    fn tell(&self, from: u64, to: u64) -> io::Result<Option<Found>> {
        let mut telling = Command::new("prlimit")
            .args(BOUNDS)
            .arg(self.target.join("debug/sim"))
            .args(["--jobs", "1", "--until-found", "--seeds", &format!("{from}..{to}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let lines = telling.stdout.take().map(|out| BufReader::new(out).lines());
        let first = lines.and_then(|mut lines| lines.find_map(|line| finding(&line.ok()?)));
        if first.is_some() {
            // What it does now is to make the story small.
            telling.kill()?;
        }
        let ended = telling.wait()?;
        let endless = (!ended.success()).then(|| Found { seed: from, kind: "crash".to_owned() });
        Ok(first.or(endless))
    }
}

/// `seed 7: lost: …`
fn finding(line: &str) -> Option<Found> {
    let mut parts = line.strip_prefix("seed ")?.splitn(3, ": ");
    let (seed, kind) = (parts.next()?.parse().ok()?, parts.next()?);
    parts.next()?;
    Some(Found { seed, kind: kind.to_owned() })
}
