//! Questions as Microsoft's documentation and SDKs ask them, answered for a handful of twins.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn twins() -> Vec<Value> {
    let twin = |id: &str, region: &str, reported: Value| {
        json!({
            "deviceId": id, "status": "enabled", "connectionState": "Connected", "version": 3,
            "tags": {"location": {"region": region}, "group": {"name": "g"}, "my-key": true},
            "properties": {"desired": {"limit": 60, "$version": 1}, "reported": reported},
        })
    };
    vec![
        twin("d1", "US", json!({"every": 60, "link": "wired", "n": null, "list": [1], "o": {"x": 1}, "$version": 2})),
        twin("d2", "US", json!({"every": 300.5, "link": "wifi", "$version": 3})),
        twin("d3", "EU", json!({"every": "often", "link": "cellular", "$version": 4})),
        json!({"deviceId": "e'4", "status": "disabled", "connectionState": "Disconnected", "version": 2,
            "properties": {"desired": {"$version": 1}, "reported": {"$version": 1}}}),
    ]
}

fn answer(text: &str) -> Vec<Value> {
    let query = Query::parse(text).unwrap_or_else(|refusal| panic!("{text}: {}", refusal.text));
    query.page(twins().into_iter(), &Cursor::default(), 1000).unwrap().rows
}

fn ids(condition: &str) -> Vec<String> {
    let rows = answer(&format!("SELECT * FROM devices WHERE {condition}"));
    rows.iter().map(|row| row["deviceId"].as_str().unwrap().to_owned()).collect()
}

fn refused(text: &str) -> String {
    let refusal = Query::parse(text).expect_err(text);
    assert_eq!((refusal.status, refusal.code, refusal.name.as_str()), (400, 400_004, "ArgumentInvalid"));
    refusal.text
}

#[test]
fn all_twins_are_what_a_star_asks_for() {
    assert_eq!(answer("SELECT * FROM devices"), twins());
    assert_eq!(answer("select * from Devices;"), twins());
    assert_eq!(answer("SELECT TOP 2 * FROM devices").len(), 2);
    let query = |text| Query::parse(text).unwrap();
    assert_eq!(query("SELECT * FROM devices.modules WHERE moduleId = 'm'").collection, Collection::Modules);
    let jobs = query("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'd1'");
    assert_eq!(jobs.page(std::iter::empty(), &Cursor::default(), 10).unwrap().item_type, "DeviceJob");
}

#[test]
fn conditions_pick_twins() {
    for (condition, found) in [
        ("tags.location.region = 'US'", vec!["d1", "d2"]),
        ("tags.location.region = \"US\" AND properties.reported.every >= 60", vec!["d1", "d2"]),
        ("properties.reported.every > 60", vec!["d2"]),
        ("properties.reported.every < 0x3d", vec!["d1"]),
        ("properties.reported.every <= 3.005e+2 and properties.reported.every>60", vec!["d2"]),
        ("properties.reported.every = properties.desired.limit", vec!["d1"]),
        ("properties.reported.link IN ['wired', 'wifi']", vec!["d1", "d2"]),
        ("properties.reported.link NIN ['wired', 'wifi']", vec!["d3"]),
        ("is_defined(properties.reported.n)", vec!["d1"]),
        ("NOT IS_DEFINED(tags.location)", vec!["e'4"]),
        ("deviceId = 'd1' OR deviceid = 'd3'", vec!["d1", "d3"]),
        ("devices.deviceId = 'e\\'4'", vec!["e'4"]),
        ("status <> 'enabled'", vec!["e'4"]),
        ("status != 'enabled' OR connectionState = 'Connected' AND deviceId = 'd2'", vec!["d2", "e'4"]),
        ("(status != 'enabled' OR connectionState = 'Connected') AND deviceId = 'd2'", vec!["d2"]),
        ("STARTSWITH(deviceId, 'd') AND endswith(deviceId, '3')", vec!["d3"]),
        ("starts_with(deviceId, 'e')", vec!["e'4"]),
        ("CONTAINS(properties.reported.link, 'if')", vec!["d2"]),
        ("is_string(properties.reported.every)", vec!["d3"]),
        ("is_number(properties.reported.every)", vec!["d1", "d2"]),
        ("is_null(properties.reported.n)", vec!["d1"]),
        ("is_array(properties.reported.list) and is_object(properties.reported.o)", vec!["d1"]),
        ("is_bool(tags.[[my-key]]) AND NOT is_primitive(tags.location)", vec!["d1", "d2", "d3"]),
        ("tags.[[group]].name = 'g' AND deviceId = 'd1'", vec!["d1"]),
        ("properties.reported.$version * 2 - 1 = 7", vec!["d3"]),
        ("version % 2 = 0", vec!["e'4"]),
        ("properties.reported.every = -60", vec![]),
        ("tags.Location.region = 'US'", vec![]),
        ("deviceId", vec![]),
    ] {
        assert_eq!(ids(condition), found, "{condition}");
    }
}

