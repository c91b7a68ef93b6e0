//! Frames up and down: the windows in which a device listens, and what its next uplink says of what it got.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::application::{Application, JOURNAL_MAX, Uplink};
use crate::device::Queued;
use crate::downlink::{Downlink, Retry, bytes};
use crate::event::{Event, EventKind, Heard, Placed};
use crate::faults::{Failure, Trouble};
use crate::radio::{BAND_PAYLOAD_MAX, DataRate, Transmission};
use crate::refusal::Refusal;

/// What became of the head of a queue.
enum Turn {
    /// It stays, and all behind it.
    Waits,
    /// It is gone and the window is still free.
    Dropped,
    /// It went out, or failed when it should have.
    Gone,
}

impl Application {
    /// An uplink is heard: what it acknowledges is told first, then the uplink, then what goes out in its window.
    pub(super) fn hear(&mut self, uplink: &Uplink, fresh: &mut Vec<Event>) -> Result<(), Refusal> {
        let payload = bytes(&uplink.frm_payload)?;
        if uplink.f_port > 255 || payload.len() > BAND_PAYLOAD_MAX {
            return Err(Refusal::invalid("f_port: at most 255; frm_payload: at most 242 bytes"));
        }
        let id = self.ids.correlation("gs:uplink:", self.now_ms);
        let envelope = self.envelope(&uplink.device)?;
        let device = self.device(&uplink.device)?;
        let acknowledges = uplink.ack.unwrap_or(device.acknowledges);
        let Some(session) = &mut device.session else { return Err(Refusal::no_device_session()) };
        // Nobody acknowledges what was never on the air.
        let acknowledges = acknowledges && session.was_radioed;
        let f_cnt = session.last_f_cnt_up.map_or(0, |last| last.saturating_add(1));
        session.last_f_cnt_up = Some(f_cnt);
        session.last_confirmed_ms = None;
        let session_key_id = session.key_id.clone();
        if let Some(item) = session.unanswered.take() {
            self.settle(&uplink.device, item, acknowledges, &id, fresh)?;
        }
        let (f_port, confirmed, data_rate) = (uplink.f_port, uplink.confirmed, uplink.data_rate);
        let heard = Heard { f_port, f_cnt, payload: &payload, confirmed, data_rate };
        fresh.push(envelope.uplink(&session_key_id, &heard, &id));
        self.transmit(&uplink.device, Some(data_rate), fresh);
        self.class_c(fresh);
        Ok(())
    }

    /// What the device acknowledges, or does not.
    fn settle(
        &mut self,
        name: &str,
        item: Queued,
        acknowledges: bool,
        uplink: &str,
        fresh: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let withheld = |trouble: &Trouble| matches!(trouble, Trouble::Nack).then_some(());
        let acknowledged = acknowledges && self.faults.strike(name, withheld).is_none();
        let envelope = self.envelope(name)?;
        let (capacity, default) = (self.limits.queue_capacity, self.limits.default_attempts);
        let Some(session) = &mut self.device(name)?.session else { return Ok(()) };
        if acknowledged {
            fresh.push(envelope.answered(EventKind::DownlinkAck, &item.downlink, session.placed(&item), uplink));
            return Ok(());
        }
        let mut item = item;
        let retry = item.downlink.confirmed_retry.get_or_insert(Retry::default());
        retry.attempt = retry.attempt.saturating_add(1);
        let max = retry.max_attempts.unwrap_or(default);
        let is_spent = retry.attempt > max;
        let placed = session.placed(&item);
        let nack = envelope.answered(EventKind::DownlinkNack, &item.downlink, placed, uplink);
        let is_full = session.queue.len() >= capacity;
        if !is_spent && !is_full {
            // Behind all that waits, with a new counter, and without a word.
            session.append(item.downlink);
            fresh.push(nack);
            return Ok(());
        }
        let error = if is_spent { Refusal::max_retries_reached(max) } else { Refusal::queue_full() };
        let key = session.key_id.clone();
        let error = self.numbered(error);
        let placed = Placed { session_key_id: &key, f_cnt: item.f_cnt };
        fresh.push(envelope.failed(&item.downlink, Some(placed), &error));
        // The server tells of the end before it passes on what led to it; where queueing failed it passes on nothing.
        fresh.extend(is_spent.then_some(nack));
        Ok(())
    }

