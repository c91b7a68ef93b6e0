//! The fleet alone, and against what must be true of it after anything.

use proptest::prelude::*;

use super::endings::FULL_FOR;
use super::*;

const SECOND: Duration = Duration::from_secs(1);
fn signer() -> Signer {
    Signer::device([1; 32])
}

fn fleet(devices_per_line: usize, links_max: usize) -> Fleet {
    let bounds = Bounds { devices_per_line, links_max, link_idle: SECOND * 7200 };
    Fleet::new(bounds, 0, 0, 7)
}

fn place(fleet: &mut Fleet, device: &str, now: Duration) -> Result<Placed, Why> {
    match fleet.place(device, &signer(), 100, now) {
        Placement::At(placed) => Ok(placed),
        Placement::Later(wait) => panic!("unpaced, and has to wait {wait:?}"),
        Placement::Refused(error) => Err(error.why),
    }
}

fn settle(fleet: &mut Fleet, placed: &Placed) {
    fleet.settled(placed.line, &placed.name, placed.epoch, 100);
}

#[test]
fn a_device_stays_on_its_connection_and_keeps_its_key() {
    let mut fleet = fleet(10, 100);
    let first = place(&mut fleet, "a", SECOND).unwrap();
    let second = place(&mut fleet, "a", SECOND).unwrap();
    assert_eq!((first.line, first.epoch, first.is_new_line), (second.line, second.epoch, true));
    assert!(Arc::ptr_eq(&first.key, &second.key) && !second.is_new_line);
    let Placement::At(third) = fleet.place("a", &Signer::device([2; 32]), 100, SECOND) else {
        panic!("it has a place")
    };
    assert_eq!((third.epoch, third.key.as_bytes()), (first.epoch, &[2; 32][..]));
}

#[test]
fn a_device_with_messages_on_their_way_to_the_line_keeps_its_seat_there() {
    let mut fleet = fleet(10, 100);
    let first = place(&mut fleet, "a", SECOND).unwrap();
    let _second = place(&mut fleet, "a", SECOND).unwrap();
    settle(&mut fleet, &first);
    fleet.gone("a", first.epoch);
    assert_eq!(fleet.line_of("a"), Some(first.line), "the second one will open it again there");
    settle(&mut fleet, &first);
    fleet.gone("a", first.epoch);
    assert_eq!(fleet.line_of("a"), None);
    let again = place(&mut fleet, "a", SECOND).unwrap();
    assert_ne!(again.epoch, first.epoch);
    fleet.gone("a", first.epoch);
    assert_eq!(fleet.line_of("a"), Some(again.line), "late news of an earlier placement change nothing");
}

#[test]
fn one_device_cannot_fill_a_connection_and_one_connection_not_the_memory() {
    let mut fleet = fleet(10, 100);
    let busy = (0..100).map(|_| place(&mut fleet, "a", SECOND)).take_while(Result::is_ok).count();
    assert_eq!(busy, MESSAGES_PER_DEVICE_MAX as usize);
    let large = |fleet: &mut Fleet, device: &str| match fleet.place(device, &signer(), 1 << 20, SECOND) {
        Placement::At(placed) => Ok(placed.line),
        Placement::Later(_) => panic!("unpaced"),
        Placement::Refused(error) => Err(error.why),
    };
    let taken = (0..8).flat_map(|_| ["b", "c", "d", "e"]).filter(|device| large(&mut fleet, device) == Ok(0)).count();
    assert_eq!(taken, 31, "32 MiB less what waits for the first");
    assert_eq!(large(&mut fleet, "b"), Err(Why::NotYet { retry_after: NO_PLACE }));
    assert_eq!(large(&mut fleet, "f"), Ok(1), "a new device goes where there is room");
}

#[test]
fn a_suspected_connection_gets_no_new_devices() {
    let mut fleet = fleet(10, 100);
    let first = place(&mut fleet, "a", SECOND).unwrap();
    fleet.suspected(first.line, true);
    assert_ne!(place(&mut fleet, "b", SECOND).unwrap().line, first.line);
    assert_eq!(place(&mut fleet, "a", SECOND).unwrap().line, first.line);
    fleet.suspected(first.line, false);
    assert_eq!(place(&mut fleet, "c", SECOND).unwrap().line, first.line);
}

#[test]
fn connections_are_bounded_even_where_the_hub_calls_each_full() {
    let mut fleet = fleet(10, 100);
    let placed = place(&mut fleet, "a", SECOND).unwrap();
    let mut line = placed.line;
    let mut lines = 1;
    while let Some((other, is_new)) = fleet.displaced(line, &placed.name, placed.epoch, 100, SECOND) {
        assert!(is_new, "none that is called full is tried again");
        (line, lines) = (other, lines + 1);
    }
    assert_eq!(lines, 2 * 10 + 4);
    assert_eq!((fleet.line_of("a"), fleet.standing(SECOND).seats), (None, 0));
    let later = SECOND + FULL_FOR;
    assert_eq!(place(&mut fleet, "a", later).map(|placed| placed.is_new_line), Ok(false), "later they are");
}

