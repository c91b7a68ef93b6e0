//! Every spelling that clients use, and nothing else.

use proptest::prelude::*;

use super::*;

fn at(mark: Mark, value: i64, inclusive: bool) -> Option<Position> {
    Some(Position::At { mark, value, inclusive })
}

#[test]
fn what_clients_send_is_understood() {
    for (filter, position) in [
        ("amqp.annotation.x-opt-offset > '-1'", Some(Position::Earliest)),
        ("amqp.annotation.x-opt-offset >= '-1'", Some(Position::Earliest)),
        ("amqp.annotation.x-opt-offset > '@latest'", Some(Position::Latest)),
        ("amqp.annotation.x-opt-offset >= '@latest'", Some(Position::Latest)),
        ("amqp.annotation.x-opt-offset > '4711'", at(Mark::Offset, 4711, false)),
        ("amqp.annotation.x-opt-offset >= '4711'", at(Mark::Offset, 4711, true)),
        ("amqp.annotation.x-opt-sequence-number > '-1'", at(Mark::Sequence, -1, false)),
        ("amqp.annotation.x-opt-sequence-number >= '12'", at(Mark::Sequence, 12, true)),
        ("amqp.annotation.x-opt-enqueued-time > '1767225600000'", at(Mark::Enqueued, 1_767_225_600_000, false)),
        ("amqp.annotation.x-opt-enqueuedtimeutc > 1767225600000", at(Mark::Enqueued, 1_767_225_600_000, false)),
        ("  amqp.annotation.x-opt-offset>-1 ", Some(Position::Earliest)),
    ] {
        assert_eq!(Position::parse(filter), position, "{filter}");
    }
}

#[test]
fn anything_else_is_not() {
    let long = format!("amqp.annotation.x-opt-offset > {}'1'", " ".repeat(FILTER_CHARS_MAX));
    for filter in [
        "",
        "amqp.annotation.x-opt-offset > no offset",
        "amqp.annotation.x-opt-offset > ''",
        "amqp.annotation.x-opt-offset > '1",
        "amqp.annotation.x-opt-offset > 1'",
        "amqp.annotation.x-opt-offset < '1'",
        "amqp.annotation.x-opt-offset = '1'",
        "amqp.annotation.x-opt-offset > > '1'",
        "amqp.annotation.x-opt-offset > '1' AND amqp.annotation.x-opt-sequence-number > '1'",
        "amqp.annotation.x-opt-sequence-number > '@latest'",
        "amqp.annotation.x-opt-partition-key > '1'",
        "x-opt-offset > '1'",
        "amqp.annotation.x-opt-offset > '99999999999999999999'",
        &long,
    ] {
        assert_eq!(Position::parse(filter), None, "{filter}");
    }
}

proptest! {
    #[test]
    fn every_number_is_read_as_it_is_written(
        mark in 0..4_usize,
        value in any::<i64>(),
        inclusive in any::<bool>(),
        quote in prop::sample::select(vec!["'", ""]),
        space in " {0,3}",
    ) {
        let (name, mark) = [
            ("x-opt-offset", Mark::Offset),
            ("x-opt-sequence-number", Mark::Sequence),
            ("x-opt-enqueued-time", Mark::Enqueued),
            ("x-opt-enqueuedtimeutc", Mark::Enqueued),
        ][mark];
        let than = if inclusive { ">=" } else { ">" };
        let filter = format!("amqp.annotation.{name}{space}{than}{space}{quote}{value}{quote}");
        let expected = if mark == Mark::Offset && value == -1 {
            Some(Position::Earliest)
        } else {
            at(mark, value, inclusive)
        };
        prop_assert_eq!(Position::parse(&filter), expected);
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", tail in "[-@a-z0-9'> =]{0,40}") {
        let _ = Position::parse(&text);
        let _ = Position::parse(&format!("{PREFIX}{tail}"));
    }
}
