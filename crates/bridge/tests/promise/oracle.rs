//! What was promised against what arrived. A 2xx opens an obligation; the judge closes it with a line of the record.
//!
//! Shares no code with the bridge or the simulator, and trusts no counter of theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::uplinks;

/// One uplink, by the names under which it was posted.
pub(crate) type Uplink = (String, u32);

/// Everything that was posted, and what of it was answered 2xx.
#[derive(Debug, Default)]
pub(crate) struct Obligations(Mutex<Books>);

#[derive(Clone, Debug, Default)]
struct Books {
    posted: BTreeSet<Uplink>,
    owed: BTreeSet<Uplink>,
}

impl Obligations {
    /// It may arrive from now on.
    pub(crate) fn posted(&self, device: &str, counter: u32) {
        self.books().posted.insert((device.to_owned(), counter));
    }

    /// It was answered 2xx: it must arrive.
    pub(crate) fn owed(&self, device: &str, counter: u32) {
        self.books().owed.insert((device.to_owned(), counter));
    }

    pub(crate) fn owed_count(&self) -> usize {
        self.books().owed.len()
    }

    /// Judges a record.
    pub(crate) fn judge(&self, record: &[Value]) -> Verdict {
        let books = self.books().clone();
        let mut verdict = Verdict { acked: books.owed.len(), recorded: record.len(), ..Verdict::default() };
        let mut seen = Seen::default();
        for line in record {
            seen.read(line, &books.posted, &mut verdict);
        }
        let delivered: BTreeSet<_> = seen.ids.keys().cloned().collect();
        verdict.delivered = delivered.len();
        verdict.lost = books.owed.difference(&delivered).cloned().collect();
        verdict
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the judge has read so far.
#[derive(Default)]
struct Seen {
    /// Message ids under which an uplink came.
    ids: BTreeMap<Uplink, BTreeSet<String>>,
    /// Which uplink a message id stands for.
    uplink_of: BTreeMap<String, Uplink>,
    /// Highest counter so far, by device.
    newest: BTreeMap<String, u32>,
}

impl Seen {
    fn read(&mut self, line: &Value, posted: &BTreeSet<Uplink>, verdict: &mut Verdict) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (body, id) = (&line["body"], text(&line["message_id"]));
        let device = text(&body["DeviceID"]);
        let counter = body["Counter"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let uplink = (device.clone(), counter);
        if !posted.contains(&uplink) || text(&body["PayloadRaw"]) != uplinks::payload(&device, counter) {
            verdict.invented.push(uplink);
            return;
        }
        if text(&line["device_id"]) != device {
            verdict.wrong_device.push(uplink.clone());
        }
        if self.uplink_of.insert(id.clone(), uplink.clone()).is_some_and(|other| other != uplink) {
            verdict.one_id_for_two.push(uplink.clone());
        }
        let ids = self.ids.entry(uplink.clone()).or_default();
        let is_first = ids.is_empty();
        if !ids.insert(id) {
            verdict.duplicated.push(uplink);
        } else if !is_first {
            verdict.twice.push(uplink);
        } else {
            let newest = self.newest.entry(device).or_insert(counter);
            if counter < *newest {
                verdict.out_of_order.push(uplink);
            }
            *newest = counter.max(*newest);
        }
    }
}

/// What the judge says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acked: usize,
    /// Different uplinks that arrived.
    pub(crate) delivered: usize,
    /// Lines of the record.
    pub(crate) recorded: usize,
    pub(crate) lost: Vec<Uplink>,
    /// Again under the same message id: a resend that can be recognised.
    pub(crate) duplicated: Vec<Uplink>,
    /// Again under another message id.
    pub(crate) twice: Vec<Uplink>,
    /// Two different uplinks under one message id.
    pub(crate) one_id_for_two: Vec<Uplink>,
    /// First came after a later one of the same device.
    pub(crate) out_of_order: Vec<Uplink>,
    /// Sent under another device's identity.
    pub(crate) wrong_device: Vec<Uplink>,
    /// Never posted, or posted with other content.
    pub(crate) invented: Vec<Uplink>,
}

impl Verdict {
    /// Nothing is wrong, and at most so many resends happened.
    #[track_caller]
    pub(crate) fn holds(&self, duplicates_max: usize) {
        let is_clean = self.lost.is_empty()
            && self.twice.is_empty()
            && self.one_id_for_two.is_empty()
            && self.out_of_order.is_empty()
            && self.wrong_device.is_empty()
            && self.invented.is_empty();
        assert!(
            is_clean && self.duplicated.len() <= duplicates_max,
            "{self}\nat most {duplicates_max} resends: {self:#?}"
        );
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "acked {} delivered {} recorded {}", self.acked, self.delivered, self.recorded)?;
        write!(f, " lost {} duplicated {} twice {}", self.lost.len(), self.duplicated.len(), self.twice.len())?;
        write!(f, " one-id-for-two {} out-of-order {}", self.one_id_for_two.len(), self.out_of_order.len())?;
        write!(f, " wrong-device {} invented {}", self.wrong_device.len(), self.invented.len())
    }
}

