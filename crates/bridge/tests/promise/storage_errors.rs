//! Promise: whatever the storage account answers, nothing that was accepted is lost, each device's uplinks keep their order, what cannot be
//! kept is refused with 503, the processes go on by themselves, and the log says what it was: the code, the request, what was
//! asked, why, and the mend; once, and when it is over.
//!
//! The table is [`CAUSES`] (what the service says), the places at which it is said ([`DOOR`] and its like), and the rows that each phase
//! makes of them.

use std::future::{Future, poll_fn};
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::azurite::Azurite;
use crate::bad_account::Answer::{Cut, Error, Flipped, Half, Later, NoHttp, Nonsense, Silence};
use crate::bad_account::{Answer, Asked, BadAccount, Ends, Met, Rule};
use crate::http;
use crate::network::seed;
use crate::oracle::{Obligations, Record};
use crate::processes::{LONGHAUL, Process, until};
use crate::replicas::worker;
use crate::settings::Settings;
use crate::site::Site;
use crate::uplinks;

/// Many, so that many leases can be lost at once.
const PARTITIONS: usize = 12;
/// For what has to follow from the end of a row: twice the longest wait, a commit, a look of the worker.
const PATIENCE: Duration = Duration::from_secs(30);
/// A lease that is lost runs out, is found free, and its partition read.
const TAKEN_AGAIN: Duration = Duration::from_secs(45);
/// The door has 3.5 s; a busy machine has some more.
const ANSWERED_WITHIN: Duration = Duration::from_millis(4_500);
/// A wait of ours is not shorter than it is said to be by more than clocks are apart.
const TICK: Duration = Duration::from_millis(5);
/// Much longer than the door waits.
const LONG: Ends = Ends::Within(Duration::from_secs(6));

/// What the service says, and what the log has to say of it.
type Cause = (Answer, &'static [&'static str]);

const PASSES: &str = "it passes; if it does not, check the account's address and its limits";
const CREDENTIAL: &str = "check the credential";
const DEFECT: &str = "this is a defect: please report it";
const LOST: &str = "the connection was lost before the answer";

/// Everywhere.
const CAUSES: &[Cause] = &[
    (Later(503, "ServerBusy", 1), &["503 ServerBusy", PASSES]),
    (Error(500, "OperationTimedOut"), &["500 OperationTimedOut", PASSES]),
    (Error(500, "InternalError"), &["500 InternalError", PASSES]),
    (Error(429, "TooManyRequests"), &["429 TooManyRequests", PASSES]),
    (Error(408, "RequestTimeout"), &["408 RequestTimeout", PASSES]),
    (Error(502, ""), &["502 without a code (no request id)", PASSES]),
    (Error(503, ""), &["503 without a code (no request id)", PASSES]),
    (Error(504, ""), &["504 without a code (no request id)", PASSES]),
    (Cut, &[LOST, PASSES]),
    (NoHttp, &[LOST, PASSES]),
    (Silence, &["no answer ", PASSES]),
    (Error(403, "AuthenticationFailed"), &["403 AuthenticationFailed", "this machine's clock"]),
    (
        Error(403, "AuthorizationPermissionMismatch"),
        &["AuthorizationPermissionMismatch", "Storage Blob Data Contributor"],
    ),
    (Error(403, "AuthorizationFailure"), &["403 AuthorizationFailure", "firewall"]),
    (Error(403, "InsufficientAccountPermissions"), &["403 InsufficientAccountPermissions", CREDENTIAL]),
    (Error(403, "KeyBasedAuthenticationNotPermitted"), &["KeyBasedAuthenticationNotPermitted", "use an identity"]),
    (Error(401, "NoAuthenticationInformation"), &["401 NoAuthenticationInformation", CREDENTIAL]),
    (Error(400, "InvalidAuthenticationInfo"), &["400 InvalidAuthenticationInfo", CREDENTIAL]),
    (Error(409, "BlobImmutableDueToPolicy"), &["409 BlobImmutableDueToPolicy", "immutability policy"]),
    (Error(404, "ContainerNotFound"), &["404 ContainerNotFound", "create it, or check its name"]),
    (Error(409, "ContainerBeingDeleted"), &["409 ContainerBeingDeleted", "somebody has deleted it"]),
    (Error(409, "ContainerDisabled"), &["409 ContainerDisabled", "it was shut"]),
    (Error(403, "AccountIsDisabled"), &["403 AccountIsDisabled", "it was shut"]),
    (Error(404, "ResourceNotFound"), &["404 ResourceNotFound", "see in the portal"]),
    (Error(400, "Md5Mismatch"), &["400 Md5Mismatch", DEFECT]),
    (Error(413, "RequestBodyTooLarge"), &["413 RequestBodyTooLarge", DEFECT]),
    (Error(400, "UnsupportedHeader"), &["400 UnsupportedHeader", DEFECT]),
    (Error(400, "InvalidHeaderValue"), &["400 InvalidHeaderValue", DEFECT]),
    (Error(409, "SomethingNew"), &["409 SomethingNew", DEFECT]),
];