    /// Sends what may go: one in the window of an uplink, at whose rate it is answered; in class C all that need not
    /// wait.
    pub(super) fn transmit(&mut self, name: &str, window: Option<DataRate>, fresh: &mut Vec<Event>) {
        loop {
            match self.turn(name, window, fresh) {
                Turn::Dropped => {}
                Turn::Gone if window.is_none() => {}
                Turn::Waits | Turn::Gone => return,
            }
        }
    }

    fn turn(&mut self, name: &str, window: Option<DataRate>, fresh: &mut Vec<Event>) -> Turn {
        let Ok(envelope) = self.envelope(name) else { return Turn::Waits };
        let Some(device) = self.devices.get(name) else { return Turn::Waits };
        let may_go = match (window, device.session.as_ref().and_then(|session| session.queue.front())) {
            (_, None) => false,
            // What asks for class B or C never goes in a window of class A.
            (Some(_), Some(head)) => head.downlink.class_b_c.is_none(),
            (None, Some(_)) => self.class_c_at_ms(device).is_some_and(|at_ms| at_ms <= self.now_ms),
        };
        if !may_go {
            return Turn::Waits;
        }
        let second = device.rx2_data_rate;
        // Two windows follow an uplink, and the server takes the one with more room.
        let data_rate = window.map_or(second, |first| first.max(second));
        let Some(item) = self.taken(name) else { return Turn::Waits };
        let key = self.session_key(name);
        let placed = Placed { session_key_id: &key, f_cnt: item.f_cnt };
        let (length, max) = (item.downlink.payload().len(), data_rate.payload_max());
        if length > max {
            let error = self.numbered(Refusal::too_long(length, max));
            fresh.push(envelope.failed(&item.downlink, Some(placed), &error));
            return Turn::Dropped;
        }
        if let Some(failure) = self.faults.strike(name, failure) {
            let is_under_way = failure.is_after_scheduling();
            let error = self.numbered(failed(failure));
            let told = if is_under_way { item.downlink.on_air() } else { item.downlink.clone() };
            fresh.push(envelope.failed(&told, Some(placed), &error));
            if is_under_way {
                self.await_answer(name, item, false);
            }
            return Turn::Gone;
        }
        fresh.push(envelope.sent(&item.downlink, placed));
        self.radio(name, item, data_rate);
        Turn::Gone
    }

    fn taken(&mut self, name: &str) -> Option<Queued> {
        self.devices.get_mut(name)?.session.as_mut()?.queue.pop_front()
    }

    fn session_key(&self, name: &str) -> String {
        let session = self.devices.get(name).and_then(|device| device.session.as_ref());
        session.map(|session| session.key_id.clone()).unwrap_or_default()
    }

    /// A gateway transmits it.
    fn radio(&mut self, name: &str, item: Queued, data_rate: DataRate) {
        self.radioed += 1;
        if self.journal.len() == JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.journal.push_back(Transmission {
            number: self.radioed,
            device: name.to_owned(),
            f_cnt: item.f_cnt,
            f_port: item.downlink.f_port,
            frm_payload: STANDARD.encode(item.downlink.payload()),
            confirmed: item.downlink.confirmed,
            correlation_ids: item.downlink.correlation_ids.clone(),
            data_rate,
            at_ms: self.now_ms,
        });
        self.await_answer(name, item, true);
    }

    /// By the Network Server's book, which is written when a gateway takes a downlink and not when it has transmitted
    /// it.
    fn await_answer(&mut self, name: &str, item: Queued, was_radioed: bool) {
        let now_ms = self.now_ms;
        let Some(session) = self.devices.get_mut(name).and_then(|device| device.session.as_mut()) else { return };
        if item.downlink.confirmed {
            session.last_confirmed_ms = Some(now_ms);
            // One that still waits for its acknowledgement is forgotten, without an event: class C after its time is
            // up.
            let downlink = Downlink { decoded_payload: None, ..item.downlink };
            session.was_radioed = was_radioed;
            session.unanswered = Some(Queued { downlink, f_cnt: item.f_cnt });
        }
    }
}

fn failure(trouble: &Trouble) -> Option<Failure> {
    match trouble {
        Trouble::Fail(failure) => Some(failure.clone()),
        _ => None,
    }
}

fn failed(failure: Failure) -> Refusal {
    let Failure { name, namespace, message_format, attributes, code } = failure;
    Refusal { attributes, ..Refusal::new(code, &namespace, &name, &message_format) }
}
