//! Twins by themselves: merge patches, versions, limits, and what a device hears.

use proptest::prelude::*;

use super::limits::size_of_members;
use super::*;
use crate::random::Random;
use crate::random::tests::stamp;

const THEN: i64 = 1_767_225_600_000;
const NOW: i64 = THEN + 1_500;

fn twin() -> Twin {
    Twin::new(THEN)
}

fn shown(twin: &Twin) -> Value {
    let live = Live { is_connected: true, last_activity_ms: Some(THEN), c2d_count: 3, ..Live::default() };
    twin.for_service(&Device::new("d1", Random::default().keys(32), stamp(THEN)), &live)
}

fn desired(values: Value) -> Value {
    json!({"properties": {"desired": values}})
}

fn heard(change: Result<Option<DesiredChange>, Refusal>) -> Option<Value> {
    change.unwrap().map(|change| {
        let patch: Value = serde_json::from_slice(&change.patch).unwrap();
        assert_eq!(patch["$version"], change.version);
        patch
    })
}

fn code<T>(answer: Result<T, Refusal>) -> u32 {
    answer.err().map_or(0, |refusal| refusal.code)
}

fn reported(twin: &mut Twin, values: &Value) -> Result<u64, Refusal> {
    twin.patch_reported(values.to_string().as_bytes(), NOW)
}

#[test]
fn a_new_twin_is_the_one_of_a_new_device() {
    let whole = shown(&twin());
    assert_eq!((&whole["etag"], &whole["version"]), (&json!("AAAAAAAAAAE="), &json!(2)));
    let section = json!({"$metadata": {"$lastUpdated": "2026-01-01T00:00:00.000Z"}, "$version": 1});
    assert_eq!(whole["properties"], json!({"desired": section, "reported": section}));
    assert_eq!((&whole["statusUpdateTime"], &whole["connectionState"]), (&json!(NEVER), &json!("Connected")));
    assert_eq!((&whole["lastActivityTime"], &whole["tags"]), (&json!("2026-01-01T00:00:00.000Z"), &Value::Null));
    assert_eq!(twin().for_device(), json!({"desired": {"$version": 1}, "reported": {"$version": 1}}));
}

#[test]
fn a_patch_of_desired_properties_is_told_as_it_came_with_the_version_after_it() {
    let mut twin = twin();
    assert_eq!(heard(twin.patch(&desired(json!({"a": 1, "b": {"c": "x"}})), NOW)).unwrap()["$version"], 2);
    let second = heard(twin.patch(&desired(json!({"a": null, "b": {"d": [1, "two"]}})), NOW));
    assert_eq!(second, Some(json!({"a": null, "b": {"d": [1, "two"]}, "$version": 3})));
    assert_eq!(twin.for_device()["desired"], json!({"b": {"c": "x", "d": [1, "two"]}, "$version": 3}));
    assert_eq!((twin.version, twin.etag()), (4, "AAAAAAAAAAM=".to_owned()));
}

#[test]
fn metadata_says_of_each_object_and_value_when_it_was_written() {
    let mut twin = twin();
    twin.patch(&desired(json!({"a": 1, "b": {"c": "x", "e": 5}})), NOW).unwrap();
    twin.patch(&desired(json!({"b": {"c": null}})), NOW + 1000).unwrap();
    reported(&mut twin, &json!({"r": true})).unwrap();
    let whole = shown(&twin);
    let (first, second) = ("2026-01-01T00:00:01.500Z", "2026-01-01T00:00:02.500Z");
    let written = |at, version| json!({"$lastUpdated": at, "$lastUpdatedVersion": version});
    let mut b = written(second, 3);
    b["e"] = written(first, 2);
    let mut all = written(second, 3);
    (all["a"], all["b"]) = (written(first, 2), b);
    assert_eq!(whole["properties"]["desired"]["$metadata"], all);
    assert_eq!(
        whole["properties"]["reported"]["$metadata"],
        json!({"$lastUpdated": first, "r": {"$lastUpdated": first}}),
        "no versions among what a device reports"
    );
}

#[test]
fn writing_the_same_again_is_a_change_and_removing_nothing_is_none() {
    let mut twin = twin();
    twin.patch(&desired(json!({"a": 1, "e": {}})), NOW).unwrap();
    assert!(heard(twin.patch(&desired(json!({"a": 1})), NOW)).is_some());
    let before = twin.clone();
    for nothing in [json!({"gone": null}), json!({"e": {}}), json!({"e": {"x": null}}), json!({})] {
        assert_eq!(heard(twin.patch(&desired(nothing), NOW)), None);
    }
    assert_eq!(twin, before);
}

