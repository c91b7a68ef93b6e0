//! Positions, in the spelling that IoT Central's geopoints want.
//!
//! A decoded object, or the decoded fields themselves, with numbers for `latitude` and `longitude` also get `lat` and
//! `lon`, and `alt` for an `altitude`. Looks one level down, as the network does for its own locations. What was there
//! stays as it was; an object that has a `lat` or `lon` of its own is left alone, whatever they hold.

use lorawan::ordered::{Members, Shape};
use serde_json::value::RawValue;

/// The numbers of a position, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geopoint<'a> {
    lat: &'a str,
    lon: &'a str,
    alt: Option<&'a str>,
}

impl<'a> Geopoint<'a> {
    /// Names and values to add.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        [("lat", Some(self.lat)), ("lon", Some(self.lon)), ("alt", self.alt)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// The position that an object holds.
pub(super) fn of(value: &RawValue) -> Option<Geopoint<'_>> {
    among(&Members::of(value)?)
}

/// The position among these members.
pub(super) fn among<'a>(members: &Members<'a>) -> Option<Geopoint<'a>> {
    let number = |name| members.get(name).filter(|value| Shape::of(value) == Shape::Number).map(RawValue::get);
    let (lat, lon) = (number("latitude")?, number("longitude")?);
    if members.get("lat").is_some() || members.get("lon").is_some() {
        return None;
    }
    let alt = number("altitude").filter(|_| members.get("alt").is_none());
    Some(Geopoint { lat, lon, alt })
}

/// The text of an object with the position behind its members.
pub(super) fn appended(object: &str, point: &Geopoint<'_>) -> String {
    let mut text = object.strip_suffix('}').unwrap_or(object).to_owned();
    for (name, value) in point.members() {
        text.push_str(&format!(",\"{name}\":{value}"));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_point(object: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(object).expect("JSON");
        of(raw).map(|point| appended(object, &point))
    }

    #[test]
    fn a_position_is_added_and_nothing_touched() {
        assert_eq!(
            with_point(r#"{ "altitude": 310, "latitude": 48.76826575, "longitude" : 9.10 }"#).as_deref(),
            Some(
                r#"{ "altitude": 310, "latitude": 48.76826575, "longitude" : 9.10 ,"lat":48.76826575,"lon":9.10,"alt":310}"#
            )
        );
    }

    #[test]
    fn what_is_no_position_or_has_one_already_stays() {
        for object in [
            r#"{"latitude":1}"#,
            r#"{"latitude":"1","longitude":2}"#,
            r#"{"latitude":null,"longitude":2}"#,
            r#"{"lat":1,"lon":2,"alt":3}"#,
            r#"{"latitude":1,"longitude":2,"lat":3}"#,
            "[1]",
            "7",
        ] {
            assert_eq!(with_point(object), None, "{object}");
        }
        assert_eq!(
            with_point(r#"{"latitude":1,"longitude":2,"altitude":3,"alt":4}"#).as_deref(),
            Some(r#"{"latitude":1,"longitude":2,"altitude":3,"alt":4,"lat":1,"lon":2}"#)
        );
    }
}
