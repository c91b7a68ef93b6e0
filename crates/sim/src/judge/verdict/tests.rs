//! For each kind of finding the smallest evidence that is guilty, and what makes it innocent.

use super::super::{Asked, Buried, Effect, Pace, Scope, Trouble};
use super::*;
use crate::uplink::{Device, Telemetry, Uplink};

const HUB: &str = "hub.example";

/// Two devices, each with messages 1 and 2, all of them posted, kept and taken in good order. The process lives throughout.
fn innocent() -> Evidence {
    let device = |name: &str| Device {
        application: "hall".into(),
        device: name.into(),
        dev_eui: String::new(),
        registration_id: format!("hall--{name}"),
    };
    let mut evidence = Evidence {
        devices: vec![device("a"), device("b")],
        lives: vec![(0, 10_000_000)],
        over: 10_000_000,
        ..Evidence::default()
    };
    for (id, device) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        let at = i64::from(id) * 100_000;
        let uplink = Uplink { id: UplinkId(id), device, kind: Kind::Ordinary, port: 1, counter: id, session: 0 };
        evidence.uplinks.insert(uplink.id, uplink);
        let end = Some((at + 20, End::Status(202)));
        evidence.posts.push(Post { what: Posted::Uplink(uplink.id), sent: at, whole: Some(at + 1), end });
        evidence.taken.push(taken(&evidence, id, at + 50));
    }
    evidence
}

fn taken(evidence: &Evidence, id: u32, at: i64) -> Taken {
    let uplink = evidence.uplinks[&UplinkId(id)];
    let device = &evidence.devices[uplink.device];
    Taken {
        at,
        hub: HUB.into(),
        device_id: device.registration_id.clone(),
        message_id: Some(format!("m{id}")),
        telemetry: Ok(Telemetry {
            id: uplink.id,
            application: device.application.clone(),
            device: device.device.clone(),
            port: uplink.port.into(),
            counter: uplink.counter.into(),
        }),
    }
}

fn trouble(from: i64, to: i64, effect: Effect) -> Trouble {
    Trouble { name: "trouble", from, to, scope: Scope::Everybody, effect }
}

