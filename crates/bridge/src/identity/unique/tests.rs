//! Each template that promises names without doubles, against all pairs of devices that could break it.

use std::collections::HashMap;

use super::super::render;
use super::*;
use crate::lane::DeviceKey;

/// All ids of up to five characters of `a`, `-` and `_` that the networks take: the shortest in which borders can be
/// mistaken.
fn ids() -> Vec<String> {
    let mut ids = vec![String::new()];
    let mut all = Vec::new();
    for _ in 0..5 {
        ids = ids.iter().flat_map(|id| ["a", "-", "_"].map(|next| format!("{id}{next}"))).collect();
        all.extend(ids.iter().filter(|id| is_id(id)).cloned());
    }
    all
}

fn is_id(id: &str) -> bool {
    let mark = |c: char| c == '-' || c == '_';
    let doubled = id.as_bytes().windows(2).any(|pair| pair.iter().all(|byte| mark(char::from(*byte))));
    !doubled && !id.starts_with(mark) && !id.ends_with(mark)
}

fn devices() -> Vec<DeviceKey> {
    let key = |application: &String, device: &String| DeviceKey {
        network: "a".to_owned(),
        application: application.clone(),
        device: device.clone(),
    };
    let ids = ids();
    ids.iter().flat_map(|application| ids.iter().map(move |device| key(application, device))).collect()
}

/// All sequences of up to five of these parts.
fn templates() -> Vec<Template> {
    let text = |text: &str| Part::Text(text.to_owned());
    let parts = [
        text("-"),
        text("--"),
        text("a"),
        text("-a-"),
        text("a--"),
        text("---"),
        Part::Network,
        Part::DevEui,
        Part::ApplicationId,
        Part::DeviceId,
    ];
    let mut all = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..5 {
        last = last
            .iter()
            .flat_map(|head: &Vec<Part>| parts.iter().map(|part| [head, [part.clone()].as_slice()].concat()))
            .collect();
        all.extend(last.iter().cloned());
    }
    all.into_iter().map(Template).collect()
}

/// Two devices that come out under one name.
fn doubles(template: &Template, devices: &[DeviceKey]) -> Option<(String, DeviceKey, DeviceKey)> {
    let mut names: HashMap<String, &DeviceKey> = HashMap::with_capacity(devices.len());
    devices.iter().find_map(|device| {
        // One DevEUI for all: it must not be what tells them apart.
        let name = render(template, device, Some("AAAAAAAAAAAAAAAA")).expect("there is a DevEUI");
        names.insert(name.clone(), device).map(|before| (name, before.clone(), device.clone()))
    })
}

#[test]
fn no_two_devices_share_a_name_by_a_rule_that_promises_it() {
    let devices = devices();
    let pairs = devices.len() * (devices.len() - 1) / 2;
    let promising: Vec<_> = templates().into_iter().filter(|template| unique(template) == Unique::ByRule).collect();
    for template in &promising {
        assert_eq!(doubles(template, &devices), None, "{template:?}");
    }
    println!("{} templates, {pairs} pairs of devices each", promising.len());
    assert!(promising.len() * pairs > 10_000_000);
}

#[test]
fn what_people_write_is_promised_or_not_for_a_reason() {
    let (application, device, text) = (Part::ApplicationId, Part::DeviceId, |text: &str| Part::Text(text.to_owned()));
    let devices = devices();
    let promised = Template(vec![application.clone(), text("--"), device.clone()]);
    assert_eq!(unique(&promised), Unique::ByRule);
    for parts in [
        vec![device.clone()],
        vec![Part::DevEui],
        vec![application.clone(), device.clone()],
        vec![application.clone(), text("-"), device.clone()],
        vec![device, text("-"), application],
    ] {
        let template = Template(parts);
        assert!(matches!(unique(&template), Unique::ByClaim { .. }), "{template:?}");
        assert!(doubles(&template, &devices).is_some(), "and rightly: {template:?}");
    }
}