#[test]
fn what_is_not_there_is_neither_equal_nor_unequal() {
    assert_eq!(ids("tags.location.region != 'US'"), ["d3"], "not e'4, which has no such tag");
    assert_eq!(ids("NOT tags.location.region = 'US'"), ["d3"]);
    assert_eq!(ids("properties.reported.nowhere = undefined"), Vec::<String>::new());
    assert_eq!(ids("properties.reported.nowhere = 1 OR deviceId = 'd1'"), ["d1"], "true whatever the other is");
    assert_eq!(ids("NOT (properties.reported.nowhere = 1 AND deviceId = 'd1')"), ["d2", "d3", "e'4"]);
    assert_eq!(ids("properties.reported.link != null"), ["d1", "d2", "d3"]);
    assert_eq!(ids("properties.reported.o = properties.reported.o"), Vec::<String>::new(), "objects are not compared");
    assert_eq!(ids("properties.reported.every > 'm'"), ["d3"], "numbers have no order among strings");
}

#[test]
fn members_of_a_row_have_the_names_that_were_given_or_their_own() {
    let rows = answer(
        "SELECT deviceId, tags.location.region AS r, properties.reported.n FROM devices WHERE deviceId IN ['d1','d2']",
    );
    assert_eq!(rows, [json!({"deviceId": "d1", "r": "US", "n": null}), json!({"deviceId": "d2", "r": "US"})]);
    let query = Query::parse("SELECT deviceId FROM devices").unwrap();
    assert_eq!(query.page(std::iter::empty(), &Cursor::default(), 10).unwrap().item_type, "Raw");
}

#[test]
fn twins_are_counted_and_grouped() {
    assert_eq!(answer("SELECT COUNT() AS total FROM devices"), [json!({"total": 4})]);
    assert_eq!(answer("SELECT COUNT() as c FROM devices WHERE deviceId = 'nobody'"), [json!({"c": 0})]);
    assert_eq!(
        answer("SELECT tags.location.region AS region, COUNT() AS n FROM devices GROUP BY tags.location.region"),
        [json!({"region": "EU", "n": 1}), json!({"region": "US", "n": 2}), json!({"n": 1})]
    );
    assert_eq!(
        answer(
            "SELECT MIN(properties.reported.$version) AS least, MAX(version) AS most, SUM(version) AS sum, \
             AVG(properties.reported.every) AS average FROM devices"
        ),
        [json!({"least": 1, "most": 3, "sum": 11.0, "average": 180.25})]
    );
}

#[test]
fn groups_are_bounded() {
    let grouped = |count: usize| {
        let query = Query::parse("SELECT deviceId, COUNT() AS n FROM devices GROUP BY deviceId").unwrap();
        let many = (0..count).map(|n| json!({"deviceId": n}));
        query.page(many, &Cursor::default(), 1000).map(|page| page.rows.len()).map_err(|refusal| refusal.code)
    };
    assert_eq!((grouped(10_000), grouped(10_001)), (Ok(1000), Err(400_004)));
}

fn pages(text: &str, rows_max: usize) -> Vec<Vec<Value>> {
    let query = Query::parse(text).unwrap();
    let mut pages = Vec::new();
    let mut continuation = None;
    loop {
        let cursor = Cursor::parse(continuation.as_deref()).unwrap();
        let after = cursor.after().map(|(device, module)| (device.to_owned(), module.to_owned()));
        let rest = twins().into_iter().filter(|twin| after.as_ref().is_none_or(|after| name(twin) > *after));
        let page = query.page(rest, &cursor, rows_max).unwrap();
        pages.push(page.rows);
        continuation = page.continuation;
        if continuation.is_none() {
            return pages;
        }
    }
}

#[test]
fn pages_hold_each_row_once_and_the_last_says_so() {
    let lengths = |text, rows_max| pages(text, rows_max).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths("SELECT * FROM devices", 3), [3, 1]);
    assert_eq!(lengths("SELECT * FROM devices", 2), [2, 2]);
    assert_eq!(lengths("SELECT * FROM devices", 4), [4]);
    assert_eq!(lengths("SELECT * FROM devices WHERE status = 'enabled'", 3), [3], "no empty page after it");
    assert_eq!(lengths("SELECT TOP 3 * FROM devices", 2), [2, 1]);
    assert_eq!(lengths("SELECT TOP 0 * FROM devices", 2), [0]);
    assert_eq!(lengths("SELECT status, COUNT() AS n FROM devices GROUP BY status", 1), [1, 1]);
    assert_eq!(pages("SELECT * FROM devices", 1).concat(), twins());
}