#[test]
fn a_replacement_is_told_as_all_there_is_with_null_for_what_went() {
    let mut twin = twin();
    twin.patch(&json!({"tags": {"t": 1}, "properties": {"desired": {"a": 1, "b": 2, "o": {"x": 1, "y": 2}}}}), NOW)
        .unwrap();
    let heard = heard(twin.replace(&desired(json!({"a": 1, "c": 100, "n": null, "o": {"y": 2}})), NOW));
    assert_eq!(heard, Some(json!({"a": 1, "b": null, "c": 100, "o": {"x": null, "y": 2}, "$version": 3})));
    let whole = shown(&twin);
    assert_eq!(whole["tags"], json!({"t": 1}), "not named, not touched");
    assert_eq!(twin.for_device()["desired"], json!({"a": 1, "c": 100, "o": {"y": 2}, "$version": 3}));
    assert!(twin.replace(&json!({"tags": {"u": 2}}), NOW).unwrap().is_none(), "the device does not hear of tags");
    assert_eq!(shown(&twin)["tags"], json!({"u": 2}));
    assert_eq!(twin.for_device()["desired"]["$version"], 3);
}

#[test]
fn a_whole_twin_may_be_sent_back() {
    let mut twin = twin();
    twin.patch(&json!({"tags": {"t": 1}, "properties": {"desired": {"a": 1}}}), NOW).unwrap();
    let whole = shown(&twin);
    twin.replace(&whole, NOW).unwrap();
    assert_eq!(twin.for_device()["desired"], json!({"a": 1, "$version": 3}));
}

#[test]
fn the_etag_counts_what_the_owner_changes_and_the_version_everything() {
    let mut twin = twin();
    assert_eq!(reported(&mut twin, &json!({"a": 1})).unwrap(), 2);
    assert_eq!(reported(&mut twin, &json!({})).unwrap(), 3, "each report counts");
    assert_eq!((twin.version, twin.etag()), (4, "AAAAAAAAAAE=".to_owned()));
    twin.patch(&json!({"tags": {"t": 1}, "properties": {"desired": {"a": 1}}}), NOW).unwrap();
    assert_eq!((twin.version, twin.etag()), (5, "AAAAAAAAAAI=".to_owned()));
}

#[test]
fn keys_values_and_depth_have_limits() {
    let refused = [
        json!({"a.b": 1}),
        json!({"a b": 1}),
        json!({"$a": 1}),
        json!({"a\u{1}": 1}),
        json!({"a\u{80}": 1}),
        json!({"": 1}),
        json!({"a": {"b.c": null}}),
        json!({"k".repeat(1025): 1}),
        json!({"a": "x".repeat(4097)}),
        json!({"a": 4_503_599_627_370_496_i64}),
        json!({"a": -4_503_599_627_370_497_i64}),
        json!({"a": u64::MAX}),
        json!({"a": [null]}),
        json!([1]),
        json!("text"),
        nested(11),
    ];
    let mut twin = twin();
    let before = twin.clone();
    for bad in &refused {
        assert_eq!(code(reported(&mut twin, bad)), 400_004, "{bad}");
        assert_eq!(code(twin.patch(&desired(bad.clone()), NOW)), 400_004, "{bad}");
        assert_eq!(code(twin.replace(&json!({"tags": bad}), NOW)), 400_004, "{bad}");
    }
    assert_eq!(code(twin.patch_reported(b"{", NOW)), 400_012);
    assert_eq!(twin, before);
    let taken = [
        json!({"k".repeat(1024): "x".repeat(4096)}),
        json!({"a": 4_503_599_627_370_495_i64, "b": -4_503_599_627_370_496_i64, "c": 1.5e300}),
        json!({"ключ-1": "значение"}),
        nested(10),
    ];
    for good in &taken {
        assert_eq!(code(reported(&mut twin, good)), 0, "{good}");
    }
}

/// A property in so many objects.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({"property": "value"}), |inner, _| json!({"o": inner}))
}