/// The kinds that are found when the evidence is changed so.
fn found(change: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = innocent();
    change(&mut evidence);
    verdict(&evidence).into_iter().map(|finding| finding.kind).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn the_innocent_are_let_go() {
    assert_eq!(verdict(&innocent()), []);
}

#[test]
fn a_message_that_was_kept_is_owed() {
    assert_eq!(found(|e| drop(e.taken.remove(1))), ["lost"]);
    let refused = |e: &mut Evidence| {
        e.taken.remove(1);
        e.posts[1].end = Some((200_020, End::Status(503)));
        e.troubles.push(trouble(200_000, 200_020, Effect { closes_the_disk: true, ..Effect::default() }));
    };
    assert_eq!(found(refused), NONE, "it was never kept");
}

#[test]
fn what_is_buried_needs_a_reason_that_there_was() {
    let buries = |e: &mut Evidence| {
        e.taken.remove(1);
        e.buried.push(Buried { reason: "rejected".into(), detail: String::new(), id: Some(UplinkId(2)) });
    };
    assert_eq!(found(buries), ["buried"]);
    let with_reason = |e: &mut Evidence| {
        buries(e);
        e.troubles.push(trouble(0, 1, Effect { buries: &["rejected"], ..Effect::default() }));
    };
    assert_eq!(found(with_reason), NONE);
}

#[test]
fn a_repeat_needs_a_cause_close_to_the_first_time() {
    let again = |e: &mut Evidence, cause: Option<(i64, i64)>| {
        e.taken.insert(1, taken(e, 1, 190_000));
        let effect = Effect { repeats: true, ..Effect::default() };
        e.troubles.extend(cause.map(|(from, to)| trouble(from, to, effect)));
    };
    assert_eq!(found(|e| again(e, None)), ["twice"]);
    assert_eq!(found(|e| again(e, Some((100_060, 100_060)))), NONE);
    assert_eq!(found(|e| again(e, Some((185_000, 186_000)))), ["twice"], "long after it was settled");
    let renamed = |e: &mut Evidence| {
        again(e, Some((100_060, 100_060)));
        e.taken[1].message_id = Some("other".into());
    };
    assert_eq!(found(renamed), ["twice"]);
}

#[test]
fn a_device_keeps_its_order_and_two_devices_have_none() {
    assert_eq!(found(|e| e.taken.swap(0, 1)), ["order"]);
    assert_eq!(found(|e| e.taken.swap(1, 2)), NONE);
    let at_once = |e: &mut Evidence| {
        e.taken.swap(0, 1);
        e.posts[1].sent = 100_010;
    };
    assert_eq!(found(at_once), NONE, "the second was sent before the first was answered");
}

#[test]
fn names_belong_to_their_devices() {
    assert_eq!(found(|e| e.taken[0].device_id = "hall--b".into()), ["identity", "identity", "identity"]);
    assert_eq!(found(|e| e.taken[3].telemetry = Err("no Port".into())), ["altered", "lost"]);
    let other_port = |e: &mut Evidence| {
        if let Ok(telemetry) = &mut e.taken[3].telemetry {
            telemetry.port = 9;
        }
    };
    assert_eq!(found(other_port), ["altered"]);
}

#[test]
fn nobody_invents_messages() {
    let unposted = |e: &mut Evidence| _ = e.posts.pop();
    assert_eq!(found(unposted), ["invented"]);
}

#[test]
fn while_nothing_is_wrong_nobody_waits_long() {
    let late = |e: &mut Evidence, with: Option<Trouble>| {
        e.taken[3].at = 2_000_000;
        e.troubles.extend(with);
    };
    let delays = Effect { delays: Some(60_000), ..Effect::default() };
    assert_eq!(found(|e| late(e, None)), ["starved"]);
    assert_eq!(found(|e| late(e, Some(trouble(400_000, 1_930_000, delays)))), NONE);
    let anothers = Trouble { scope: Scope::Device(0), ..trouble(400_000, 1_930_000, delays) };
    assert_eq!(found(|e| late(e, Some(anothers))), ["starved"], "another device's trouble is no excuse");
}

#[test]
fn the_door_answers_in_time_and_as_it_must() {
    let ends = |end| move |e: &mut Evidence| e.posts[0].end = end;
    assert_eq!(found(ends(Some((108_000, End::Status(202))))), ["door"]);
    assert_eq!(found(ends(Some((100_020, End::Status(400))))), ["door"]);
    assert_eq!(found(ends(Some((100_020, End::Status(503))))), ["door"]);
    assert_eq!(found(ends(Some((105_000, End::Nothing)))), ["door"]);
    assert_eq!(found(ends(Some((105_000, End::HungUp)))), NONE);
    let while_down = |e: &mut Evidence| {
        e.posts[0].end = Some((105_000, End::Nothing));
        e.lives = vec![(0, 99_000), (110_000, 10_000_000)];
    };
    assert_eq!(found(while_down), NONE, "nobody was at home");
    let wrong_key = |status| {
        move |e: &mut Evidence| {
            let what = Posted::Refusable("wrong key", 401);
            e.posts.push(Post { what, sent: 1, whole: Some(2), end: Some((3, End::Status(status))) });
        }
    };
    assert_eq!(found(wrong_key(401)), NONE);
    assert_eq!(found(wrong_key(202)), ["door"]);
    let while_editions_came = |editions: &'static [(i64, Option<i64>)]| {
        move |e: &mut Evidence| {
            e.posts[0].end = Some((100_020, End::Status(401)));
            e.taken.remove(0);
            e.editions.extend(editions);
        }
    };
    assert_eq!(found(while_editions_came(&[(100_005, Some(100_006))])), ["door"], "its key is still good");
    let two = &[(100_005, Some(100_006)), (100_007, Some(100_008))];
    assert_eq!(found(while_editions_came(two)), NONE, "and is not any more");
}

#[test]
fn nobody_is_asked_again_and_again() {
    let asked = |minutes: &'static [(i64, Asked)]| {
        move |e: &mut Evidence| e.asked.extend(minutes.iter().map(|(minute, asked)| ((HUB.into(), *minute), *asked)))
    };
    const MOST: Asked = ASKED_MAX;
    const ONE: Asked = Asked { connections: 1, bytes: 0, refused: 0, stolen: 0 };
    const REFUSED: Asked = Asked { connections: 0, bytes: 0, refused: 1, stolen: 0 };
    const STOLEN: Asked = Asked { connections: 0, bytes: 0, refused: 0, stolen: 1 };
    const BYTE: Asked = Asked { connections: 0, bytes: 1, refused: 0, stolen: 0 };
    assert_eq!(found(asked(&[(13, MOST)])), NONE);
    assert_eq!(found(asked(&[(13, MOST), (17, ONE)])), ["hammered"]);
    assert_eq!(found(asked(&[(13, MOST), (17, REFUSED)])), ["hammered"]);
    assert_eq!(found(asked(&[(13, MOST), (17, STOLEN)])), ["hammered"]);
    assert_eq!(found(asked(&[(13, MOST), (17, BYTE)])), ["hammered"]);
    assert_eq!(found(asked(&[(13, MOST), (18, ONE)])), NONE, "five minutes later");
    const TWICE: &[(i64, Asked)] = &[(1, MOST), (2, ONE), (3, ONE)];
    assert_eq!(found(asked(TWICE)), NONE, "two messages came through");
    const MANY: Asked = Asked { connections: 10, ..ONE };
    assert_eq!(found(asked(&[(1, MOST), (2, ONE), (3, ONE), (4, MANY)])), ["hammered"]);
}

