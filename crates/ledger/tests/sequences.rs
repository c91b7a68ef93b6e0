//! Everything that can happen to a command, in every order: one outcome, told, and never handed over twice.

use ledger::{Answer, Duty, Entry, Fact, Outcome, Policy, Settle, Source, Word};

const HOUR: i64 = 3_600_000;
const EXPIRES: i64 = 24 * HOUR;
const POLICY: Policy = Policy {
    settle: Settle::AtOnce,
    margin: 10_000,
    doubt: 600_000,
    look_every: 60_000,
    pushes_on_doubt: false,
    withdraws: Some(HOUR),
};

type Command = Entry<u32>;

fn words() -> Vec<Word> {
    vec![Word::Queued, Word::Sent, Word::Acknowledged, Word::NotAcknowledged, Word::Failed("too late".to_owned())]
}

fn answers() -> Vec<Answer> {
    vec![Answer::Taken, Answer::Refused("no session".to_owned()), Answer::Doubt]
}

/// Every order of the items, each item once.
fn orders<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let with = |at: usize| {
        let mut rest = items.to_vec();
        let first = rest.remove(at);
        orders(&rest).into_iter().map(move |mut order| {
            order.insert(0, first.clone());
            order
        })
    };
    (0..items.len()).flat_map(with).collect()
}

#[test]
fn order_and_repetition_of_what_the_network_says_do_not_matter() {
    let mut judged = 0;
    for chosen in 0..1_u32 << words().len() {
        for answer in answers() {
            for confirmed in [false, true] {
                let mut facts: Vec<Fact<u32>> = words()
                    .into_iter()
                    .enumerate()
                    .filter(|(at, _)| chosen & (1 << at) != 0)
                    .map(|(_, word)| Fact::Heard(word))
                    .collect();
                facts.push(Fact::Pushed(answer.clone()));
                let ends = |order: &[Fact<u32>], times: usize| {
                    let mut command = Command::new(Source::C2d, confirmed, 0, EXPIRES);
                    command.learn(Fact::PushBegun, 0);
                    for fact in order {
                        for _ in 0..times {
                            command.learn(fact.clone(), 1);
                        }
                    }
                    command.outcome(&POLICY, 1 << 40).map(|outcome| outcome.word())
                };
                let expected = ends(&facts, 1);
                assert!(expected.is_some(), "{facts:?}");
                for order in orders(&facts) {
                    judged += 1;
                    assert_eq!(ends(&order, 1), expected, "{order:?}, confirmed: {confirmed}");
                    assert_eq!(ends(&order, 2), expected, "{order:?} twice, confirmed: {confirmed}");
                }
            }
        }
    }
    assert!(judged > 5_000, "{judged}");
}

/// What may happen at any moment.
#[derive(Clone, Debug)]
enum Step {
    /// The duty is done, with this answer where it is a push, or a look or a withdrawal that finds it or not.
    Done(Answer, bool),
    Heard(Word),
    /// Killed, and read anew.
    Restarted,
    /// Killed while it does its duty: before the outside sees it, or after.
    KilledAt {
        is_done: bool,
    },
    Handed,
    LockGone,
    Superseded,
    Cancelled,
    Later(i64),
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = answers().into_iter().map(|answer| Step::Done(answer, true)).collect();
    steps.push(Step::Done(Answer::Later { at: 0 }, false));
    steps.extend(words().into_iter().map(Step::Heard));
    steps.extend([false, true].map(|is_done| Step::KilledAt { is_done }));
    steps.extend([Step::Restarted, Step::Handed, Step::LockGone, Step::Superseded, Step::Cancelled]);
    steps.extend([Step::Later(60_000), Step::Later(48 * HOUR), Step::Later(-HOUR)]);
    steps
}

/// A command, the time, and what a witness at the network has seen of it.
#[derive(Clone)]
struct Story {
    command: Command,
    policy: Policy,
    now: i64,
    /// Pushes that the network may have taken.
    radioed_at_most: u32,
    is_spoken_of: bool,
    best: u8,
}

impl Story {
    fn new(source: Source, confirmed: bool, policy: Policy) -> Self {
        let command = Command::new(source, confirmed, 0, EXPIRES);
        Self { command, policy, now: 0, radioed_at_most: 0, is_spoken_of: false, best: 0 }
    }

