use super::*;

#[test]
fn what_is_taken_failed_or_refused_is_told_apart() {
    let of = |status: u16, body: &str| outcome(StatusCode::from_u16(status).unwrap(), body.as_bytes());
    assert_eq!(of(200, "ok"), Outcome::Taken);
    assert_eq!(of(204, ""), Outcome::Taken);
    assert_eq!(of(400, "no_text\n"), Outcome::Refused("it answers 400 Bad Request: no_text".to_owned()));
    for status in [401, 403, 404, 408, 429, 500, 503] {
        assert!(matches!(of(status, ""), Outcome::Failed(_)), "{status}");
    }
    let Outcome::Failed(cause) = of(302, "") else { panic!("a redirect is no success") };
    assert!(cause.contains("not followed"), "{cause}");
    let Outcome::Failed(cause) = of(500, &format!("\u{1b}[2J{}", "x".repeat(1_000))) else { panic!("it failed") };
    assert!(cause.len() < 300 && !cause.contains('\u{1b}'), "{cause}");
}

#[test]
fn waits_grow_and_are_bounded() {
    let waits: Vec<_> = [1, 2, 3, 9, 10, 100].map(|nth| wait(nth, 0.0).as_secs()).into();
    assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
    assert_eq!(wait(100, 1.0), Duration::from_secs(375));
}
