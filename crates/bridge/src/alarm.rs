//! Looks at the queue now and then and says what a human must know: that it cannot keep messages, and that dead letters
//! were pushed out before anybody dealt with them.

use std::time::Duration;

use queue::{Queue, Stats};

use crate::events::{Event, Events};

/// Between two looks. A minute of lost sleep is not worth a shorter one.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Looks until it is dropped.
pub async fn watch(queue: Queue, events: Events) {
    let mut before = queue.stats();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = queue.stats();
        for event in news(&before, &now) {
            events.emit(event);
        }
        before = now;
    }
}

/// PURE: what changed between two looks that somebody must hear of.
fn news<'a>(before: &Stats, now: &'a Stats) -> Vec<Event<'a>> {
    let mut news = Vec::new();
    if now.dead_letters_gone > before.dead_letters_gone {
        news.push(Event::DeadLettersGone { count: now.dead_letters_gone - before.dead_letters_gone });
    }
    match (before.writable, now.writable) {
        (true, false) => news.push(Event::QueueShut { trouble: now.trouble.as_deref().unwrap_or("unknown") }),
        (false, true) => news.push(Event::QueueOpen),
        _ => {}
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news() {
        let fine = Stats { writable: true, dead_letters_gone: 3, ..Stats::default() };
        assert!(news(&fine, &fine).is_empty());
        let full = Stats { writable: false, trouble: Some("full".to_owned()), dead_letters_gone: 5, ..fine.clone() };
        let told = news(&fine, &full);
        assert!(
            matches!(told[..], [Event::DeadLettersGone { count: 2 }, Event::QueueShut { trouble: "full" }]),
            "{told:?}"
        );
        assert!(news(&full, &full).is_empty(), "once");
        assert!(matches!(news(&full, &fine)[..], [Event::QueueOpen]));
    }
}
