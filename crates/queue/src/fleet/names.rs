//! PURE: what the blobs of a shared queue are called, and whose a lane is.
//!
//! Numbers have so many digits that names sort as they do.

use super::format::Picture;
use crate::Seq;

/// A door's log: the life of one process that takes messages. Rises with every such life, never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Log(pub(crate) u32);

/// Whose messages: each device belongs to one, each has one owner at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) struct Partition(pub(crate) u16);

/// What the account is for, put by the first.
pub(crate) const STORE: &str = "store";

/// Leases by which who lives and what is owned can be seen in one list.
pub(crate) const LIVE: &str = "live/";
pub(crate) const OPENINGS: &str = "doors/";
pub(crate) const COMMITS: &str = "door/";
pub(crate) const DEAD: &str = "dead/";

/// PURE: of which kind a blob is, in the words of the decision's table; by its name, or by how names begin.
pub(crate) fn kind(name: &str) -> &'static str {
    const KINDS: [(&str, &str); 10] = [
        ("live/owner-", "live/owner"),
        ("live/door-", "live/door"),
        ("live/worker-", "live/worker"),
        (LIVE, "live"),
        (OPENINGS, "doors"),
        (COMMITS, "door"),
        (DEAD, "dead"),
        ("claims/", "claims"),
        (STORE, "store"),
        ("part/", "part"),
    ];
    let found = KINDS.iter().find(|(begins, _)| name.starts_with(begins)).map_or("other", |(_, kind)| kind);
    match found {
        "part" if name.contains("/log/") => "part/log",
        "part" if name.contains("/state/") => "part/state",
        found => found,
    }
}

/// Who lives, and works.
pub(crate) fn worker(id: &str) -> String {
    format!("{LIVE}worker-{id}")
}

/// The other way round.
pub(crate) fn worker_from(name: &str) -> Option<&str> {
    name.strip_prefix(LIVE)?.strip_prefix("worker-")
}

/// That a log is there, and whose it is. Stays for ever, so that nobody takes its number again.
pub(crate) fn opening(log: Log) -> String {
    format!("{OPENINGS}{:08}", log.0)
}

/// The other way round.
pub(crate) fn log_from(name: &str) -> Option<Log> {
    name.strip_prefix(OPENINGS)?.parse().ok().map(Log)
}

/// A commit of a door. The last one of a log, its end, stays for ever: whoever was stopped in the middle of a put for years
/// finds the name taken.
pub(crate) fn commit_of(log: Log, number: u64) -> String {
    format!("{COMMITS}{:08}/{number:012}", log.0)
}

/// The other way round.
pub(crate) fn commit_from(name: &str) -> Option<(Log, u64)> {
    let (log, number) = name.strip_prefix(COMMITS)?.split_once('/')?;
    Some((Log(log.parse().ok()?), number.parse().ok()?))
}

/// That whoever writes a log lives.
pub(crate) fn door(log: Log) -> String {
    format!("{LIVE}door-{:08}", log.0)
}

/// The other way round.
pub(crate) fn door_from(name: &str) -> Option<Log> {
    name.strip_prefix(LIVE)?.strip_prefix("door-")?.parse().ok().map(Log)
}

/// Who owns a partition, and where its state is to be found.
pub(crate) fn owner(partition: Partition) -> String {
    format!("{LIVE}owner-{:03}", partition.0)
}

/// The other way round.
pub(crate) fn owner_from(name: &str) -> Option<Partition> {
    name.strip_prefix(LIVE)?.strip_prefix("owner-")?.parse().ok().map(Partition)
}

/// A commit of an owner. Those that a new owner begins with stay for ever, as the ends of doors do.
pub(crate) fn progress(partition: Partition, number: u64) -> String {
    format!("part/{:03}/log/{number:012}", partition.0)
}

/// What the commits before a number come to, whenever it was written.
pub(crate) fn states(partition: Partition) -> String {
    format!("part/{:03}/state/", partition.0)
}

/// One piece of that.
pub(crate) fn state(partition: Partition, picture: &Picture, piece: u32) -> String {
    format!("{}{:012}-{:04}/{piece:04}", states(partition), picture.number, picture.attempt)
}

/// A dead letter, whole. By position first, so that a list is in the order in which they were accepted.
pub(crate) fn dead(partition: Partition, seq: Seq) -> String {
    format!("{DEAD}{:020}-{:03}", seq.0, partition.0)
}

/// The other way round.
pub(crate) fn dead_from(name: &str) -> Option<(Partition, Seq)> {
    let (seq, partition) = name.strip_prefix(DEAD)?.split_once('-')?;
    Some((Partition(partition.parse().ok()?), Seq(seq.parse().ok()?)))
}

/// A word that counts for ever, whoever said it first. What is no letter, digit, `-`, `_` or `.` is written as `=` and two digits.
pub(crate) fn claim(space: &str, key: &str) -> String {
    let mut name = format!("claims/{space}/");
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            _ => name.push_str(&format!("={byte:02x}")),
        }
    }
    name
}

/// Whose a lane is: by what follows the first `/` of its name, so that a device's lanes, which differ before it, go
/// together.
pub(crate) fn partition_of(lane: &str, partitions: u16) -> Partition {
    let rest = lane.split_once('/').map_or(lane, |(_, rest)| rest);
    let hash = crc32fast::hash(rest.as_bytes()) % u32::from(partitions.max(1));
    Partition(u16::try_from(hash).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers() {
        assert!(commit_of(Log(9), 99) < commit_of(Log(9), 100) && commit_of(Log(9), 100) < commit_of(Log(10), 1));
        let early = dead(Partition(200), Seq(9));
        assert!(early < dead(Partition(1), Seq(10)));
        assert_eq!(dead_from(&early), Some((Partition(200), Seq(9))));
        assert_eq!((dead_from("dead/x-1"), dead_from("door/1-1")), (None, None));
        assert_eq!((commit_from(&commit_of(Log(7), 9)), door_from(&door(Log(7)))), (Some((Log(7), 9)), Some(Log(7))));
    }

    #[test]
    fn different_claims_have_different_names() {
        assert_eq!(claim("c", "0ne\nApp--d.1"), "claims/c/0ne=0aApp--d.1");
        assert_ne!(claim("c", "a=0ab"), claim("c", "a\nb"));
    }

    #[test]
    fn a_devices_lanes_go_together_and_devices_are_spread() {
        let of = |lane: &str| partition_of(lane, 4).0;
        assert_eq!(of("t/net/app/dev"), of("n/net/app/dev"));
        let mut found = [0; 4];
        (0..400).for_each(|n| found[usize::from(of(&format!("t/net/app/dev-{n}")))] += 1);
        assert!(found.iter().all(|count| (60..140).contains(count)), "{found:?}");
    }
}