#[test]
fn a_route_drops_what_it_is_to_drop_and_nothing_else() {
    let to_drop = |e: &mut Evidence, editions: &[(i64, Option<i64>)]| {
        e.uplinks.get_mut(&UplinkId(2)).unwrap().port = DROPPED_PORT;
        e.editions.extend(editions);
        e.taken[1] = taken(e, 2, 200_050);
    };
    assert_eq!(found(|e| to_drop(e, &[])), NONE);
    assert_eq!(found(|e| to_drop(e, &[(1, Some(2))])), ["routed"]);
    assert_eq!(found(|e| to_drop(e, &[(1, None)])), NONE, "nobody knows whether it is in use");
    assert_eq!(found(|e| to_drop(e, &[(1, Some(2)), (3, Some(4))])), NONE, "and the next one sends it again");
    let dropped = |e: &mut Evidence, editions: &[(i64, Option<i64>)]| {
        to_drop(e, editions);
        e.taken.remove(1);
    };
    assert_eq!(found(|e| dropped(e, &[])), ["lost"]);
    assert_eq!(found(|e| dropped(e, &[(1, Some(2))])), NONE);
    assert_eq!(found(|e| dropped(e, &[(1, Some(2)), (3, Some(4))])), ["lost"]);
}

#[test]
fn a_device_registers_once_and_keeps_the_pace() {
    let registers = |times: &'static [(i64, &'static str)]| {
        move |e: &mut Evidence| {
            e.pace = Pace { per_minute: 1, is_at_once: true };
            e.registered.extend(times.iter().map(|(at, name)| (*at, (*name).to_owned())));
        }
    };
    let twice: &[_] = &[(1_000, "hall--a"), (900_000, "hall--a")];
    assert_eq!(found(registers(twice)), ["registered"]);
    let delays = Effect { delays: Some(0), ..Effect::default() };
    let forgotten = |e: &mut Evidence| {
        registers(twice)(e);
        e.troubles.push(trouble(500_000, 500_000, delays));
    };
    assert_eq!(found(forgotten), NONE);
    let restarted = |e: &mut Evidence| {
        registers(twice)(e);
        e.troubles.push(trouble(500_000, 500_000, Effect { restarts: true, ..delays }));
    };
    assert_eq!(found(restarted), ["registered"], "where a device lives is on the disk");
    let moved_and_restarted = |e: &mut Evidence| {
        registers(&[(1_000, "hall--a"), (900_000, "hall--a"), (970_000, "hall--a")])(e);
        e.troubles.push(trouble(500_000, 500_000, delays));
        e.troubles.push(trouble(950_000, 950_000, Effect { restarts: true, ..delays }));
    };
    assert_eq!(found(moved_and_restarted), NONE, "where it lived before is on the disk");
    let in_a_minute: &[_] = &[(1_000, "hall--a"), (30_000, "hall--b")];
    assert_eq!(found(registers(in_a_minute)), ["registered"]);
    assert_eq!(found(registers(&[(1_000, "hall--a"), (61_000, "hall--b")])), NONE);
}

#[test]
fn tokens_are_renewed_scandals_are_told_and_what_is_stuck_is_named() {
    assert_eq!(found(|e| e.ran_out.push((5_000, "hall--a".into()))), ["token"]);
    let excused = |e: &mut Evidence| {
        e.ran_out.push((5_000, "hall--a".into()));
        e.troubles.push(trouble(1_000, 6_000, Effect { ends_tokens: true, ..Effect::default() }));
    };
    assert_eq!(found(excused), NONE);
    assert_eq!(found(|e| e.scandals.push("a panic".into())), ["scandal"]);
    assert_eq!(found(|e| e.stuck.push("one message".into())), ["stuck"]);
}
