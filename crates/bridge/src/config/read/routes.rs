//! `[[routes]]`: which target takes what.

use std::collections::BTreeSet;

use super::nearest::nearest;
use super::reader::{At, Found, Reader, Section};
use super::tree::{Node, Value};
use crate::config::{Destination, Route};

const EXAMPLE: &str = "[[routes]]";
/// LoRaWAN: 0 is for MAC commands only, 255 fills the byte.
const PORTS: std::ops::RangeInclusive<i64> = 1..=255;
/// LoRaWAN: ports beyond this are for tests and future use.
const PORT_OF_APPLICATIONS_MAX: u8 = 223;

/// Reads all routes; `targets` are the names that exist.
pub(super) fn read(
    reader: &mut Reader<'_>,
    routes: Option<Found<Node>>,
    at: &At,
    targets: &BTreeSet<String>,
) -> Vec<Route> {
    let some = routes.filter(|found| !matches!(&found.value.value, Value::List(items) if items.is_empty()));
    let Some(routes) = some else {
        let first = targets.first().map_or("main", String::as_str);
        let mend = format!("write [[routes]] with target = \"{first}\"");
        reader.missing(at, "there is no route, so no message would reach a target", mend);
        return Vec::new();
    };
    let items = routes.into_list(reader, EXAMPLE);
    let mut seen: Vec<(At, Route)> = Vec::new();
    for item in items {
        let at = item.at.clone();
        if let Some(route) = item.into_section(reader, EXAMPLE).and_then(|section| route(reader, section, targets)) {
            refuse_second(reader, &at, &route, &seen);
            seen.push((at, route));
        }
    }
    let routes: Vec<Route> = seen.into_iter().map(|(_, route)| route).collect();
    warn_gaps(reader, at, &routes, targets);
    routes
}

fn route(reader: &mut Reader<'_>, mut section: Section, targets: &BTreeSet<String>) -> Option<Route> {
    let port_at = section.at_key("port");
    let application_there = section.has("application");
    let application = application(reader, &mut section);
    let port = port(reader, &mut section);
    let destination = destination(reader, &mut section, targets);
    section.finish(reader);
    if port.is_some() && !application_there {
        reader.mistake(
            &port_at,
            "a port says nothing without an application",
            "add application = \"NAME\", or remove the port",
        );
        return None;
    }
    if application_there && application.is_none() {
        return None;
    }
    Some(Route { application, port, destination: destination? })
}

fn application(reader: &mut Reader<'_>, section: &mut Section) -> Option<String> {
    let found = section.text(reader, "application", "application = \"vehicles\"")?;
    if found.value.trim().is_empty() {
        reader.mistake(&found.at, "is empty", "name the application, or remove the key to make this the default route");
        return None;
    }
    if found.value.contains(|c: char| c.is_uppercase() || c.is_whitespace()) {
        let cause = format!("`{}` will match nothing: application ids are lower case without spaces", found.value);
        reader.warn(&found.at, cause, "copy the application's id, not its name");
    }
    Some(found.value)
}

fn port(reader: &mut Reader<'_>, section: &mut Section) -> Option<u8> {
    let at = section.at_key("port");
    let found = section.take("port")?;
    let Value::Integer(number) = found.value.value else {
        let mend = "write a number without quotes from 1 to 255, such as port = 10";
        reader.mistake(&at, format!("is {}, but a number is wanted", found.value.value.kind()), mend);
        return None;
    };
    if !PORTS.contains(&number) {
        reader.mistake(
            &at,
            format!("{number} is not a LoRaWAN port"),
            "write a number from 1 to 223, such as port = 10",
        );
        return None;
    }
    let port = u8::try_from(number).ok()?;
    if port > PORT_OF_APPLICATIONS_MAX {
        reader.warn(&at, format!("{port} is not a port that applications use"), "they use 1 to 223");
    }
    Some(port)
}

/// A target, or none on purpose.
fn destination(reader: &mut Reader<'_>, section: &mut Section, targets: &BTreeSet<String>) -> Option<Destination> {
    let at = section.at_key("drop");
    let before = reader.count();
    let drops = section.boolean(reader, "drop");
    if reader.count() > before {
        section.discard(&["target"]); // which of the two was meant is not known
        return None;
    }
    match drops {
        true if section.has("target") => {
            section.discard(&["target"]);
            reader.mistake(&at, "a route cannot drop and have a target", "remove one of them");
            None
        }
        true => Some(Destination::Drop),
        false => target(reader, section, targets).map(Destination::Target),
    }
}

fn target(reader: &mut Reader<'_>, section: &mut Section, targets: &BTreeSet<String>) -> Option<String> {
    let at = section.at_key("target");
    if !section.has("target") {
        section.take("target");
        let first = targets.first().map_or("main", String::as_str);
        reader.missing(&at, "is missing", format!("name a target, such as target = \"{first}\", or write drop = true"));
        return None;
    }
    let name = section.text(reader, "target", "target = \"main\"")?.value;
    if targets.contains(&name) {
        return Some(name);
    }
    let all = targets.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let mend = match nearest(&name, targets.iter().map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"? there are: {all}"),
        None if all.is_empty() => format!("write a section [targets.{name}]"),
        None => format!("there are: {all}"),
    };
    reader.missing(&at, format!("there is no target `{name}`"), mend);
    None
}

fn refuse_second(reader: &mut Reader<'_>, at: &At, route: &Route, seen: &[(At, Route)]) {
    let same = |other: &Route| other.application == route.application && other.port == route.port;
    let Some((first, _)) = seen.iter().find(|(_, other)| same(other)) else { return };
    let place = first.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
    let what = match (&route.application, route.port) {
        (None, _) => "is a second default route".to_owned(),
        (Some(application), None) => format!("is a second route for application `{application}`"),
        (Some(application), Some(port)) => format!("is a second route for application `{application}` port {port}"),
    };
    reader.mistake(at, format!("{what}, after {}{place}", first.key), "keep one of them");
}

fn warn_gaps(reader: &mut Reader<'_>, at: &At, routes: &[Route], targets: &BTreeSet<String>) {
    if routes.iter().all(|route| route.application.is_some()) {
        let mend = "add [[routes]] with only a target to catch the rest";
        reader.warn(at, "no route takes the other applications; their messages become dead letters", mend);
    }
    for name in targets.iter().filter(|name| routes.iter().all(|route| route.target() != Some(name))) {
        let at = At { key: format!("targets.{name}"), place: None };
        reader.warn(&at, "no route leads to this target", "add one, or remove the target");
    }
}