/// The simulator's record, read on from where it was read last.
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    offset: u64,
    lines: Vec<Value>,
}

impl Record {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, lines: Vec::new() }
    }

    /// All whole lines so far. A line that is no JSON is the simulator's fault and ends the test.
    pub(crate) fn lines(&mut self) -> &[Value] {
        let mut fresh = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            file.seek(SeekFrom::Start(self.offset)).expect("a file can be sought");
            file.read_to_end(&mut fresh).expect("the record can be read");
        }
        let whole = fresh.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        self.offset += whole as u64;
        for line in fresh[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            self.lines.push(read_line(line));
        }
        &self.lines
    }

    /// The file's text, for those who compare bytes.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_default()
    }
}

/// A member that is nested too deeply for a JSON reader becomes null; the others can be read all the same.
fn read_line(line: &[u8]) -> Value {
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e} in the record: {}", String::from_utf8_lossy(line)));
    let value = |raw: Box<RawValue>| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
    members.into_iter().map(|(name, raw)| (name, value(raw))).collect()
}

mod tests {
    use serde_json::json;

    use super::*;

    fn line(device: &str, counter: u32, id: &str) -> Value {
        let body = json!({"DeviceID": device, "Counter": counter, "PayloadRaw": uplinks::payload(device, counter)});
        json!({"hub": "localhost", "device_id": device, "message_id": id, "properties": {}, "body": body})
    }

    /// Posted and owed: a1, a2, b1.
    fn three() -> Obligations {
        let obligations = Obligations::default();
        for (device, counter) in [("a", 1), ("a", 2), ("b", 1)] {
            obligations.posted(device, counter);
            obligations.owed(device, counter);
        }
        obligations
    }

    fn good() -> Vec<Value> {
        vec![line("a", 1, "a1"), line("b", 1, "b1"), line("a", 2, "a2")]
    }

    #[test]
    fn the_judge_is_content_with_a_good_record() {
        let verdict = three().judge(&good());
        assert_eq!(verdict, Verdict { acked: 3, delivered: 3, recorded: 3, ..Verdict::default() });
        verdict.holds(0);
    }

    #[test]
    fn the_judge_finds_what_is_lost() {
        let verdict = three().judge(&good()[..2]);
        assert_eq!(verdict.lost, [("a".to_owned(), 2)]);
    }

    #[test]
    #[should_panic(expected = "lost 1")]
    fn a_loss_fails_a_test() {
        three().judge(&good()[..2]).holds(10);
    }

    #[test]
    #[should_panic(expected = "duplicated 1")]
    fn more_resends_than_allowed_fail_a_test() {
        three().judge(&[good(), vec![line("a", 2, "a2")]].concat()).holds(0);
    }

    #[test]
    fn the_judge_tells_a_resend_from_a_second_message() {
        let resent = three().judge(&[good(), vec![line("a", 2, "a2")]].concat());
        assert_eq!((resent.duplicated.len(), resent.twice.len()), (1, 0));
        let twice = three().judge(&[good(), vec![line("a", 2, "other")]].concat());
        assert_eq!((twice.duplicated.len(), twice.twice.len()), (0, 1));
    }

    #[test]
    fn the_judge_finds_one_id_for_two_messages() {
        let verdict = three().judge(&[line("a", 1, "same"), line("a", 2, "same"), line("b", 1, "b1")]);
        assert_eq!(verdict.one_id_for_two, [("a".to_owned(), 2)]);
    }

    #[test]
    fn the_judge_finds_disorder_of_one_device_only() {
        let verdict = three().judge(&[line("a", 2, "a2"), line("b", 1, "b1"), line("a", 1, "a1")]);
        assert_eq!(verdict.out_of_order, [("a".to_owned(), 1)]);
        let resent_late = three().judge(&[good(), vec![line("a", 1, "a1")]].concat());
        assert!(resent_late.out_of_order.is_empty(), "a resend is no disorder");
    }

    #[test]
    fn the_judge_finds_a_message_under_a_wrong_identity() {
        let mut record = good();
        record[0]["device_id"] = json!("b");
        assert_eq!(three().judge(&record).wrong_device, [("a".to_owned(), 1)]);
    }

    #[test]
    fn the_judge_finds_what_nobody_posted() {
        let mut altered = good();
        altered[0]["body"]["PayloadRaw"] = json!("AAAA");
        assert_eq!(three().judge(&altered).invented, [("a".to_owned(), 1)]);
        assert_eq!(three().judge(&[line("a", 9, "a9")]).invented, [("a".to_owned(), 9)]);
    }

    #[test]
    fn a_message_that_was_refused_may_arrive_or_not() {
        let obligations = three();
        obligations.posted("b", 2);
        obligations.judge(&good()).holds(0);
        obligations.judge(&[good(), vec![line("b", 2, "b2")]].concat()).holds(0);
    }
}
