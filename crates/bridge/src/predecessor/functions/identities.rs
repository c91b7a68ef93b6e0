//! PURE: under which identity the predecessor filed what it sent.
//!
//! It keeps one connection for each key of a cache. That key is the connection string itself where an application or a port has one,
//! so that all its devices share the first one's connection; else the device's id, with the port only where the group key has one.

use super::names::What;
use super::{Family, Read, Scope};
use crate::predecessor::rules::{Topic, Understood};

/// Says whose readings were filed under another's identity, and what they can be told by.
pub(super) fn identities(read: &Read<'_>, scopes: &[Scope], understood: &mut Understood) {
    if read.family == Family::V2 {
        shared_connections(read, understood);
        first_port(read, understood);
        port_in_the_key(read, understood);
    }
    if scopes.len() > 1 || read.find(What::Hub, &Scope::Default).is_some() {
        let says = "a device id is unique within an application only, and the predecessor remembered devices by it alone: two devices \
                    with one id in two applications were one, and the first decided where both went. longhaul keeps them apart: at one \
                    target the first to send owns the name, the other becomes a dead letter, `identity_conflict`";
        let mend = "device_id = \"{application_id}--{device_id}\" tells them apart, but renames devices that Azure knows: for new ones only";
        understood.say_with_mend(Topic::Identity, &[], says, mend);
    }
    let says = "each device keeps its registration id (its id at the network) and its key (derived from the same group key, or made by \
                the hub), so that IoT Hub and IoT Central keep the device and its history";
    understood.say(Topic::Identity, &[], says);
}

fn shared_connections(read: &Read<'_>, understood: &mut Understood) {
    for (scope, setting) in read.scopes(What::Hub).filter(|(scope, _)| **scope != Scope::Default) {
        let says = format!(
            "all devices of {} shared one connection: after each start of the function app, and after a day without a message, the \
             first that sent gave its identity to all, and the readings of the others were misfiled under it. longhaul sends each \
             under its own",
            scope.whose()
        );
        let mend = "in what is stored already, `DeviceID` in the body is right, and the device of the message (iothub-connection-device-id) is not";
        understood.say_with_mend(Topic::Identity, &[setting], says, mend);
    }
    for (one, other) in same_strings(read) {
        let says = format!(
            "`{one}` and `{other}` hold the same connection string, so the devices of both shared one connection and one identity"
        );
        understood.say(Topic::Identity, &[], says);
    }
}

fn same_strings(read: &Read<'_>) -> Vec<(String, String)> {
    let all: Vec<_> = read.scopes(What::Hub).filter(|(scope, _)| **scope != Scope::Default).map(|(_, s)| s).collect();
    let same = |at: usize| {
        let first = all[..at].iter().find(|other| all[at].text.is_some() && other.text == all[at].text)?;
        Some((first.name.clone(), all[at].name.clone()))
    };
    (0..all.len()).filter_map(same).collect()
}

/// A port has an id scope of its own and no group key of its own.
fn first_port(read: &Read<'_>, understood: &mut Understood) {
    for (scope, setting) in read.scopes(What::IdScope) {
        let is_ports = matches!(scope, Scope::Port(..)) && read.at(What::GroupKey, scope).is_none();
        if is_ports && read.find(What::Hub, scope).is_none() {
            let says = format!(
                "`{}` is for one port, but without a group key of that port a device was remembered by its id alone: the port on \
                 which it sent first after a start decided the scope for all its ports. longhaul goes by the port of each message",
                setting.name
            );
            understood.say(Topic::Identity, &[setting], says);
        }
    }
}

/// `dev` on port 10 and `dev-10` had one key.
fn port_in_the_key(read: &Read<'_>, understood: &mut Understood) {
    let ports = read.scopes(What::GroupKey).filter_map(|(scope, setting)| match scope {
        Scope::Port(_, port) if read.find(What::Hub, scope).is_none() => Some((*port, setting)),
        _ => None,
    });
    let ports: Vec<_> = ports.collect();
    for (port, setting) in ports {
        let says = format!(
            "a device `x` on port {port} and a device called `x-{port}` were the same to the predecessor: if there are such two, the \
             first that sent gave its identity to both"
        );
        understood.say(Topic::Identity, &[setting], says);
    }
}