    fn learn(&mut self, fact: Fact<u32>) {
        self.command.learn(fact, self.now);
        let known = self.command.told().map_or(0, Outcome::knows);
        assert!(known >= self.best, "an outcome that was told is not taken back for a lesser one");
        self.best = known;
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Done(answer, finds) => self.do_duty(answer, *finds),
            Step::Heard(word) => {
                self.is_spoken_of |= !matches!(word, Word::Failed(_));
                self.learn(Fact::Heard(word.clone()));
            }
            Step::Restarted => self.learn(Fact::Restarted),
            Step::KilledAt { is_done } => {
                if self.command.duty(&self.policy, self.now) == Duty::Push {
                    self.learn(Fact::PushBegun);
                    self.radioed_at_most += u32::from(*is_done);
                }
                // Whatever else was done is not known to have been done.
                self.learn(Fact::Restarted);
            }
            Step::Handed => self.learn(Fact::Handed { by: 7, until: self.now + 60_000 }),
            Step::LockGone => self.learn(Fact::LockGone),
            Step::Superseded => self.learn(Fact::Superseded),
            Step::Cancelled => self.learn(Fact::Cancelled),
            Step::Later(wait) => self.now += wait,
        }
    }

    fn do_duty(&mut self, answer: &Answer, finds: bool) {
        match self.command.duty(&self.policy, self.now) {
            Duty::Push => {
                assert!(!self.is_spoken_of, "what the network speaks of is not pushed again");
                self.learn(Fact::PushBegun);
                if !matches!(answer, Answer::Later { .. } | Answer::Refused(_)) {
                    self.radioed_at_most += 1;
                }
                let answer =
                    if let Answer::Later { .. } = answer { Answer::Later { at: self.now + 1 } } else { answer.clone() };
                self.learn(Fact::Pushed(answer));
            }
            Duty::Answer(verdict) => {
                if let (Source::Method, ledger::Verdict::Ended(outcome)) = (self.command.source, verdict) {
                    self.learn(Fact::Told(outcome));
                }
                self.learn(Fact::LockGone);
            }
            Duty::Tell(outcome) => self.learn(Fact::Told(outcome)),
            Duty::Look => self.learn(Fact::Looked { is_there: finds }),
            Duty::Withdraw => self.learn(Fact::Withdrawn { is_out: finds }),
            Duty::Wait { until } => self.now = self.now.max(until.min(self.now + 100 * HOUR)),
            Duty::Rest => {}
        }
    }

    /// The process goes on undisturbed: everybody who is owed a word gets it.
    fn end(mut self, steps: &[Step]) {
        self.learn(Fact::Restarted);
        for _ in 0..1_000 {
            if self.command.duty(&self.policy, self.now) == Duty::Rest {
                let outcome = self.command.outcome(&self.policy, self.now);
                assert!(outcome.is_some() && self.command.told() == outcome.as_ref(), "untold after {steps:?}");
                if !self.policy.pushes_on_doubt {
                    assert!(self.radioed_at_most <= 1, "handed over {} times by {steps:?}", self.radioed_at_most);
                }
                return;
            }
            self.do_duty(&Answer::Taken, false);
        }
        panic!("no end after {steps:?}: {:?}", self.command);
    }
}

fn every(story: &Story, depth: usize, taken: &mut Vec<Step>, judged: &mut u64) {
    story.clone().end(taken);
    *judged += 1;
    if depth == 0 {
        return;
    }
    for step in steps() {
        let mut next = story.clone();
        next.take(&step);
        taken.push(step);
        every(&next, depth - 1, taken, judged);
        taken.pop();
    }
}

fn policies() -> [Policy; 3] {
    [
        POLICY,
        Policy { settle: Settle::WhenKnown, withdraws: None, ..POLICY },
        Policy { pushes_on_doubt: true, ..POLICY },
    ]
}

#[test]
fn every_sequence_ends_in_one_outcome_and_at_most_one_hand_over() {
    let mut judged = 0;
    for source in [Source::C2d, Source::Method] {
        for confirmed in [false, true] {
            for policy in policies() {
                every(&Story::new(source, confirmed, policy), 3, &mut Vec::new(), &mut judged);
            }
        }
    }
    assert!(judged > 50_000, "{judged}");
}

#[test]
fn long_stories_end_as_well() {
    let seeds = if std::env::var_os("LONGHAUL_TEST_LONG").is_some() { 1_000_000 } else { 10_000 };
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let source = [Source::C2d, Source::Method, Source::Desired, Source::Operator][random.usize(..4)];
        let mut story = Story::new(source, random.bool(), policies()[random.usize(..3)]);
        let all = steps();
        let taken: Vec<Step> = (0..random.usize(4..30)).map(|_| all[random.usize(..all.len())].clone()).collect();
        for step in &taken {
            story.take(step);
        }
        story.end(&taken);
    }
}

#[test]
fn an_entry_is_the_same_when_it_was_stored() {
    let mut command = Command::new(Source::C2d, true, 5, EXPIRES);
    command.learn(Fact::Handed { by: 1, until: 60_000 }, 5);
    command.learn(Fact::PushBegun, 6);
    let stored = serde_json::to_string(&command).expect("plain fields");
    let mut read: Command = serde_json::from_str(&stored).expect("as it was written");
    assert_eq!(read.duty(&POLICY, 7), Duty::Wait { until: i64::MAX });
    read.learn(Fact::Restarted, 7);
    assert_eq!(read.duty(&POLICY, 7), Duty::Look, "a push that had begun is in doubt, and not pushed again");
}
