//! One error at one moment: what the client tells, what the bridge does with it, and whether anybody else notices.

use std::time::Duration;

use azure::hub::amqp::AmqpHub;
use azure::hub::{SendError, Telemetry, Why};
use bridge::device::decide::{Effect, HOLD, Moment, Remedies, after_send};
use serde_json::{Value, json};
use simulator::Status;

use super::Cells;
use super::rows::{How, Row};
use crate::caller::{deliver, message};
use crate::processes::until;
use crate::site::{Device, Site, unpaced};
use crate::tap::Tap;

/// No cell takes longer; the longest waits for a token that comes when it is too late.
const PATIENCE: Duration = Duration::from_secs(20);
/// Over a small session: some frames each.
const BYTES: usize = 3_000;
const FRAME_BYTES: u32 = 512;
/// 2025-11-23T12:00:00Z
const NOON: i64 = 1_763_899_200_000;
/// As long as a simulator stops in the middle of a message, so that an operator can act meanwhile.
const PAUSE_MS: u32 = 1_000;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Idle,
    MidTransfer,
    Unsettled,
    Attach,
    Token,
}

impl When {
    fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::MidTransfer => "mid_transfer",
            Self::Unsettled => "unsettled",
            Self::Attach => "attach",
            Self::Token => "cbs",
        }
    }
}

/// All cells of a row.
pub(super) async fn all(site: &Site, row: &Row) -> Cells {
    let mut cells = Cells::default();
    if matches!(row.how, How::Token(_)) {
        cells[3] = Some(Cell::start(site, row, When::Token).await.run(action(row)).await);
        return cells;
    }
    for (cell, when) in cells.iter_mut().zip([When::Idle, When::MidTransfer, When::Unsettled, When::Attach]) {
        *cell = Some(Cell::start(site, row, when).await.run(action(row)).await);
    }
    if row.rejects() {
        let action = json!({"reject": {"condition": row.condition, "description": row.description()}});
        let before = Cell::start(site, row, When::MidTransfer).await.run(action.clone()).await;
        let after = Cell::start(site, row, When::Unsettled).await.run(action).await;
        cells[4] = Some(if before == after { before } else { format!("{before}, and once recorded: {after}") });
    }
    cells
}

/// What the simulator is asked to do.
fn action(row: &Row) -> Value {
    let condition = if row.condition.is_empty() { Value::Null } else { json!(row.condition) };
    let description = row.description();
    match row.how {
        How::Detach { closed } => {
            json!({"detach": {"condition": condition, "description": description, "closed": closed}})
        }
        How::End => json!({"end": {"condition": condition, "description": description}}),
        How::Close => json!({"close": {"condition": condition, "description": description}}),
        How::Reset => json!("drop"),
        How::Token(status) => json!({"cbs": {"status": status, "description": description}}),
        // By hand, while the simulator waits.
        How::SwitchedOff(_) | How::Deleted => json!("no_disposition"),
    }
}

/// A connection with two devices: one in trouble, and a bystander.
struct Cell<'a> {
    site: &'a Site,
    row: &'a Row,
    when: When,
    tap: std::sync::Arc<Tap>,
    hub: AmqpHub,
    message: Telemetry,
    recorded_before: usize,
}

impl<'a> Cell<'a> {
    async fn start(site: &'a Site, row: &'a Row, when: When) -> Self {
        let tap = site.tap();
        let hub = site.hub(site.amqp_port(), &tap, unpaced());
        let recorded_before = site.ledger.all().len();
        let cell = Self { site, row, when, tap, hub, message: message("m", 1, BYTES), recorded_before };
        cell.set_faults(&[]);
        deliver(&cell.hub, cell.bystander(), &message("m", 0, BYTES)).await;
        if !cell.is_opening() {
            deliver(&cell.hub, cell.victim(), &message("m", 0, BYTES)).await;
        }
        cell
    }

    /// The device is on its way to its link.
    fn is_opening(&self) -> bool {
        matches!(self.when, When::Attach | When::Token)
    }

