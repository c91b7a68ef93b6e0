//! A stranger at one of the simulator's doors, with everything behind it: HTTP, AMQP or MQTT, the services, the answers.
//!
//! The input is a script. Its first byte names the door; then each byte says what happens next: the script's own bytes are
//! written, or a piece that means something at this door (so that the stranger gets past the first words), whole or with a
//! byte of it changed; time passes; what was answered is read. In the end the stranger hangs up, and the door must close.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use simulator::{Options, Unplugged};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

mod bounds;
mod pieces;

use pieces::Pieces;

/// What a connection may cost whatever it says: buffers of HTTP and AMQP, the runtime, the services themselves.
const ROOM_BYTES: usize = 64 << 10;
/// What is between the stranger and the door.
const WIRE_BYTES: usize = 8 << 10;
/// A faulty connection may be held for ten minutes; nothing is held for longer.
const CLOSES_WITHIN: Duration = Duration::from_secs(700);
/// In virtual time: whoever is not read from for so long is busy with something else.
const WRITES_WITHIN: Duration = Duration::from_secs(5);
const STEPS_MAX: usize = 64;

fuzz_target!(|data: &[u8]| bounds::within(data.len() * 8 + ROOM_BYTES, || play(data)));

fn play(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let Some((door, script)) = data.split_first() else { return };
        let services = services();
        let (stranger, wire) = tokio::io::duplex(WIRE_BYTES);
        let door = door % 3;
        let served = tokio::spawn(async move {
            match door {
                0 => services.https(wire).await,
                1 => services.amqp(wire).await,
                _ => services.mqtt(wire).await,
            }
        });
        talk(stranger, Pieces::of(door), script).await;
        timeout(CLOSES_WITHIN, served).await.expect("the door closes").expect("nothing panics behind it");
    });
}

fn services() -> Unplugged {
    let options = Options {
        hosts: vec![pieces::HUB.to_owned()],
        id_scope: Some(pieces::SCOPE.to_owned()),
        group_key: Some(pieces::GROUP_KEY.to_owned()),
        ..Options::new(Arc::new(|| pieces::NOW_MS))
    };
    let services = Unplugged::new(&options).expect("services in memory");
    services.enrol(&[pieces::DEVICE.to_owned()]).expect("a device");
    services
}

async fn talk(mut stranger: DuplexStream, pieces: Pieces, mut script: &[u8]) {
    for _ in 0..STEPS_MAX {
        let Some((what, rest)) = script.split_first() else { return };
        script = rest;
        match what {
            0..=31 => {
                let length = usize::from(script.first().copied().unwrap_or(0)).min(script.len());
                let (bytes, rest) = script.split_at(length);
                script = rest;
                write(&mut stranger, bytes).await;
            }
            32..=39 => tokio::time::advance(Duration::from_secs(u64::from(what - 31) * 40)).await,
            40..=47 => read(&mut stranger).await,
            _ => {
                let mut piece = pieces.get(usize::from(what - 48)).to_vec();
                if let [change, at, to, rest @ ..] = script
                    && change % 4 == 0
                {
                    script = rest;
                    let at = usize::from(*at) % piece.len().max(1);
                    if let Some(byte) = piece.get_mut(at) {
                        *byte = *to;
                    }
                }
                write(&mut stranger, &piece).await;
                read(&mut stranger).await;
            }
        }
    }
}

/// As much as the door takes: it may be gone, or listen to nobody.
async fn write(stranger: &mut DuplexStream, bytes: &[u8]) {
    let _ = timeout(WRITES_WITHIN, stranger.write_all(bytes)).await;
}

/// What is there now.
async fn read(stranger: &mut DuplexStream) {
    let mut bytes = [0; 4096];
    let _ = timeout(Duration::from_millis(1), stranger.read(&mut bytes)).await;
}