#[test]
fn what_waits_for_a_connection_to_open_does_not_come_all_at_once() {
    let bounds = Bounds { devices_per_line: 900, links_max: 1000, link_idle: SECOND * 7200 };
    let mut fleet = Fleet::new(bounds, 90, 0, 7);
    let mut came: Vec<Duration> = Vec::new();
    let mut turns: BTreeMap<Duration, Vec<u32>> = BTreeMap::from([(SECOND, (0..300).collect())]);
    let (opened, mut asked) = (SECOND * 6, 0);
    while let Some((now, devices)) = turns.pop_first() {
        for device in devices {
            let name = device.to_string();
            asked += 1;
            let wait = fleet.admit(&name, now);
            if wait.is_zero() {
                let Placement::At(placed) = fleet.place(&name, &signer(), 100, now) else {
                    panic!("{name} was admitted")
                };
                came.push(now.max(opened));
                fleet.report(placed.line, Figures { attached: usize::from(now >= opened), ..Figures::default() });
            } else {
                turns.entry(now + wait).or_default().push(device);
            }
        }
        if now >= opened {
            fleet.report(0, Figures { attached: 1, ..Figures::default() });
        }
    }
    let most = came.iter().map(|from| came.iter().filter(|at| *at >= from && **at < *from + SECOND).count()).max();
    assert!(most <= Some(100), "{most:?} in a second");
    assert!(came.iter().max() <= Some(&(opened + SECOND * 4)), "and none waits longer than it must");
    assert!(asked < 300 * 5, "nor asks all the time: {asked}");
}

#[test]
fn a_line_that_never_was_of_use_is_not_dialled_again_at_once() {
    let mut fleet = fleet(10, 100);
    let placed = place(&mut fleet, "a", SECOND).unwrap();
    let error = SendError::unanswered(Why::Unreachable, "refused");
    fleet.over(placed.line, &[("a".into(), placed.epoch)], &error, SECOND);
    assert_eq!(place(&mut fleet, "a", SECOND).unwrap_err(), Why::Unreachable);
    let placed = place(&mut fleet, "a", SECOND * 2).unwrap();
    fleet.report(placed.line, Figures { attached: 1, renewals: 3, ..Figures::default() });
    fleet.over(placed.line, &[("a".into(), placed.epoch)], &error, SECOND * 2);
    assert!(place(&mut fleet, "a", SECOND * 2).is_ok(), "one that was is replaced at once");
    assert_eq!(fleet.standing(SECOND).figures.renewals, 3, "what it did is not forgotten");
}

#[test]
fn a_line_whose_task_died_gives_its_devices_back() {
    let mut fleet = fleet(10, 100);
    let placed = place(&mut fleet, "a", SECOND).unwrap();
    fleet.over(placed.line, &[], &SendError::unanswered(Why::Lost, "x"), SECOND);
    assert_eq!(fleet.line_of("a"), None);
    assert_ne!(place(&mut fleet, "a", SECOND).unwrap().line, placed.line);
}

#[test]
fn a_renewal_is_let_go_for_an_idle_device_and_never_comes_too_late() {
    let bounds = Bounds { devices_per_line: 10, links_max: 100, link_idle: SECOND * 100 };
    let mut fleet = Fleet::new(bounds, 1, 0, 7);
    let Placement::At(placed) = fleet.place("a", &signer(), 100, SECOND) else { panic!("the first one goes") };
    let busy = fleet.renewal("a", placed.epoch, SECOND * 1000, SECOND * 200);
    assert_eq!(busy, Renewal::At(SECOND * 200), "it waits for an answer, so it is not idle");
    settle(&mut fleet, &placed);
    for _ in 0..100 {
        fleet.renewal("a", placed.epoch, SECOND * 1000, SECOND * 50);
    }
    let crowded = fleet.renewal("a", placed.epoch, SECOND * 90, SECOND * 50);
    assert_eq!(crowded, Renewal::At(SECOND * 80), "before its turn, because the token runs out");
    assert_eq!(fleet.renewal("a", placed.epoch, SECOND * 1000, SECOND * 101), Renewal::LetGo);
    assert_eq!(fleet.line_of("a"), None);
    assert_eq!(fleet.renewal("b", 0, SECOND * 1000, SECOND), Renewal::LetGo, "one that nobody knows");
}

