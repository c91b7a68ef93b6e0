//! Promise: one command without account, network or configuration shows the whole system, and counts honestly.

use std::time::Duration;

use crate::processes::run;
use crate::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demo_loses_and_repeats_nothing() {
    let site = Site::empty("demo");
    let arguments = ["demo", "--devices", "20", "--rate", "100", "--for", "5s", "--dir", "demo"];
    let (code, stdout, stderr) = run(&site.dir, &arguments, Duration::from_secs(90)).await;
    println!("{stdout}");
    assert_eq!(code, 0, "{stdout}{stderr}");
    let last = stdout.to_lowercase();
    assert_eq!(figure(&last, "lost"), Some(0), "{stdout}");
    assert_eq!(figure(&last, "duplicated"), Some(0), "{stdout}");
    let (sent, delivered) = (figure(&last, "sent"), figure(&last, "delivered"));
    assert_eq!(sent, delivered, "{stdout}");
    assert!(sent.is_some_and(|sent| sent >= 250), "5 s at 100 a second are about 500: {stdout}");
}

/// The number that stands last beside a word, before or after it.
fn figure(text: &str, word: &str) -> Option<u64> {
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let at = words.iter().rposition(|w| *w == word)?;
    let after = words.get(at + 1).and_then(|w| w.parse().ok());
    after.or_else(|| words.get(at.checked_sub(1)?).and_then(|w| w.parse().ok()))
}
