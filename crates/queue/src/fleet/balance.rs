//! PURE: who is to have which partitions.
//!
//! Each worker knows who lives and what is free, and nobody has to be asked: of P partitions the first (P mod W) of W workers
//! by name have one more than the others. Who has more gives one away at a time, who has less takes what is free.

use std::collections::BTreeSet;

use super::names::Partition;

/// What this worker does about it now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// In this order, as long as there are too few.
    pub(crate) take: Vec<Partition>,
    pub(crate) give: Option<Partition>,
}

pub(crate) fn decide(
    me: &str,
    others: &BTreeSet<String>,
    partitions: u16,
    free: &BTreeSet<Partition>,
    mine: &BTreeSet<Partition>,
) -> Decision {
    let before_me = others.iter().filter(|other| other.as_str() < me).count();
    let workers = others.iter().filter(|other| other.as_str() != me).count() + 1;
    let partitions = usize::from(partitions);
    let share = partitions / workers + usize::from(before_me < partitions % workers);
    if mine.len() > share {
        return Decision { give: mine.last().copied(), ..Decision::default() };
    }
    // Each begins elsewhere, so that not all try the same one.
    let free: Vec<_> = free.difference(mine).copied().collect();
    let begin = if free.is_empty() { 0 } else { before_me * share % free.len() };
    let rotated = free.iter().cycle().skip(begin).take(free.len());
    Decision { take: rotated.take(share - mine.len()).copied().collect(), give: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Round after round, each in its turn, until nobody does anything.
    fn settle(workers: &[&str], owned: &mut BTreeMap<String, BTreeSet<Partition>>, partitions: u16) -> u32 {
        for round in 0..100 {
            let mut is_quiet = true;
            for worker in workers {
                let all = (0..partitions).map(Partition).collect::<BTreeSet<_>>();
                let free = all.iter().copied().filter(|p| owned.values().all(|mine| !mine.contains(p))).collect();
                let mine = owned.entry((*worker).to_owned()).or_default();
                let decision = decide(worker, &names(workers), partitions, &free, mine);
                is_quiet &= decision == Decision::default();
                mine.retain(|partition| decision.give != Some(*partition));
                mine.extend(decision.take);
            }
            if is_quiet {
                return round;
            }
        }
        panic!("they never come to rest: {owned:?}");
    }

    #[test]
    fn all_partitions_have_an_owner_and_no_two_workers_differ_by_more_than_one() {
        for partitions in [1, 4, 7, 32] {
            let mut owned = BTreeMap::new();
            for workers in [&["b"][..], &["a", "b"], &["a", "b", "c"], &["b", "c"], &["b"]] {
                owned.retain(|worker: &String, _| workers.contains(&worker.as_str()));
                settle(workers, &mut owned, partitions);
                let counts: Vec<usize> = owned.values().map(BTreeSet::len).collect();
                assert_eq!(counts.iter().sum::<usize>(), usize::from(partitions), "{owned:?}");
                let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                assert!(most - least <= 1, "{owned:?}");
            }
        }
    }

    #[test]
    fn who_has_its_share_takes_nothing_and_gives_nothing() {
        let mine = BTreeSet::from([Partition(0), Partition(1)]);
        let free = BTreeSet::from([Partition(2), Partition(3)]);
        assert_eq!(decide("a", &names(&["a", "b"]), 4, &free, &mine), Decision::default());
        assert_eq!(decide("a", &names(&[]), 4, &free, &mine).take.len(), 2, "alone, also when it is not listed itself");
    }
}
