//! Downlinks are handed in: all or none of a request.

use crate::application::{Application, QUEUED_MAX};
use crate::device::Device;
use crate::downlink::{Downlink, Retry};
use crate::event::{Envelope, Event, sorted};
use crate::faults::Trouble;
use crate::radio::BAND_PAYLOAD_MAX;
use crate::refusal::Refusal;

/// A time that is nearer than this is past for a gateway that has to be told of it: half of the Network Server's lead
/// of 5 s.
const LEAD_MS: i64 = 2_500;
/// Where a formatter chose no port.
const ENCODED_PORT: u32 = 1;

impl Application {
    pub(super) fn hand_in(
        &mut self,
        device: &str,
        downlinks: Vec<Downlink>,
        replaces: bool,
        fresh: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let fault = self.faults.strike(device, |trouble| match trouble {
            Trouble::Answer { status, retry_after_s, taken } => {
                Some((Refusal::of_status(*status, *retry_after_s), *taken))
            }
            _ => None,
        });
        match fault {
            Some((refusal, false)) => Err(refusal),
            Some((refusal, true)) => self.queue(device, downlinks, replaces, fresh).and(Err(refusal)),
            None => self.queue(device, downlinks, replaces, fresh),
        }
    }

    fn queue(
        &mut self,
        name: &str,
        downlinks: Vec<Downlink>,
        replaces: bool,
        fresh: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let attempts_max = self.limits.attempts_max;
        let device = self.device(name)?;
        // Up to here an error is answered and no more; from here on each downlink is also told to have failed.
        let read = downlinks.into_iter().map(|downlink| prepared(device, downlink, attempts_max));
        let mut downlinks = read.collect::<Result<Vec<_>, _>>()?;
        let now_ms = self.now_ms;
        for downlink in &mut downlinks {
            let id = self.ids.correlation("as:downlink:", now_ms);
            downlink.correlation_ids.push(id);
            downlink.correlation_ids = sorted(&downlink.correlation_ids);
        }
        // Together with all others: this machine's bound, not the Stack's.
        let room = QUEUED_MAX.saturating_sub(self.queued());
        let capacity = self.limits.queue_capacity;
        let device = self.device(name)?;
        let problem = problem(device, &downlinks, replaces, capacity, now_ms)
            .or_else(|| (downlinks.len() > room).then(Refusal::queue_full));
        if let Some(problem) = problem {
            let problem = self.numbered(problem);
            let envelope = self.envelope(name)?;
            fresh.extend(downlinks.iter().map(|downlink| envelope.failed(downlink, None, &problem)));
            return Err(problem);
        }
        let envelope = self.envelope(name)?;
        fresh.extend(downlinks.iter().map(|downlink| envelope.queued(downlink)));
        let Some(session) = &mut self.device(name)?.session else { return Err(Refusal::no_device_session()) };
        if replaces {
            session.queue.clear();
        }
        downlinks.into_iter().for_each(|downlink| session.append(downlink));
        self.class_c(fresh);
        Ok(())
    }

    pub(super) fn envelope(&mut self, name: &str) -> Result<Envelope, Refusal> {
        let (application, now_ms) = (self.name.clone(), self.now_ms);
        self.device(name).map(|device| Envelope::of(&application, device, now_ms))
    }
}

/// Through the device's formatter, and with the first attempt.
fn prepared(device: &Device, downlink: Downlink, attempts_max: u32) -> Result<Downlink, Refusal> {
    let mut downlink = downlink;
    match (&downlink.frm_payload, &downlink.decoded_payload, &device.formatter) {
        (None, None, _) => return Err(Refusal::no_payload()),
        (None, Some(_), Some((f_port, bytes))) => {
            downlink.frm_payload = Some(bytes.clone());
            let chosen = if *f_port == 0 { ENCODED_PORT } else { *f_port };
            downlink.f_port = if downlink.f_port == 0 { chosen } else { downlink.f_port };
        }
        // Without a formatter an object becomes no bytes, and is sent as such.
        (None, Some(_), None) | (Some(_), _, _) => {}
    }
    if downlink.confirmed {
        let retry = downlink.confirmed_retry.get_or_insert(Retry { attempt: 1, max_attempts: None });
        if retry.max_attempts.is_some_and(|max| max > attempts_max) {
            return Err(Refusal::too_many_attempts(attempts_max));
        }
    }
    Ok(downlink)
}

/// What keeps all of them out.
fn problem(device: &Device, downlinks: &[Downlink], replaces: bool, capacity: usize, now_ms: i64) -> Option<Refusal> {
    if downlinks.iter().any(|downlink| downlink.f_port == 0) {
        return Some(Refusal::no_f_port());
    }
    let Some(session) = &device.session else { return Some(Refusal::no_device_session()) };
    for downlink in downlinks {
        let length = downlink.payload().len();
        if length > BAND_PAYLOAD_MAX {
            return Some(Refusal::too_long(length, BAND_PAYLOAD_MAX));
        }
        if downlink.absolute_time_ms().is_some_and(|at_ms| at_ms < now_ms + LEAD_MS) {
            return Some(Refusal::expired());
        }
    }
    let stays = if replaces { 0 } else { session.queue.len() };
    // An empty push changes nothing, however full the queue is.
    (!downlinks.is_empty() && stays + downlinks.len() > capacity).then(Refusal::queue_full)
}