#[test]
fn a_page_looks_at_so_many_twins_and_no_more() {
    let many = (0..25_000).map(|n| json!({"deviceId": format!("d{n:05}")}));
    let query = Query::parse("SELECT * FROM devices WHERE deviceId = 'd24999'").unwrap();
    let (mut cursor, mut pages) = (Cursor::default(), Vec::new());
    loop {
        let after = cursor.after().map(|(device, _)| device.to_owned());
        let rest = many.clone().filter(|twin| after.as_ref().is_none_or(|after| name(twin).0 > *after));
        let page = query.page(rest, &cursor, 10).unwrap();
        pages.push(page.rows.len());
        match page.continuation {
            Some(text) => cursor = Cursor::parse(Some(&text)).unwrap(),
            None => break,
        }
    }
    assert_eq!(pages, [0, 0, 1]);
}

#[test]
fn what_makes_no_sense_is_refused_as_the_service_refuses_it() {
    for text in [
        "",
        "SELECT",
        "SELECT * devices",
        "SELECT * FROM",
        "SELECT * FROM tables",
        "SELECT * FROM devices WHERE",
        "SELECT * FROM devices WHERE deviceId =",
        "SELECT * FROM devices WHERE deviceId = 'open",
        "SELECT * FROM devices WHERE (deviceId = 'a'",
        "SELECT * FROM devices WHERE deviceId IN ['a'",
        "SELECT * FROM devices WHERE tags.group = 'a'",
        "SELECT * FROM devices WHERE no_such(deviceId)",
        "SELECT * FROM devices WHERE is_defined(deviceId, 'a')",
        "SELECT * FROM devices WHERE deviceId = 'a' deviceId",
        "SELECT * FROM devices WHERE a = 12x",
        "SELECT * FROM devices WHERE a = '\\q'",
        "SELECT * FROM devices WHERE a = '\\u12'",
        "SELECT * FROM devices WHERE a & 1",
        "SELECT * FROM devices WHERE [[a = 1",
        "SELECT * FROM devices GROUP BY status",
        "SELECT TOP x * FROM devices",
        "DELETE FROM devices",
    ] {
        assert!(refused(text).starts_with("BadRequest: "), "{text}");
    }
    assert_eq!(refused("SELECT * devices"), "BadRequest: FROM was expected, not 'devices'");
    assert_eq!(Cursor::parse(Some("rubbish")).unwrap_err().code, 400_004);
    assert_eq!(page_rows(None).unwrap(), 100);
    assert_eq!(page_rows(Some("1000")).unwrap(), 1000);
    for bad in ["0", "1001", "-1", "x", ""] {
        assert_eq!(page_rows(Some(bad)).unwrap_err().code, 400_004, "{bad}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = |open: &str, count, close: &str| {
        let open = open.repeat(count);
        format!("SELECT * FROM devices WHERE {open}true{}", close.repeat(count))
    };
    assert!(Query::parse(&deep("(", 20, ")")).is_ok());
    for (open, close) in [("(", ")"), ("[ ", "]"), ("NOT ", ""), ("is_null(", ")")] {
        assert!(refused(&deep(open, 500, close)).contains("too deep"));
    }
    assert!(refused(&deep("(1+", 100, ")")).contains("too deep"));
    assert!(Query::parse(&deep("true OR ", 256, "")).is_ok());
    assert!(refused(&deep("true OR ", 257, "")).contains("too long"));
    assert!(refused(&format!("SELECT * FROM devices WHERE {}b", "a.".repeat(40))).contains("too long"));
    assert!(refused(&" ".repeat(8193)).contains("too long"));
    assert!(refused(&format!("SELECT a{} FROM devices", ",a".repeat(200))).contains("too long"));
}

/// Words that queries are made of, and some that they are not.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SELECT",
        "*",
        "FROM",
        "devices",
        ".",
        "modules",
        "WHERE",
        "GROUP",
        "BY",
        "AS",
        "AND",
        "OR",
        "NOT",
        "IN",
        "NIN",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "<>",
        "<=",
        "+",
        "-",
        "/",
        "%",
        "is_defined",
        "count",
        "sum",
        "tags",
        "a",
        "'s'",
        "'",
        "12",
        "0x1f",
        "1e",
        "1.5",
        "[[a b]]",
        "[[",
        "\\",
        "null",
        "undefined",
        "true",
        "TOP",
        "$version",
        "ü",
        ";",
    ]);
    prop::collection::vec(word, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn whatever_is_asked_is_answered_or_refused(text in prop_oneof![soup(), any::<String>()]) {
        let asked = [text.clone(), format!("SELECT * FROM devices WHERE {text}"), format!("SELECT {text} FROM devices")];
        for text in asked {
            if let Ok(query) = Query::parse(&text) {
                query.page(twins().into_iter(), &Cursor::default(), 10).unwrap();
            }
        }
    }

    #[test]
    fn comparisons_of_numbers_agree_with_arithmetic(a in -1000_i64..1000, b in -1000_i64..1000) {
        let twin = json!({"a": a});
        for (sign, truth) in [("=", a == b), ("<>", a != b), ("<", a < b), ("<=", a <= b), (">", a > b), (">=", a >= b)] {
            let query = Query::parse(&format!("SELECT * FROM devices WHERE a {sign} {b}")).unwrap();
            prop_assert_eq!(query.matches(&twin), truth);
        }
    }
}
