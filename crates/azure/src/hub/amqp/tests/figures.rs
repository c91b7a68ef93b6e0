//! Figures, on demand: `cargo test -p azure --release figures -- --ignored --nocapture`.

use bytes::{Bytes, BytesMut};

use super::*;
use crate::hub::amqp::line::{Effect, Line, Now, Post, Settings};
use crate::hub::amqp::test_hub::TestHub;

const NOW: Now = Now { at: SECOND, unix: BEGAN };
const DEVICES: usize = 900;

fn line() -> Line {
    let settings = Settings {
        host: "hub1.azure-devices.net".into(),
        name: "longhaul-0123456789abcdef".into(),
        token_life: SECOND * 3600,
        open_timeout: SECOND * 20,
        answer_timeout: SECOND * 20,
        silence_max: SECOND * 28,
    };
    Line::new(Arc::new(settings), 0, NOW)
}

fn post_to_all(line: &mut Line, message: &Bytes, first: u64) {
    for (ticket, name) in (first..).zip(names(DEVICES)) {
        let key = Arc::new(signer());
        line.post(Post { ticket, name: name.into(), epoch: 1, key, payload: message.clone() }, NOW);
    }
}

/// Carries bytes until none are left; what the hub said, and how many messages were delivered.
fn run(line: &mut Line, hub: &mut TestHub) -> (Vec<Bytes>, usize) {
    let (mut said, mut done) = (Vec::new(), 0);
    loop {
        let (mut out, mut back) = (BytesMut::new(), BytesMut::new());
        line.output(&mut out, NOW);
        hub.receive(&out, NOW.at);
        hub.output(&mut back, NOW.at);
        if out.len() + back.len() == 0 {
            return (said, done);
        }
        line.receive(&back, NOW);
        done += count_done(line);
        said.push(back.freeze());
    }
}

fn count_done(line: &mut Line) -> usize {
    let mut done = 0;
    while let Some(effect) = line.effect() {
        assert!(matches!(effect, Effect::Done(_, Ok(_))), "{effect:?}");
        done += 1;
    }
    done
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
#[ignore = "takes seconds and prints"]
fn figures_of_a_line() {
    let message = encode::message(&telemetry("m1"));
    let (mut one, mut hub) = (line(), TestHub::kind());
    post_to_all(&mut one, &message, 0);
    let (said, _) = run(&mut one, &mut hub);

    // The client's side alone: what the hub said is said again.
    const LINES: usize = 20;
    let before = resident_bytes();
    let began = Instant::now();
    let lines: Vec<Line> = (0..LINES)
        .map(|_| {
            let mut line = line();
            post_to_all(&mut line, &message, 0);
            for bytes in &said {
                line.output(&mut BytesMut::new(), NOW);
                line.receive(bytes, NOW);
                count_done(&mut line);
            }
            assert_eq!(line.figures().attached, DEVICES);
            line
        })
        .collect();
    let devices = LINES * DEVICES;
    println!("{devices} devices attached in {:?}", began.elapsed());
    println!("{} bytes a device, client's side", (resident_bytes() - before) / devices);
    drop(lines);

    let began = Instant::now();
    let (mut ticket, mut done) = (10_000, 0);
    while done < 500_000 {
        post_to_all(&mut one, &message, ticket);
        ticket += DEVICES as u64;
        done += run(&mut one, &mut hub).1;
    }
    let rate = done as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} messages a second through one line and its hub, on one core");
}
