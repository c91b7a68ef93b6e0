//! Promise: a disk that stands still costs answers, not messages. The door answers within its 4 s, what it answered 202
//! is kept, and what was committed after its 503 is delivered all the same.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crate::http;
use crate::network::{Campaign, seed, worst};
use crate::oracle::Obligations;
use crate::processes::{Process, until};
use crate::site::Site;

const DEVICES: u32 = 50;
const PACE: Duration = Duration::from_millis(250);
/// 25 s of traffic.
const UPLINKS: u32 = 100;
/// The door's 4 s, and half a second for a busy machine.
const ANSWER: Duration = Duration::from_millis(4_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stalls_for_ten_seconds_costs_no_message() {
    seed();
    let mut site = Site::start("stalled-disk").await;
    let obligations = Arc::new(Obligations::default());
    let campaign = Campaign { pace: Some(PACE), insist: false, ..Campaign::new(site.ports.webhook, DEVICES, UPLINKS) };
    let posting = campaign.start(&obligations);
    until("traffic flows", Duration::from_secs(20), async || (posting.acked() >= 4 * DEVICES).then_some(())).await;

    let strace = stall(&mut site);
    // The next commit stands still; after 4 s of it the door knows.
    until("the door says that it cannot keep anything", Duration::from_secs(20), async || {
        assert_attached(&strace);
        let reply = http::get(site.ports.admin, "/readyz").await.ok()?;
        (reply.status == 503).then_some(())
    })
    .await;
    let answers = posting.finish().await;
    assert!(strace.stderr().contains("(DELAYED)"), "no fsync was delayed");
    drop(strace);

    let verdict = site.settled(&obligations, Duration::from_secs(60)).await;
    let (slowest, refused) = worst(&answers);
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort();
    statuses.dedup();
    let late = verdict.delivered - verdict.acked;
    println!(
        "{} answers, {refused} not 2xx, kinds {statuses:?}, slowest {slowest:?}, {late} delivered after a 503",
        answers.len()
    );
    println!("{verdict}");
    assert!(slowest < ANSWER, "answered within {ANSWER:?}, not {slowest:?}");
    assert_eq!(statuses, [Some(202), Some(503)], "either kept or told to come again");
    assert!(late > 0, "a put that was too late for its answer is delivered all the same");
    verdict.holds(DEVICES as usize);
    assert_eq!(site.admin("/readyz").await.status, 200, "ready again");
}

/// The next fsync of each thread takes ten seconds.
fn stall(site: &mut Site) -> Process {
    let id = site.bridge().id().to_string();
    let mut command = Command::new("strace");
    command.args(["-f", "-p", &id, "-e", "trace=fdatasync,fsync"]);
    command.args(["-e", "inject=fdatasync,fsync:delay_enter=10000000:when=1"]);
    Process::start("strace", &site.dir, &mut command)
}

fn assert_attached(strace: &Process) {
    let text = strace.stderr();
    let is_refused = text.contains("Operation not permitted");
    assert!(!is_refused, "NOT PROVED: strace may not attach here (needs ptrace): {text}");
}