#[test]
fn a_section_that_would_become_too_large_stays_as_it_was() {
    let mut twin = twin();
    for n in 0..7 {
        reported(&mut twin, &json!({format!("k{n}"): "x".repeat(4096)})).unwrap();
    }
    // 7 * (2 + 4096) = 28686; 32768 - 28686 = 4082.
    let before = twin.clone();
    assert_eq!(code(reported(&mut twin, &json!({"k7": "x".repeat(4081)}))), 400_004);
    assert_eq!(twin, before);
    assert_eq!(reported(&mut twin, &json!({"k7": "x".repeat(4080)})).unwrap(), 9);
    let tags = |bytes: usize| json!({"tags": {"a": "x".repeat(4095), "b": "x".repeat(bytes)}});
    assert_eq!(code(twin.patch(&tags(4096), NOW)), 400_004);
    assert_eq!(code(twin.patch(&tags(4095), NOW)), 0);
}

#[test]
fn a_twin_survives_the_journal() {
    let mut twin = twin();
    twin.patch(&json!({"tags": {"t": 1}, "properties": {"desired": {"a": {"b": [1.5, {"c": null}]}}}}), NOW).ok();
    twin.patch(&json!({"tags": {"t": 1}, "properties": {"desired": {"a": {"b": [1.5, {"c": "d"}]}}}}), NOW).unwrap();
    reported(&mut twin, &json!({"r": {"s": false}})).unwrap();
    let text = serde_json::to_string(&twin).unwrap();
    assert_eq!(serde_json::from_str::<Twin>(&text).unwrap(), twin);
}

/// Values as twins have them, with nulls where a patch may have them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        "[a-z]{0,5}".prop_map(Value::from),
        prop::collection::vec((0_i64..9).prop_map(Value::from), 0..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop::collection::btree_map("[a-e]", inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

fn objects() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-e]", values(), 0..5).prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// The merge of RFC 7396, written down once more.
fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = if let Value::Object(members) = target { members } else { Map::new() };
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.remove(key)),
            value => {
                let before = target.remove(key).unwrap_or(Value::Null);
                target.insert(key.clone(), merged(before, value));
            }
        }
    }
    Value::Object(target)
}

fn without_version(mut section: Value) -> Value {
    section.as_object_mut().unwrap().remove("$version");
    section
}

/// Whether metadata has a time for each value, and for no other.
fn is_covered(values: &Value, metadata: &Value) -> bool {
    let Some(values) = values.as_object() else { return true };
    let known = metadata.as_object().unwrap().keys().filter(|key| !key.starts_with('$'));
    known.count() == values.len() && values.iter().all(|(key, value)| is_covered(value, &metadata[key]))
}

proptest! {
    #[test]
    fn patches_merge_as_the_rfc_says_and_a_device_that_merges_what_it_hears_follows(
        steps in prop::collection::vec((any::<bool>(), objects()), 1..8)
    ) {
        let mut twin = twin();
        let (mut expected, mut followed) = (json!({}), json!({}));
        let mut versions = vec![1];
        for (is_patch, values) in steps {
            let change = if is_patch {
                expected = merged(expected, &values);
                twin.patch(&desired(values), NOW)
            } else {
                expected = merged(json!({}), &values);
                twin.replace(&desired(values), NOW)
            };
            if let Some(heard) = heard(change) {
                versions.push(heard["$version"].as_u64().unwrap());
                followed = merged(followed, &without_version(heard));
            }
            prop_assert_eq!(&without_version(twin.for_device()["desired"].clone()), &expected);
            prop_assert_eq!(&followed, &expected);
            let whole = shown(&twin);
            prop_assert!(is_covered(&expected, &whole["properties"]["desired"]["$metadata"]));
        }
        let counted: Vec<u64> = (1..).take(versions.len()).collect();
        prop_assert_eq!(versions, counted);
    }

    #[test]
    fn no_section_grows_beyond_its_size(
        patches in prop::collection::vec(("[a-z]{1,9}", 0_usize..5000), 1..16)
    ) {
        let mut twin = twin();
        for (key, bytes) in patches {
            let before = twin.clone();
            if reported(&mut twin, &json!({key: "x".repeat(bytes)})).is_err() {
                prop_assert_eq!(&twin, &before);
            }
            prop_assert!(size_of_members(twin.reported.values()) <= REPORTED_BYTES_MAX);
        }
    }

    #[test]
    fn whatever_comes_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = twin().patch_reported(&bytes, NOW);
    }
}