#[derive(Clone, Debug)]
enum Step {
    Place(u8),
    Settle(usize),
    Gone(usize),
    Displaced(usize),
    Forget(u8),
    Over(u32),
    Retire(u32),
    Renewal(usize),
    Stolen(usize),
    Pass(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..12).prop_map(Step::Place),
        5 => any::<usize>().prop_map(Step::Settle),
        2 => any::<usize>().prop_map(Step::Gone),
        1 => any::<usize>().prop_map(Step::Displaced),
        1 => (0u8..12).prop_map(Step::Forget),
        1 => (0u32..10).prop_map(Step::Over),
        1 => (0u32..10).prop_map(Step::Retire),
        1 => any::<usize>().prop_map(Step::Renewal),
        1 => any::<usize>().prop_map(Step::Stolen),
        1 => (0u32..5000).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Counts are what they count, and bounds are kept.
    #[test]
    fn books_are_true_after_anything(steps in prop::collection::vec(step(), 1..200)) {
        let mut fleet = fleet(3, 8);
        let mut now = SECOND;
        // Messages without an outcome: where they are, and whose they are.
        let mut open: Vec<(LineId, Arc<str>, u64)> = Vec::new();
        let any = |open: &Vec<(LineId, Arc<str>, u64)>, at: usize| (!open.is_empty()).then(|| open[at % open.len()].clone());
        for step in steps {
            match step {
                Step::Place(device) => {
                    if let Placement::At(placed) = fleet.place(&device.to_string(), &signer(), 100, now) {
                        open.push((placed.line, placed.name, placed.epoch));
                    }
                }
                Step::Settle(at) => if let Some((line, name, epoch)) = any(&open, at) {
                    let at = at % open.len();
                    open.remove(at);
                    fleet.settled(line, &name, epoch, 100);
                },
                Step::Gone(at) => if let Some((_, name, epoch)) = any(&open, at) { fleet.gone(&name, epoch) },
                Step::Displaced(at) => if let Some((line, name, epoch)) = any(&open, at) {
                    let its = open.iter().filter(|(_, other, its)| *other == name && *its == epoch).count();
                    let is_there = fleet.seats.get(&name).is_some_and(|seat| seat.epoch == epoch && seat.line == line);
                    if is_there {
                        match fleet.displaced(line, &name, epoch, its * 100, now) {
                            Some((other, _)) => open.iter_mut().filter(|one| one.1 == name && one.2 == epoch).for_each(|one| one.0 = other),
                            None => open.retain(|one| !(one.1 == name && one.2 == epoch)),
                        }
                    }
                },
                Step::Forget(device) => drop(fleet.forget(&device.to_string())),
                Step::Over(line) => {
                    let its: Vec<_> = fleet.seats.iter().filter(|(_, seat)| seat.line == line).map(|(name, seat)| (name.clone(), seat.epoch)).collect();
                    open.retain(|one| one.0 != line);
                    fleet.over(line, &its, &SendError::unanswered(Why::Lost, "x"), now);
                }
                Step::Retire(line) => if fleet.retire(line) {
                    prop_assert!(fleet.seats.values().all(|seat| seat.line != line));
                },
                Step::Renewal(at) => if let Some((_, name, epoch)) = any(&open, at) {
                    fleet.renewal(&name, epoch, now + SECOND, now);
                },
                Step::Stolen(at) => if let Some((_, name, epoch)) = any(&open, at) {
                    fleet.stolen(&name, epoch, crate::hub::amqp::theft::Tenure::default(), now);
                },
                Step::Pass(seconds) => now += SECOND * seconds,
            }
            check(&fleet, &open);
        }
    }
}

fn check(fleet: &Fleet, open: &[(LineId, Arc<str>, u64)]) {
    assert!(fleet.seats.len() <= fleet.bounds.links_max);
    for (id, route) in &fleet.lines {
        assert_eq!(route.devices, fleet.seats.values().filter(|seat| seat.line == *id).count());
        assert!(route.devices <= fleet.bounds.devices_per_line);
        assert_eq!(route.bytes, 100 * open.iter().filter(|one| one.0 == *id).count());
    }
    for (name, seat) in fleet.seats.iter().collect::<BTreeMap<_, _>>() {
        assert!(fleet.lines.contains_key(&seat.line), "{name} sits nowhere");
        let its = open.iter().filter(|one| one.1 == *name && one.2 == seat.epoch).count();
        assert_eq!(seat.unsettled as usize, its, "{name}");
        assert_eq!(fleet.idle.get(&seat.used) == Some(name), its == 0, "{name}");
    }
    assert_eq!(fleet.idle.len(), fleet.seats.values().filter(|seat| seat.unsettled == 0).count());
}
