//! Both ways at once, over pipes that are smaller than what is said.

use tokio::io::duplex;

use super::*;
use crate::cloud::tests::cloud_with;
use crate::faults::Faults;

/// Larger than any pipe here.
const BULK: usize = 1 << 20;

/// Says much once it has heard something, listens meanwhile if `LISTENS`, and is over when it has heard as much.
struct Speaker<const LISTENS: bool> {
    heard: usize,
    has_spoken: bool,
}

impl<const LISTENS: bool> Talks for Speaker<LISTENS> {
    const PROTOCOL: Protocol = Protocol::Amqp;

    fn begin(_: ConnectionId, _: Scene<'_>) -> Self {
        Self { heard: 0, has_spoken: false }
    }

    fn receive(&mut self, bytes: &[u8], _: Scene<'_>) {
        self.heard += bytes.len();
    }

    fn notes(&mut self, _: Notes, _: Scene<'_>) {}

    fn tick(&mut self, _: Scene<'_>) {}

    fn deadline(&self, _: Scene<'_>) -> Option<Duration> {
        None
    }

    fn output(&mut self, out: &mut BytesMut, _: Scene<'_>) {
        if self.heard > 0 && !std::mem::replace(&mut self.has_spoken, true) {
            out.extend_from_slice(&vec![1; BULK]);
        }
    }

    fn reads(&self) -> bool {
        true
    }

    fn reads_while_writing(&self) -> bool {
        LISTENS
    }

    fn fate(&self) -> Option<Fate> {
        None
    }

    fn is_over(&self) -> bool {
        self.heard >= BULK
    }

    fn cut(&mut self, _: Scene<'_>) {}

    fn gone(&mut self, _: Scene<'_>) {}
}

/// Has notes without end, and is over when it has heard enough, or has seen that it will not.
struct Harried {
    heard: usize,
    noted: usize,
}

impl Talks for Harried {
    const PROTOCOL: Protocol = Protocol::Mqtt;

    fn begin(_: ConnectionId, scene: Scene<'_>) -> Self {
        scene.cloud.directory().tell_time();
        Self { heard: 0, noted: 0 }
    }

    fn receive(&mut self, bytes: &[u8], scene: Scene<'_>) {
        self.heard += bytes.len();
        scene.cloud.count_close("bytes");
    }

    fn notes(&mut self, _: Notes, scene: Scene<'_>) {
        self.noted += 1;
        scene.cloud.count_close("notes");
        scene.cloud.directory().tell_time();
    }

    fn tick(&mut self, _: Scene<'_>) {}

    fn deadline(&self, _: Scene<'_>) -> Option<Duration> {
        None
    }

    fn output(&mut self, _: &mut BytesMut, _: Scene<'_>) {}

    fn reads(&self) -> bool {
        true
    }

    fn fate(&self) -> Option<Fate> {
        (self.heard >= BULK || self.noted > BULK).then_some(Fate::Cut)
    }

    fn is_over(&self) -> bool {
        false
    }

    fn cut(&mut self, _: Scene<'_>) {}

    fn gone(&mut self, _: Scene<'_>) {}
}

#[tokio::test(start_paused = true)]
async fn of_notes_and_bytes_that_never_end_neither_waits_for_the_other() {
    let (cloud, _) = cloud_with(&[], Faults::default());
    let (ours, mut theirs) = duplex(2 * BULK);
    theirs.write_all(&vec![2; BULK]).await.unwrap();
    drive::<Harried>(ours, Arc::clone(&cloud), Plug::default()).await;
    let met = cloud.counts().mqtt.closes;
    let reads = BULK / READ_BYTES;
    assert_eq!((met["bytes"], met["notes"]), (reads as u64, reads as u64), "by turns");
}

/// A client that writes all it has before it reads; how long it was waited for, and what it read.
async fn meet<const LISTENS: bool>() -> (Duration, usize) {
    let (cloud, _) = cloud_with(&[], Faults::default());
    let (ours, mut theirs) = duplex(4096);
    let began = Instant::now();
    let driven = tokio::spawn(drive::<Speaker<LISTENS>>(ours, cloud, Plug::default()));
    let mut said = Vec::new();
    if theirs.write_all(&vec![2; BULK]).await.is_ok() {
        theirs.read_to_end(&mut said).await.unwrap();
    }
    drop(theirs);
    driven.await.unwrap();
    (began.elapsed(), said.len())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_writes_much_before_it_reads_is_listened_to() {
    let (waited, said) = meet::<true>().await;
    assert!(said == BULK && waited < LINGER_MAX, "{said} {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_may_not_is_cut_after_a_minute() {
    let (waited, said) = meet::<false>().await;
    assert!(said == 0 && waited >= STALL_MAX, "{said} {waited:?}");
}
