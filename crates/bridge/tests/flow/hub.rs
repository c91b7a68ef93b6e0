//! A double of IoT Hub: takes telemetry over HTTPS, keeps what it took in order, and can be told to misbehave. All hubs
//! share one record, each entry says which hub it was.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cloud::{Asked, GROUP_KEY, Reply, SECONDARY_KEY, TRAVEL_MS, device_is_good};
use crate::registry::{POLICY_HUB, Registry};

/// What a hub says to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Say {
    #[default]
    Yes,
    /// Takes the message and closes the connection instead of answering.
    YesUnheard,
    /// Takes the message and never answers.
    YesSilent,
    /// Closes the connection; does not have the message.
    Cut,
    Status(u16),
    StatusAfter(u16, u64),
    /// The quota of the day is used up.
    Quota,
    /// The device is switched off here.
    Disabled,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Milliseconds.
    pub(crate) at: i64,
    pub(crate) hub: String,
    pub(crate) device: String,
    pub(crate) message_id: String,
    /// From the body.
    pub(crate) application: String,
    pub(crate) sender: String,
    pub(crate) counter: u64,
    /// What the device measured, as it was sent.
    pub(crate) payload: String,
    /// The hub has the message.
    pub(crate) taken: bool,
    /// And said so.
    pub(crate) heard: bool,
}

type Keys = BTreeMap<String, Vec<&'static [u8]>>;

#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(crate) attempts: Vec<Attempt>,
    /// For everybody.
    pub(crate) all: Say,
    /// For one device, at any hub.
    pub(crate) devices: BTreeMap<String, Say>,
    /// For one device at one hub, before all others.
    pub(crate) at: BTreeMap<(String, String), Say>,
    /// For the next requests of a device, before all others.
    pub(crate) next: BTreeMap<String, VecDeque<Say>>,
    /// Of the hub that is reached by a policy.
    pub(crate) registry: Registry,
}

impl Hub {
    /// `keys`: the groups' keys by which each device was made known to this hub.
    pub(crate) fn answer(&mut self, host: &str, asked: &Asked, keys: &Keys) -> Reply {
        if asked.method == "PUT" && host == POLICY_HUB {
            return self.registry.answer(asked);
        }
        let Some(device) = device_of(&asked.path) else { return Reply::status(404, "no such path") };
        let say = match self.stranger(host, &device, asked, keys) {
            Some(status) => Say::Status(status),
            None => self.say(host, &device),
        };
        let mut attempt = read(asked, host, &device);
        attempt.taken = matches!(say, Say::Yes | Say::YesUnheard | Say::YesSilent);
        attempt.heard = say == Say::Yes;
        self.attempts.push(attempt);
        match say {
            Say::Yes => Reply::status(204, ""),
            Say::YesSilent => Reply::Nothing,
            Say::YesUnheard | Say::Cut => Reply::Cut,
            Say::Status(code) => Reply::status(code, ""),
            Say::StatusAfter(code, seconds) => Reply::status(code, "").retry_after(Some(seconds)),
            Say::Quota => Reply::status(403, r#"{"Message":"ErrorCode:IotHubQuotaExceeded;used up"}"#),
            Say::Disabled => Reply::status(401, r#"{"Message":"ErrorCode:IoTHubUnauthorized;DEVICE_DISABLED"}"#),
        }
    }

    /// The status for who is not let in.
    fn stranger(&self, host: &str, device: &str, asked: &Asked, keys: &Keys) -> Option<u16> {
        let resource = format!("{host}/devices/{device}");
        if host == POLICY_HUB {
            return self.registry.stranger(&resource, device, asked);
        }
        // One that was there before the test began.
        let keys = keys.get(device).map_or(&[GROUP_KEY, SECONDARY_KEY][..], Vec::as_slice);
        (!device_is_good(asked, &resource, device, keys)).then_some(401)
    }

    fn say(&mut self, host: &str, device: &str) -> Say {
        let next = self.next.get_mut(device).and_then(VecDeque::pop_front);
        let here = self.at.get(&(host.to_owned(), device.to_owned()));
        next.or(here.copied()).or(self.devices.get(device).copied()).unwrap_or(self.all)
    }

    pub(crate) fn taken(&self) -> usize {
        self.attempts.iter().filter(|a| a.taken).count()
    }

    /// Different messages of a device that the hub has.
    pub(crate) fn taken_of(&self, device: &str) -> usize {
        let ids: std::collections::BTreeSet<_> = self.of(device).filter(|a| a.taken).map(|a| &a.message_id).collect();
        ids.len()
    }

    pub(crate) fn of(&self, device: &str) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |a| a.device == device)
    }

    /// The process that asked was killed just now: it has not heard what is still on its way.
    pub(crate) fn killed(&mut self, now: i64) {
        let on_its_way = self.attempts.iter_mut().rev().take_while(|a| now <= a.at + TRAVEL_MS + 2);
        on_its_way.for_each(|attempt| attempt.heard = false);
    }

    /// Every device's messages came in the order of their counters, from 1, none left out; a message came again
    /// only when its answer was lost, at once, and under the same id. Returns how many there are and how many of them
    /// were repeated.
    pub(crate) fn check_order(&self) -> (usize, usize) {
        let mut last: BTreeMap<&str, &Attempt> = BTreeMap::new();
        let (mut messages, mut repeats) = (0, 0);
        for attempt in self.attempts.iter().filter(|a| a.taken) {
            match last.insert(&attempt.device, attempt) {
                None => assert_eq!(attempt.counter, 1, "the first of {}", attempt.device),
                Some(before) if before.counter == attempt.counter => {
                    assert!(!before.heard, "{attempt:?} again although it was answered");
                    assert_eq!(before.message_id, attempt.message_id, "a repeat has its name");
                    repeats += 1;
                    continue;
                }
                Some(before) => assert_eq!(attempt.counter, before.counter + 1, "after {before:?}"),
            }
            messages += 1;
        }
        (messages, repeats)
    }
}

fn device_of(path: &str) -> Option<String> {
    let id = path.strip_prefix("/devices/")?.strip_suffix("/messages/events")?;
    Some(percent_encoding::percent_decode_str(id).decode_utf8().ok()?.into_owned())
}

fn read(asked: &Asked, hub: &str, device: &str) -> Attempt {
    let batch: Value = serde_json::from_slice(&asked.body).expect("the batch is JSON");
    let message = &batch[0];
    let body = STANDARD.decode(message["body"].as_str().expect("a body")).expect("base64");
    let body: Value = serde_json::from_slice(&body).expect("telemetry is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Attempt {
        at: asked.now,
        hub: hub.to_owned(),
        device: device.to_owned(),
        message_id: text(&message["properties"]["iothub-messageid"]),
        application: text(&body["ApplicationID"]),
        sender: text(&body["DeviceID"]),
        counter: body["Counter"].as_u64().expect("every message here has a counter"),
        payload: text(&body["PayloadRaw"]),
        taken: false,
        heard: false,
    }
}