/// Of which it is not known whether it was done.
const DOUBTFUL: &[Answer] = &[
    Later(503, "ServerBusy", 1),
    Error(500, "OperationTimedOut"),
    Error(500, "InternalError"),
    Error(504, ""),
    Cut,
    Silence,
];

/// What says that a lease is not ours.
const NOT_OURS: [(u16, &str); 11] = [
    (412, "ConditionNotMet"),
    (412, "LeaseIdMissing"),
    (412, "LeaseIdMismatchWithBlobOperation"),
    (412, "LeaseLost"),
    (412, "LeaseNotPresentWithBlobOperation"),
    (409, "LeaseIdMismatchWithLeaseOperation"),
    (409, "LeaseNotPresentWithLeaseOperation"),
    (409, "LeaseIsBrokenAndCannotBeRenewed"),
    (409, "LeaseIsBreakingAndCannotBeChanged"),
    (409, "LeaseLost"),
    (404, "BlobNotFound"),
];

/// At what it is said.
#[derive(Clone, Copy, Debug)]
struct Place {
    asked: Asked,
    begins: &'static str,
    /// How the cause in the log begins.
    words: &'static str,
    /// The fields of the line that says that it is over.
    fields: &'static str,
    /// Between two tries.
    gap: Duration,
}

const fn place(asked: Asked, begins: &'static str, words: &'static str, fields: &'static str, gap_ms: u64) -> Place {
    Place { asked, begins, words, fields, gap: Duration::from_millis(gap_ms) }
}

