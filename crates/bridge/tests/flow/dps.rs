//! A double of the Device Provisioning Service: registers in two steps, and can be told to refuse.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cloud::{Asked, GROUP_KEY, HUB, Reply, device_is_good};

pub(crate) const SCOPE: &str = "0ne00F10355";
/// Another provisioning service at the same endpoint, which leads to the first hub alone.
pub(crate) const OTHER_SCOPE: &str = "0ne00F10356";

/// What it says to a registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Assign,
    Status(u16),
    StatusAfter(u16, u64),
    /// The enrolment is switched off.
    Disabled,
    /// Never answers.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Dps {
    /// When, and who.
    pub(crate) registrations: Vec<(i64, String)>,
    pub(crate) all: Verdict,
    pub(crate) devices: BTreeMap<String, Verdict>,
    pub(crate) hub: &'static str,
    /// Those that are good.
    pub(crate) group_keys: Vec<&'static [u8]>,
    /// The keys of the group when each device was assigned last: its hub takes tokens of those until it is assigned anew.
    pub(crate) assigned_with: BTreeMap<String, Vec<&'static [u8]>>,
    /// So many polls are answered 429 first.
    pub(crate) polls_throttled: usize,
    /// Devices that were looked up.
    pub(crate) look_ups: usize,
    /// Between the first answer and the assignment, seconds.
    pub(crate) takes: u64,
    /// Since when a registration is under way.
    under_way: BTreeMap<String, i64>,
    /// Registrations that began while one of the same device was under way.
    pub(crate) overlapping: usize,
}

impl Default for Dps {
    fn default() -> Self {
        Self {
            registrations: Vec::new(),
            all: Verdict::Assign,
            devices: BTreeMap::new(),
            hub: HUB,
            group_keys: vec![GROUP_KEY],
            assigned_with: BTreeMap::new(),
            polls_throttled: 0,
            look_ups: 0,
            takes: 2,
            under_way: BTreeMap::new(),
            overlapping: 0,
        }
    }
}

/// Nobody waits longer than this for a registration.
const FLOW_MS: i64 = 60_000;

impl Dps {
    pub(crate) fn answer(&mut self, asked: &Asked) -> Reply {
        let parts: Vec<_> = asked.path.trim_start_matches('/').split('/').collect();
        let (scope, id, step) = match parts[..] {
            [scope, "registrations", id] => (scope, id, ""),
            [scope, "registrations", id, step, ..] => (scope, id, step),
            _ => return Reply::status(400, "path"),
        };
        assert!([SCOPE, OTHER_SCOPE].contains(&scope), "a configured scope");
        let resource = format!("{scope}/registrations/{id}");
        let hub = if scope == SCOPE { self.hub } else { HUB };
        if asked.method == "PUT" {
            self.begins(id, asked.now);
        }
        if !device_is_good(asked, &resource, id, &self.group_keys) {
            return self.ends(id, Reply::status(401, r#"{"errorCode":401002,"message":"Unauthorized"}"#));
        }
        match (asked.method.as_str(), step) {
            ("PUT", "register") => self.register(id),
            ("POST", _) => self.look_up(hub, id, asked.now),
            ("GET", "operations") => self.assign(hub, id),
            _ => Reply::status(405, ""),
        }
    }

    fn begins(&mut self, id: &str, now: i64) {
        self.registrations.push((now, id.to_owned()));
        let before = self.under_way.insert(id.to_owned(), now);
        self.overlapping += usize::from(before.is_some_and(|before| now - before < FLOW_MS));
    }

    fn ends(&mut self, id: &str, reply: Reply) -> Reply {
        self.under_way.remove(id);
        reply
    }

    fn register(&mut self, id: &str) -> Reply {
        match self.devices.get(id).copied().unwrap_or(self.all) {
            Verdict::Assign => {
                let body = json!({ "operationId": format!("5.{id}"), "status": "assigning" });
                Reply::status(202, &body.to_string()).retry_after(Some(self.takes))
            }
            Verdict::Status(code) => self.ends(id, Reply::status(code, "")),
            Verdict::StatusAfter(code, seconds) => self.ends(id, Reply::status(code, "").retry_after(Some(seconds))),
            Verdict::Disabled => {
                let body = json!({ "operationId": format!("5.{id}"), "status": "disabled" });
                self.ends(id, Reply::status(200, &body.to_string()))
            }
            Verdict::Silent => Reply::Nothing,
        }
    }

    /// As the service knows it, whether or not somebody waits for the answer.
    fn look_up(&mut self, hub: &str, id: &str, now: i64) -> Reply {
        self.look_ups += 1;
        let Some(began) = self.registrations_of(id).last().copied() else { return Reply::status(404, "") };
        if now - began < i64::try_from(self.takes).unwrap() * 1000 {
            return Reply::status(200, &json!({ "registrationId": id, "status": "assigning" }).to_string());
        }
        let state = json!({ "registrationId": id, "assignedHub": hub, "deviceId": id, "status": "assigned" });
        self.ends(id, Reply::status(200, &state.to_string()))
    }

    fn assign(&mut self, hub: &str, id: &str) -> Reply {
        if let Some(left) = self.polls_throttled.checked_sub(1) {
            self.polls_throttled = left;
            return Reply::status(429, "").retry_after(Some(5));
        }
        let state = json!({ "registrationId": id, "assignedHub": hub, "deviceId": id, "status": "assigned" });
        let body = json!({ "operationId": format!("5.{id}"), "status": "assigned", "registrationState": state });
        self.assigned_with.insert(id.to_owned(), self.group_keys.clone());
        self.ends(id, Reply::status(200, &body.to_string()))
    }

    pub(crate) fn registrations_of(&self, device: &str) -> Vec<i64> {
        self.registrations.iter().filter(|(_, id)| id == device).map(|(at, _)| *at).collect()
    }

    /// The most registrations in any minute.
    pub(crate) fn most_in_a_minute(&self) -> usize {
        let times: Vec<_> = self.registrations.iter().map(|(at, _)| *at).collect();
        let from = |i: usize| times[i..].iter().take_while(|at| **at < times[i] + 60_000).count();
        (0..times.len()).map(from).max().unwrap_or(0)
    }
}
