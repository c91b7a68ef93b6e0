use super::super::alarm::Severity;
use super::*;

const PATIENCE: Patience = Patience { raise_after: Duration::from_secs(60), end_after: Duration::from_secs(20) };
const START: UnixMillis = 1_790_000_000_000;

/// A look every ten seconds.
#[derive(Default)]
struct Watch {
    book: Book,
    passed: u64,
    /// How far the wall clock was set.
    set_by: UnixMillis,
}

impl Watch {
    fn now(&self) -> Now {
        let wall = START + self.set_by + UnixMillis::try_from(self.passed).unwrap() * 1_000;
        Now { wall, passed: Duration::from_secs(self.passed) }
    }

    /// What is told while it is seen, or not, in each of these looks.
    fn sees(&mut self, seen: &str) -> Vec<String> {
        let mut told = Vec::new();
        for look in seen.chars() {
            let claims = match look {
                '.' => Vec::new(),
                step => vec![claim("hub", u8::try_from(step.to_digit(10).unwrap()).unwrap())],
            };
            let news = self.book.look(claims, |_| PATIENCE, self.now());
            told.extend(news.iter().map(|news| {
                let further = if news.is_further { " further" } else { "" };
                format!("{} {}{further}", self.passed, news.state())
            }));
            self.passed += 10;
        }
        told
    }
}

fn claim(subject: &str, step: u8) -> Claim {
    let words = ["it does not answer".to_owned(), "look".to_owned()];
    Claim::new(Kind::HubDown, subject, Severity::Warn, words).at_step(step)
}

#[test]
fn what_lasts_is_raised_once_and_ended_once() {
    let cases: [(&str, &[&str]); 7] = [
        ("0000000000...", &["60 raised", "120 ended"]),
        ("00000.00000.", &[]),
        ("0.0.0.0.0.0.0.0.", &[]),
        // Away for less than its patience.
        ("0000000.0.0.0..0...", &["60 raised", "180 ended"]),
        ("00000001111000...", &["60 raised", "70 raised further", "160 ended"]),
        ("0000000210121...", &["60 raised", "70 raised further", "150 ended"]),
        ("", &[]),
    ];
    for (seen, told) in cases {
        assert_eq!(Watch::default().sees(seen), told, "{seen}");
    }
}

#[test]
fn what_comes_back_again_and_again_is_soon_one_alarm() {
    let mut watch = Watch::default();
    let told = (0..20).flat_map(|_| watch.sees("0000000...")).count();
    assert_eq!(told, 3, "raised, ended, raised again, and then it takes longer to be over");
    assert!(watch.book.stands(Kind::HubDown, "hub"));
    let quiet = watch.sees(&".".repeat(12));
    assert_eq!(quiet.len(), 1, "{quiet:?}");
    // An hour later it is a first one again.
    watch.sees(&".".repeat(361));
    assert_eq!(watch.sees("0000000...").len(), 2);
}

#[test]
fn a_clock_that_is_set_changes_no_patience() {
    for set_by in [-3_600_000, 3_600_000] {
        let mut watch = Watch::default();
        assert!(watch.sees("0000").is_empty());
        watch.set_by = set_by;
        assert_eq!(watch.sees("0000"), ["60 raised"]);
        watch.set_by = 0;
        assert_eq!(watch.sees("0..."), ["110 ended"]);
        let ended = watch.book.recent().next().unwrap();
        assert!(ended.ended_at >= Some(ended.since), "{ended:?}");
    }
}

#[test]
fn an_alarm_gets_no_better_before_it_ends() {
    let mut book = Book::default();
    let at = |passed| Now { wall: START, passed: Duration::from_secs(passed) };
    let now = Patience { raise_after: Duration::ZERO, end_after: Duration::ZERO };
    let page = Claim { severity: Severity::Page, ..claim("hub", 0) };
    book.look(vec![page], |_| now, at(0));
    assert!(book.look(vec![claim("hub", 0)], |_| now, at(10)).is_empty());
    assert_eq!(book.active().next().unwrap().severity, Severity::Page);
    let ended = book.look(Vec::new(), |_| now, at(20));
    assert_eq!((ended.len(), ended[0].alarm.severity), (1, Severity::Page));
}

#[test]
fn the_book_is_bounded_and_says_who_was_told() {
    let mut book = Book::default();
    let now = Patience { raise_after: Duration::ZERO, end_after: Duration::ZERO };
    let at = |passed| Now { wall: START, passed: Duration::from_secs(passed) };
    let many = || (0..2 * STANDING_MAX).map(|nth| claim(&nth.to_string(), 0)).collect();
    assert_eq!(book.look(many(), |_| now, at(0)).len(), STANDING_MAX);
    let told = book.active().next().unwrap().clone();
    book.told(&told, START + 5);
    assert_eq!(book.active().next().unwrap().told_at, Some(START + 5));
    assert_eq!(book.look(Vec::new(), |_| now, at(10)).len(), STANDING_MAX);
    assert_eq!(book.recent().count(), RECENT_MAX);
    book.look(Vec::new(), |_| now, at(3_700));
    assert!(book.entries.is_empty());
}