const DOOR: Place = place(Asked::PutNew, "door/", "put the new blob \"door/", r#"asked="put" of="door""#, 50);
const COMMIT: Place = place(Asked::PutNew, "part/", "put the new blob \"part/", r#"asked="put" of="part/log""#, 50);
const READ: Place = place(Asked::Get, "door/", "get the blob \"door/", r#"asked="get" of="door""#, 0);
const LOOK: Place =
    place(Asked::List, "live/", "list blobs that begin with \"live/", r#"asked="list" of="live""#, 2_500);
const ALIVE: Place = place(
    Asked::Renew,
    "live/worker-",
    "renew the lease of \"live/worker-",
    r#"asked="renew" of="live/worker""#,
    2_500,
);
const RENEW: Place =
    place(Asked::Renew, "live/owner-", "renew the lease of \"live/owner-", r#"asked="renew" of="live/owner""#, 2_500);
const ACQUIRE: Place = place(
    Asked::Acquire,
    "live/owner-",
    "acquire the lease of \"live/owner-",
    r#"asked="acquire" of="live/owner""#,
    2_500,
);
const OWNER: Place =
    place(Asked::Get, "live/owner-", "get the blob \"live/owner-", r#"asked="get" of="live/owner""#, 0);
const OWNED: Place =
    place(Asked::PutOver, "live/owner-", "put over the blob \"live/owner-", r#"asked="put over" of="live/owner""#, 50);
const LETTER: Place = place(Asked::PutOver, "dead/", "put over the blob \"dead/", r#"asked="put over" of="dead""#, 50);
const GONE: Place = place(Asked::Delete, "dead/", "delete the blob \"dead/", r#"asked="delete" of="dead""#, 50);
const STATE: Place = place(Asked::PutOver, "part/", "put over the blob \"part/", "", 50);
const OLD_STATE: Place = place(Asked::Get, "part/", "get the blob \"part/", "", 0);
const RELEASE: Place = place(Asked::Release, "live/owner-", "release the lease of \"live/owner-", "", 0);
const ANYTHING: Place = place(Asked::Anything, "", "cannot ", "", 0);

/// What becomes of an uplink that is posted meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is taken, at once.
    GoesOn,
    /// It is taken, or refused first.
    May,
    /// It is refused while that lasts.
    Refused,
}

/// One row of the table.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    place: Place,
    /// Of the name, the partition included where it matters.
    begins: String,
    answer: Answer,
    is_done: bool,
    ends: Ends,
    /// Words that stand in one line of the log; none: nothing has to be said, or it was within the last minute.
    says: Vec<&'static str>,
    then: Then,
}

impl Row {
    fn new(place: Place, answer: Answer, says: &[&'static str]) -> Self {
        let row = Self {
            id: String::new(),
            begins: place.begins.to_owned(),
            place,
            answer,
            is_done: false,
            ends: Ends::After(2),
            says: says.to_vec(),
            then: Then::GoesOn,
        };
        if matches!(answer, Silence) { Self { ends: Ends::After(1), then: Then::May, ..row } } else { row }
    }

    fn once(self) -> Self {
        Self { ends: Ends::After(1), ..self }
    }

    fn of(self, partition: usize) -> Self {
        let begins = match self.place.begins {
            "part/" => format!("part/{partition:03}/"),
            begins => format!("{begins}{partition:03}"),
        };
        Self { begins, ..self }
    }

    /// Done, and then this is said. The look whose it is meets what is said to reads meanwhile.
    fn done(place: Place, answer: Answer) -> Self {
        Self { is_done: true, ends: Ends::After(1), then: Then::May, ..Self::new(place, answer, &[]) }
    }

    fn long(place: Place, answer: Answer, then: Then) -> Self {
        Self { ends: LONG, then, ..Self::new(place, answer, &[]) }
    }

    fn may(self) -> Self {
        Self { then: Then::May, ..self }
    }

    /// With a name that says which row it is, and is the request's id.
    fn named(mut self, lane: &str, nth: usize) -> Self {
        let words = format!("{:?}-{}", self.answer, if self.is_done { "done" } else { "refused" });
        let words: String = words.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.id = format!("{lane}-{nth}-{words}").chars().take(64).collect();
        self
    }

    fn has_id(&self) -> bool {
        matches!(self.answer, Error(_, code) | Later(_, code, _) if !code.is_empty())
    }
}

fn named(lane: &str, rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    rows.into_iter().enumerate().map(|(nth, row)| row.named(lane, nth)).collect()
}

fn everything(place: Place) -> impl Iterator<Item = Row> {
    CAUSES.iter().map(move |(answer, says)| Row::new(place, *answer, says))
}

fn doubtful(place: Place) -> impl Iterator<Item = Row> {
    DOUBTFUL.iter().map(move |answer| Row::done(place, *answer))
}

/// Those with these codes, or words.
fn some(place: Place, wanted: &[&str]) -> Vec<Row> {
    let is_wanted = |row: &Row| wanted.iter().any(|word| row.says[0].contains(word));
    everything(place).filter(is_wanted).map(Row::once).collect()
}

/// All of them at once.
async fn all(futures: impl IntoIterator<Item = impl Future<Output = ()>>) {
    let mut left: Vec<_> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        left.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A door, a worker, and what is between them and their account.
struct World {
    site: Site,
    workers: Vec<Process>,
    account: BadAccount,
    obligations: Obligations,
    record: Mutex<Record>,
    /// Posts that were refused, and all.
    refused: Mutex<[u32; 2]>,
    _azurite: Azurite,
}

impl World {
    async fn start(rows: &[Row]) -> (Self, Vec<usize>) {
        seed();
        let mut site = Site::empty("storage-errors");
        let azurite = Azurite::start(&site.dir).await;
        let account = BadAccount::start(azurite.port()).await;
        let connection_string = azurite.seen_at(account.port);
        let queue = format!(
            "kind = \"azure-storage\"\nconnection_string = {{ env = \"STORAGE\" }}\ncontainer = \"errors\"\npartitions = {PARTITIONS}\n"
        );
        site.settings = Settings { queue, ..Settings::default() };
        site.env = vec![("STORAGE".to_owned(), connection_string)];
        site.start_simulator().await;
        let orders = rows.iter().map(|row| account.order(row.rule())).collect();
        let mut door = std::process::Command::new("sh");
        door.args(["-c", r#"exec "$0" "$@" --role webhook"#, LONGHAUL]);
        site.start_bridge_by(&mut door).await;
        let workers = vec![worker(&site, "worker").process];
        let record = Mutex::new(site.record());
        let (obligations, refused) = (Obligations::default(), Mutex::default());
        (Self { site, workers, account, obligations, record, refused, _azurite: azurite }, orders)
    }

    /// What both have logged.
    fn log(&self) -> Vec<String> {
        let door = self.site.bridge.as_ref().expect("it was started").stderr();
        let logs = self.workers.iter().map(Process::stderr).chain([door]);
        logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    fn count(&self, words: &[&str]) -> usize {
        self.log().iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Once; whether it was taken. A device's next one comes after that.
    async fn post_once(&self, why: &str, device: &str, counter: u32) -> bool {
        self.obligations.posted(device, counter);
        let (port, begin) = (self.site.ports.webhook, Instant::now());
        let reply = http::post(port, "/tts", &[], &uplinks::tts("building", device, counter)).await;
        let reply = reply.unwrap_or_else(|e| panic!("{why}: the door does not answer: {e}"));
        let took = begin.elapsed();
        assert!(took < ANSWERED_WITHIN, "{why}: the door's answer took {took:?}");
        assert!(matches!(reply.status, 202 | 503), "{why}: {reply:?}");
        let is_taken = reply.status == 202;
        if is_taken {
            self.obligations.owed(device, counter);
        }
        let mut counts = self.refused.lock().expect("nobody panics here");
        counts[0] += u32::from(!is_taken);
        counts[1] += 1;
        is_taken
    }

    /// Until it is taken: how often it was refused.
    async fn post(&self, why: &str, device: &str, counter: u32) -> u32 {
        let mut refused = 0;
        until(&format!("{why}: the uplink is taken"), PATIENCE, async || {
            let is_taken = self.post_once(why, device, counter).await;
            if !is_taken {
                refused += 1;
                sleep(Duration::from_millis(100)).await;
            }
            is_taken.then_some(())
        })
        .await;
        refused
    }

    async fn arrived(&self, why: &str, device: &str, counter: u32) {
        let is_it = |line: &serde_json::Value| line["body"]["DeviceID"] == device && line["body"]["Counter"] == counter;
        until(&format!("{why}: uplink {counter} of {device} arrives"), PATIENCE, async || {
            self.record.lock().expect("nobody panics here").lines().iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until it is over, and looks what it came to.
    async fn over(&self, row: &Row, order: usize, patience: Duration) {
        let why = format!("row {}", row.id);
        until(&format!("{why} is met and over: {:?}", self.account.met(order)), patience, async || {
            let met = self.account.met(order);
            // What is an answer like any other is not asked again.
            let is_met = matches!(row.ends, Ends::After(times) if met.hits.len() >= times);
            (met.is_over || is_met && row.says.is_empty()).then_some(())
        })
        .await;
        let met = self.account.met(order);
        self.gaps(&why, row, &met);
        self.logged(&why, row).await;
    }

    /// Nobody spins.
    fn gaps(&self, why: &str, row: &Row, met: &Met) {
        let asked_for =
            if let Later(_, _, after) = row.answer { Duration::from_secs(after.into()) } else { Duration::ZERO };
        let least = if row.place.gap.is_zero() { row.place.gap } else { row.place.gap.max(asked_for) - TICK };
        for (nth, (name, at)) in met.hits.iter().enumerate() {
            let next = met.hits[nth + 1..].iter().find(|(next, _)| next == name);
            let gap = next.map(|(_, next)| next.duration_since(*at));
            assert!(gap.is_none_or(|gap| gap >= least), "{why}: {name} is asked for again after {gap:?}: {met:?}");
        }
        if let (Ends::Within(long), false) = (row.ends, row.place.gap.is_zero()) {
            assert!(met.hits.len() <= 12, "{why}: {} tries in {long:?}", met.hits.len());
        } else if let Ends::Within(long) = row.ends {
            // All partitions together, once in a beat at most; but what waits is asked for 16 at once.
            let most = usize::try_from(long.as_secs()).unwrap_or(0) * 64;
            assert!(met.hits.len() <= most, "{why}: {} tries in {long:?}", met.hits.len());
        }
    }

    async fn logged(&self, why: &str, row: &Row) {
        let mut words = row.says.clone();
        if words.is_empty() {
            return;
        }
        words.push(row.place.words);
        if row.has_id() {
            words.push(&row.id);
        }
        let what = format!("{why}: a line of the log has {words:?}, and another {:?}", row.place.fields);
        until(&what, PATIENCE, async || {
            let log = self.log();
            let at = log.iter().position(|line| words.iter().all(|word| line.contains(word)))?;
            let is_end =
                |line: &String| line.contains("the storage account does it again") && line.contains(row.place.fields);
            log[at..].iter().any(is_end).then_some(())
        })
        .await;
        if row.has_id() {
            // Of the call, and of what it was for.
            let (times, most) = (self.count(&[&row.id]), if row.place.asked == Asked::Anything { 20 } else { 2 });
            assert!((1..=most).contains(&times), "{why} is told {times} times");
        }
    }

    /// Rows one after another, each with an uplink of this device; `delivers`: that has to arrive before the next.
    async fn lane(&self, lane: &str, rows: Vec<Row>, device: Option<&str>, delivers: bool) -> usize {
        let count = rows.len();
        for (row, counter) in named(lane, rows).iter().zip(1..) {
            let (why, order) = (format!("row {}", row.id), self.account.order(row.rule()));
            if let Some(device) = device {
                let refused = self.post(&why, device, counter).await;
                match row.then {
                    Then::GoesOn => assert_eq!(refused, 0, "{why}: an uplink is refused"),
                    Then::Refused => assert!(refused > 0, "{why}: no uplink is refused"),
                    Then::May => {}
                }
                if delivers {
                    self.arrived(&why, device, counter).await;
                }
            }
            self.over(row, order, PATIENCE).await;
        }
        count
    }

    /// All at once, as they are of one partition each.
    async fn batch(&self, lane: &str, rows: Vec<Row>, patience: Duration) -> usize {
        let (rows, count) = (named(lane, rows.clone()), rows.len());
        let orders: Vec<usize> = rows.iter().map(|row| self.account.order(row.rule())).collect();
        all(rows.iter().zip(orders).map(|(row, order)| self.over(row, order, patience))).await;
        count
    }

    /// What an owner commits, in three partitions at once.
    async fn commits(&self) -> usize {
        let (devices, rows) = (three_devices(), commit_rows());
        let third = |nth: usize| {
            let partition = devices[nth].1;
            rows.iter().skip(nth).step_by(3).map(|row| row.clone().of(partition)).collect::<Vec<_>>()
        };
        let lane = |nth: usize| self.lane(devices[nth].0.as_str(), third(nth), Some(devices[nth].0.as_str()), true);
        let (a, b, c) = tokio::join!(lane(0), lane(1), lane(2));
        a + b + c
    }

    /// Letters that are buried, and dropped, under each row.
    async fn letters(&self) -> usize {
        let mut rows =
            named("letter", some(LETTER, &["InternalError", "AuthorizationPermission", "ContainerNotFound", "Md5"]));
        rows.push(Row::done(LETTER, Error(500, "OperationTimedOut")).named("letter", 9));
        let seqs = async || -> Vec<u64> {
            self.site.dead_letters().await.iter().filter_map(|letter| letter["seq"].as_u64()).collect()
        };
        // Its name is that of a device of another application.
        self.post("a device's first", "letters", 1).await;
        self.arrived("a device's first", "letters", 1).await;
        for (row, counter) in rows.iter().zip(1..) {
            let (why, order) = (format!("row {}", row.id), self.account.order(row.rule()));
            // One that was refused may come all the same, so there may be more than one a row.
            let before = seqs().await.len();
            let body = uplinks::tts("other", "letters", counter);
            let post =
                async || http::post(self.site.ports.webhook, "/tts", &[], &body).await.ok().filter(|r| r.status == 202);
            until(&why, PATIENCE, post).await;
            self.over(row, order, PATIENCE).await;
            until(&why, PATIENCE, async || (seqs().await.len() > before).then_some(())).await;
        }
        let drops = named("drop", some(GONE, &["InternalError", "AuthorizationPermission"]));
        for row in &drops {
            let (why, order) = (format!("row {}", row.id), self.account.order(row.rule()));
            let before = seqs().await;
            let body = format!("{{\"seqs\":[{}]}}", before[0]);
            let reply = http::post(self.site.ports.admin, "/api/v1/dead-letters/drop", &[], body.as_bytes()).await;
            assert!(reply.as_ref().is_ok_and(|reply| reply.status == 200), "{why}: {reply:?}");
            self.over(row, order, PATIENCE).await;
            until(&why, PATIENCE, async || (!seqs().await.contains(&before[0])).then_some(())).await;
        }
        rows.len() + drops.len()
    }
}

impl Row {
    fn rule(&self) -> Rule {
        let Self { id, place, begins, answer, is_done, ends, .. } = self.clone();
        Rule { id, asked: place.asked, begins, answer, is_done, ends }
    }
}

/// While a worker takes its first partitions. The last one is acquired by nobody who knows of it.
fn first_rows() -> Vec<Row> {
    let say = |place, answer, says: &[&'static str]| Row::new(place, answer, says).once();
    named(
        "take",
        [
            say(ACQUIRE, Error(503, "ServerBusy"), &["503 ServerBusy", PASSES]).of(0),
            say(ACQUIRE, Error(403, "AuthorizationPermissionMismatch"), &["Storage Blob Data Contributor"]).of(1),
            say(ACQUIRE, Error(409, "LeaseAlreadyPresent"), &[]).of(2),
            say(ACQUIRE, Error(409, "LeaseIsBreakingAndCannotBeAcquired"), &[]).of(3),
            say(ACQUIRE, Error(404, "BlobNotFound"), &[]).of(4),
            say(OWNER, Error(500, "InternalError"), &["500 InternalError", PASSES]).of(5),
            say(OWNER, Error(403, "AuthorizationFailure"), &["403 AuthorizationFailure", "firewall"]).of(6),
            say(OWNER, Error(404, "BlobNotFound"), &[]).of(7),
            say(OWNED, Error(412, "LeaseLost"), &[]).of(8),
            Row::done(OWNED, Error(500, "OperationTimedOut")).of(9),
            Row::done(COMMIT, Error(504, "GatewayTimeout")).of(10),
            Row::done(ACQUIRE, Error(500, "OperationTimedOut")).of(11),
        ],
    )
}

fn door_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = everything(DOOR).chain(doubtful(DOOR)).collect();
    for (status, code) in [(409, "BlobAlreadyExists"), (412, "ConditionNotMet"), (412, "LeaseIdMissing")] {
        rows.push(Row::done(DOOR, Error(status, code)));
        rows.push(Row::new(DOOR, Error(status, code), &[]).once().may());
    }
    rows.push(Row::new(DOOR, Error(404, "BlobNotFound"), &["404 BlobNotFound", DEFECT]));
    rows.push(Row::long(DOOR, Later(503, "ServerBusy", 1), Then::Refused));
    rows.push(Row::long(DOOR, Error(403, "AuthorizationPermissionMismatch"), Then::Refused));
    rows.push(Row::long(DOOR, Cut, Then::Refused));
    rows
}

fn commit_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = everything(COMMIT).chain(doubtful(COMMIT)).collect();
    for (status, code) in [(409, "BlobAlreadyExists"), (412, "ConditionNotMet"), (412, "LeaseIdMissing")] {
        rows.push(Row::done(COMMIT, Error(status, code)));
        rows.push(Row::new(COMMIT, Error(status, code), &[]).once());
    }
    rows.push(Row::long(COMMIT, Error(403, "AuthorizationPermissionMismatch"), Then::May));
    rows.into_iter().map(Row::may).collect()
}

/// Devices of three partitions, each with its own, so that a third of the rows is for each. Which it is the decision's table says: the
/// CRC-32 of a lane's name without what is before its first `/`.
fn three_devices() -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for device in (0..).map(|nth| format!("commit-{nth}")) {
        let hash = crc32fast::hash(format!("ttn/building/{device}").as_bytes());
        let partition = usize::try_from(hash).expect("32 bits") % PARTITIONS;
        // The last two are those whose beginning was in doubt.
        if partition < PARTITIONS - 2 && found.iter().all(|(_, other)| *other != partition) {
            found.push((device, partition));
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}

fn read_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = everything(READ).collect();
    rows.push(Row::new(READ, Half, &[LOST, PASSES]).once());
    rows.push(Row::new(READ, Flipped, &[]).once());
    rows.push(Row::long(READ, Error(503, "ServerBusy"), Then::May));
    rows
}

fn look_rows() -> Vec<Row> {
    let codes = ["OperationTimedOut", "AuthorizationPermission", "ContainerNotFound", "AccountIsDisabled"];
    let mut rows: Vec<Row> = some(LOOK, &codes);
    rows.push(Row::new(LOOK, Half, &["cannot"]).once());
    rows.push(Row::new(LOOK, Nonsense, &["cannot", DEFECT]).once());
    rows
}

fn alive_rows() -> Vec<Row> {
    let codes = ["ServerBusy", "InternalError", "504", "AuthorizationPermission", "ContainerNotFound", "SomethingNew"];
    some(ALIVE, &codes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_storage_answers_nothing_is_lost_and_the_log_says_what() {
    let began = Instant::now();
    let first = first_rows();
    let (mut world, orders) = World::start(&first).await;
    let told = |phase: &str| println!("{:>5.1} s {phase}", began.elapsed().as_secs_f64());
    told("both run");

    // Each of them while the others go on.
    let taking = async {
        all(first.iter().zip(orders).map(|(row, order)| world.over(row, order, TAKEN_AGAIN))).await;
        first.len()
    };
    let renewing = async {
        until("all partitions are ours", TAKEN_AGAIN, async || {
            (world.count(&["a partition is ours"]) >= PARTITIONS).then_some(())
        })
        .await;
        let rows: Vec<Row> = everything(RENEW).map(Row::once).collect();
        let mut count = 0;
        for (nth, rows) in rows.chunks(PARTITIONS).enumerate() {
            let rows = rows.iter().enumerate().map(|(partition, row)| row.clone().of(partition)).collect();
            count += world.batch(&format!("renew-{nth}"), rows, PATIENCE).await;
        }
        count
    };
    let counts = tokio::join!(
        taking,
        renewing,
        world.lane("door", door_rows(), Some("door"), false),
        world.commits(),
        world.lane("read", read_rows(), None, false),
        world.lane("look", look_rows(), None, false),
        world.lane("alive", alive_rows(), None, false),
        world.letters(),
    );
    told(&format!("rows: {counts:?}"));
    let (a, b, c, d, e, f, g, h) = counts;
    let mut rows = a + b + c + d + e + f + g + h;
    let away = Row::new(ANYTHING, Error(409, "AccountBeingCreated"), &["409 AccountBeingCreated", "see in the portal"]);
    let away = Row { ends: LONG, then: Then::Refused, ..away };
    rows += world.lane("away", vec![away], Some("away"), true).await;
    assert_eq!(world.count(&["a partition is not ours any more"]), 0, "nothing of all that loses a partition");

    rows += lost(&mut world).await;
    told("partitions were lost and taken again");
    rows += handed_over(&mut world).await;
    told("another worker has them");

    let mut record = world.site.record();
    let verdict = until("all have arrived", PATIENCE, async || {
        let verdict = world.obligations.judge(record.lines());
        verdict.lost.is_empty().then_some(verdict)
    })
    .await;
    let [refused, posts] = *world.refused.lock().expect("nobody panics here");
    let seconds = began.elapsed().as_secs();
    println!(
        "{rows} rows in {seconds} s: {posts} posts, {refused} refused, {} requests; {verdict}",
        world.account.requests()
    );
    // What was settled, and not written down, when its partition was lost.
    verdict.holds(PARTITIONS);
    assert!(world.account.requests() < seconds * 150, "somebody spins");
}

/// Each partition, by another answer.
async fn lost(world: &mut World) -> usize {
    let lost = NOT_OURS.iter().map(|(status, code)| Row::new(RENEW, Error(*status, code), &[]).once());
    let rows: Vec<Row> = lost.enumerate().map(|(partition, row)| row.of(partition)).collect();
    let rows = named("lost", rows);
    let before: Vec<usize> =
        (0..PARTITIONS).map(|p| world.count(&["a partition is ours", &format!("partition={p} ")])).collect();
    let orders: Vec<usize> = rows.iter().map(|row| world.account.order(row.rule())).collect();
    let posting = async {
        for counter in 1..=10 {
            world.post("while partitions are lost", "lost", counter).await;
        }
    };
    let taking = rows.iter().zip(orders).enumerate().map(|(partition, (row, order))| {
        let (world, before) = (&world, before[partition]);
        async move {
            world.over(row, order, TAKEN_AGAIN).await;
            let says = ["that a lease is not ours any more", "asked=\"renew\"", row.id.as_str()];
            let is_told = async || (world.count(&says) == 1).then_some(());
            until(&format!("row {}: the log says so", row.id), PATIENCE, is_told).await;
            let of = format!("partition={partition} ");
            until(&format!("row {}: it is taken again", row.id), TAKEN_AGAIN, async || {
                (world.count(&["a partition is ours", &of]) > before).then_some(())
            })
            .await;
        }
    });
    tokio::join!(posting, all(taking));
    rows.len()
}

/// A worker that goes, under each of these, and another one.
async fn handed_over(world: &mut World) -> usize {
    let say = |place, answer, says: &[&'static str]| Row::new(place, answer, says).once();
    let rows = named(
        "over",
        [
            say(STATE, Error(500, "InternalError"), &["500 InternalError", PASSES]).of(0),
            say(STATE, Error(403, "AuthorizationPermissionMismatch"), &["Storage Blob Data Contributor"]).of(1),
            Row::done(STATE, Error(500, "OperationTimedOut")).of(2),
            say(STATE, Error(412, "LeaseIdMissing"), &[]).of(3),
            say(RELEASE, Error(503, "ServerBusy"), &["503 ServerBusy", PASSES]).of(4),
            say(RELEASE, Error(409, "LeaseIdMismatchWithLeaseOperation"), &[]).of(5),
            Row::done(RELEASE, Error(500, "InternalError")).of(6),
            say(OLD_STATE, Error(500, "InternalError"), &["500 InternalError", PASSES]).of(7),
            say(OLD_STATE, Error(403, "AuthorizationFailure"), &["403 AuthorizationFailure", "firewall"]).of(8),
            say(OLD_STATE, Flipped, &[]).of(9),
        ],
    );
    let orders: Vec<usize> = rows.iter().map(|row| world.account.order(row.rule())).collect();
    world.workers[0].signal("TERM");
    let status = world.workers[0].exit_within(Duration::from_secs(20)).await;
    assert!(status.success(), "a worker ends with 0 whatever the account says, not with {status}");
    let other = worker(&world.site, "other").process;
    world.workers.push(other);
    for device in ["door", "letters", "lost"] {
        world.post("after all", device, 1_000).await;
    }
    until("the other worker has all partitions", TAKEN_AGAIN, async || {
        let log = world.workers[1].stderr();
        let is_ours = |p: &usize| {
            log.lines().any(|line| line.contains("a partition is ours") && line.contains(&format!("partition={p} ")))
        };
        (0..PARTITIONS).all(|p| is_ours(&p)).then_some(())
    })
    .await;
    for device in ["door", "letters", "lost"] {
        world.arrived("after all", device, 1_000).await;
    }
    for (row, order) in rows.iter().zip(orders) {
        let hits = world.account.met(order).hits.len();
        assert_eq!(hits, 1, "row {} is met", row.id);
        let mut words = row.says.clone();
        words.extend([row.place.words, row.id.as_str()]);
        assert!(row.says.is_empty() || world.count(&words) > 0, "row {}: a line of the log has {words:?}", row.id);
    }
    rows.len()
}