    fn victim(&self) -> &'a Device {
        &self.site.devices[0]
    }

    fn bystander(&self) -> &'a Device {
        &self.site.devices[1]
    }

    /// These faults, on a connection on which a message does not fit into what may be sent at once.
    fn set_faults(&self, faults: &[Value]) {
        let gateway = if self.row.how == How::SwitchedOff("gwv1") { "gwv1" } else { "gwv2" };
        let faults = json!({"amqp": {
            "faults": faults, "gateway": gateway, "session_window": 1, "frame_bytes_max": FRAME_BYTES,
        }});
        self.site.simulator.set_faults(serde_json::from_value(faults).expect("these are faults"));
    }

    fn fault(&self, action: &Value) -> Value {
        // Of a device that comes, as long as it comes; else once.
        let stays = self.is_opening() && !self.row.is_of_connection();
        let when = if stays { json!("always") } else { json!({"next": 1}) };
        json!({"devices": [&*self.victim().id], "state": self.when.word(), "when": when, "action": action})
    }

    async fn run(self, action: Value) -> String {
        let seen = match self.row.how {
            How::SwitchedOff(_) | How::Deleted => self.by_hand().await,
            _ => self.by_fault(&action).await,
        };
        self.nobody_else_noticed().await;
        self.hub.close().await;
        seen
    }

    async fn send(&self) -> Result<(), SendError> {
        let Device { id, key } = self.victim();
        self.hub.send(id, key, &self.message).await.map(drop)
    }

    async fn by_fault(&self, action: &Value) -> String {
        self.set_faults(&[self.fault(action)]);
        if self.when == When::Idle {
            self.link_is_gone().await;
        }
        let outcome = self.send().await;
        self.set_faults(&[]);
        let seen = verdict(&outcome);
        let is_buried = seen.ends_with("buried");
        if outcome.is_err() && !is_buried {
            if matches!(&outcome, Err(error) if matches!(error.why, Why::Stolen { .. })) {
                // Keeping still is over.
                self.hub.forget(&self.victim().id);
            }
            self.goes_again().await;
        }
        let recorded = usize::from(self.when == When::Unsettled) + usize::from(!is_buried);
        assert_eq!(self.recorded(), recorded, "{}, {:?}: recorded so often", self.row.title(), self.when);
        seen
    }

    async fn by_hand(&self) -> String {
        let simulator = &self.site.simulator;
        let word = if self.when == When::MidTransfer { "delay" } else { "no_disposition" };
        let action = if word == "delay" { json!({"delay": {"ms": PAUSE_MS}}) } else { json!(word) };
        let acted = || simulator.counts().amqp.faults.get(word).copied().unwrap_or_default();
        let before = acted();
        let seen = if matches!(self.when, When::MidTransfer | When::Unsettled) {
            self.set_faults(&[self.fault(&action)]);
            let operator = async {
                until("the message is on its way", PATIENCE, async || (acted() > before).then_some(())).await;
                self.take_away();
            };
            let (outcome, ()) = tokio::join!(self.send(), operator);
            self.set_faults(&[]);
            // A device that is deleted is told so; one that is switched off is told when it asks again.
            match verdict(&outcome) {
                seen if seen.starts_with("lost") => format!("{seen}; {}", verdict(&self.send().await)),
                seen => seen,
            }
        } else {
            self.take_away();
            if self.when == When::Idle {
                self.link_is_gone().await;
            }
            verdict(&self.send().await)
        };
        match self.row.how {
            How::Deleted => simulator.enrol(&[self.victim().id.to_string()]).expect("it can come back"),
            _ => drop(simulator.set_status(&self.victim().id, Status::Enabled).expect("it can be switched on")),
        }
        self.goes_again().await;
        seen
    }

    fn take_away(&self) {
        let (simulator, id) = (&self.site.simulator, &self.victim().id);
        let done = match self.row.how {
            How::Deleted => simulator.delete_device(id),
            _ => simulator.set_status(id, Status::Disabled),
        };
        assert!(done.expect("the registry can be written"), "the device was there");
    }

    /// The client has noticed that it lost the link, or all of them.
    async fn link_is_gone(&self) {
        let left = usize::from(self.row.spares_connection());
        until("the link is gone", PATIENCE, async || (self.hub.standing().attached == left).then_some(())).await;
    }

    /// With the trouble over, the message goes.
    async fn goes_again(&self) {
        let outcome = self.send().await;
        assert!(outcome.is_ok(), "{}, {:?}: afterwards: {outcome:?}", self.row.title(), self.when);
    }

    /// How often the message stands in the record.
    fn recorded(&self) -> usize {
        let (id, message) = (&self.victim().id, &self.message.message_id);
        let ledger = self.site.ledger.all();
        let since = ledger.iter().skip(self.recorded_before);
        since.filter(|taken| taken.device == **id && taken.message == *message).count()
    }

    /// The bystander's next message goes at the first try; over the same link, unless there is no connection any more.
    async fn nobody_else_noticed(&self) {
        let Device { id, key } = self.bystander();
        let outcome = self.hub.send(id, key, &message("m", 1, BYTES)).await;
        assert!(outcome.is_ok(), "{}, {:?}: the bystander: {outcome:?}", self.row.title(), self.when);
        let attaches = self.tap.heard().attaches.iter().filter(|(_, device)| *device == **id).count();
        let expected = if self.row.spares_connection() { 1 } else { 2 };
        assert_eq!(attaches, expected, "{}, {:?}: links of the bystander", self.row.title(), self.when);
    }
}

/// The client's word, and what the bridge makes of it step by step.
fn verdict(outcome: &Result<(), SendError>) -> String {
    let Err(error) = outcome else { return "delivered".to_owned() };
    let moment = Moment { now: NOON, attempts: 0, can_register: true, jitter: 0.0 };
    let (mut remedies, mut steps) = (Remedies::default(), Vec::new());
    loop {
        let effect = after_send(Err(error.clone()), &mut remedies, moment);
        steps.push(step(&effect));
        if !matches!(effect, Effect::FreshToken | Effect::RegisterAgain(_) | Effect::Moved) {
            return format!("{}: {}", error.why.word(), steps.join(", "));
        }
    }
}

fn step(effect: &Effect) -> String {
    let rests = |asked: Option<Duration>| match asked {
        None => "hub rests".to_owned(),
        Some(time) if time == Duration::from_secs(12 * 3600) => "hub rests until 00:00 UTC".to_owned(),
        Some(time) => format!("hub rests {} s", time.as_secs()),
    };
    match effect {
        Effect::Settle => "settled".to_owned(),
        Effect::Bury(_) => "buried".to_owned(),
        Effect::Refused(..) => "held".to_owned(),
        Effect::Retry(wait, _) if *wait == HOLD => "held".to_owned(),
        Effect::Retry(..) | Effect::RetryHubDown(_, None, _) => "retried".to_owned(),
        Effect::RetryHubDown(_, asked, _) => format!("retried, {}", rests(*asked)),
        Effect::HubDown(asked, _) => rests(*asked),
        Effect::Throttled(None, _) => "hub rests 1 s to 10".to_owned(),
        Effect::Throttled(asked, _) => rests(*asked),
        Effect::NotYet(_) => "waits for its turn".to_owned(),
        Effect::Stolen(..) => "keeps still".to_owned(),
        Effect::FreshToken => "fresh token".to_owned(),
        Effect::RegisterAgain(_) | Effect::Moved => "registers again".to_owned(),
    }
}
