//! The walks of messages for whoever collects traces, by OTLP: one trace a message, from the webhook to the hub, of a share of them.
//!
//! Promises that nothing in the flow waits for a collector: what happened is put into a bounded mailbox, or counted as lost. A trace's
//! id is the message id, so that a message is either traced wholly or not at all, by whichever process, and is found by what the
//! page, the log and IoT Hub call it. Relies on the ring of [`journeys`](crate::feed::journeys) for what is told. What the network
//! sends along (`traceparent`) is not looked at: no header of a request is kept with a message.

mod otlp; // what stands on the wire
mod story; // PURE: from a walk to spans
mod teller; // the shell

use lorawan::fingerprint::Fingerprint;
use tokio::sync::mpsc;

pub use teller::{Teller, teller};

use crate::config::Share;
use crate::feed::journeys::Journey;
use crate::world::Stamp;

/// What happened and was not looked at yet: 700 bytes each at the most, 3 MB. At a hundredth of 2 000 messages a second this is
/// filled within three minutes of a collector that says nothing.
const TOLD_MAX: usize = 4096;

/// What is to be told.
#[derive(Debug)]
enum Told {
    /// The walk of the message at this position has ended.
    Ended(u64),
    /// A send failed, for this cause.
    Failed(Box<Journey>, Stamp, Box<str>),
}

/// Where the flow tells it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    told: mpsc::Sender<Told>,
    sample: Share,
}

impl Traces {
    /// Whether this message is among those that are traced. Those that were never understood have no message id.
    fn is_traced(&self, seq: u64, message_id: Option<Fingerprint>) -> bool {
        self.sample.has(&story::trace_id(seq, message_id))
    }

    /// A walk has ended, well or not. False: it is lost, because the mailbox is full.
    pub fn ended(&self, seq: u64, message_id: Option<Fingerprint>) -> bool {
        !self.is_traced(seq, message_id) || self.told.try_send(Told::Ended(seq)).is_ok()
    }

    /// A counted attempt to send it failed. False: as above.
    pub fn failed(&self, journey: impl FnOnce() -> Option<Journey>, at: Stamp, cause: &str) -> bool {
        let Some(journey) = journey() else { return true };
        let told = |journey: Journey| Told::Failed(Box::new(journey), at, cause.into());
        !self.is_traced(journey.seq, journey.message_id) || self.told.try_send(told(journey)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(share: f64) -> (Traces, mpsc::Receiver<Told>) {
        let (told, receiver) = mpsc::channel(TOLD_MAX);
        (Traces { told, sample: Share::new(share).expect("a share") }, receiver)
    }

    #[test]
    fn what_has_no_room_is_lost_and_nobody_waits() {
        let (traces, _receiver) = traces(1.0);
        let told = (0..TOLD_MAX as u64 + 10).filter(|seq| traces.ended(*seq, None)).count();
        assert_eq!(told, TOLD_MAX);
        let journey = || Some(Journey::default());
        assert!(!traces.failed(journey, Stamp::default(), "throttled"));
    }

    #[test]
    fn a_message_is_among_the_sampled_by_its_id_alone() {
        let (traces, mut receiver) = traces(0.5);
        let id = |byte: u8| {
            Some(Fingerprint([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, byte, 0, 0, 0, 0, 0, 0]))
        };
        assert!(traces.ended(1, id(0x7f)) && traces.ended(2, id(0x80)) && traces.ended(3, id(0x7f)));
        let told: Vec<_> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert!(matches!(told[..], [Told::Ended(1), Told::Ended(3)]), "{told:?}");
    }
}
