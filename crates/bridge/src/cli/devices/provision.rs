//! `longhaul devices provision`: brings a list of devices to Azure before their first uplink.
//!
//! Promises: a list with a mistake is not begun; the bridge, its restart or the end of this command costs nothing but
//! time, because whatever is not there yet is asked for again; each device of the list ends as there or as refused, with
//! the reason.

use std::collections::VecDeque;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::super::admin_api::{self, AdminApi};
use super::super::{FAILED, USAGE, fail, fail_as, say};
use super::rows;
use crate::admin::devices::provision::AT_ONCE;
use crate::ahead::{Standing, Wanted};

/// `longhaul devices provision`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A list with the columns device_id (or id), application, and where needed dev_eui and port; `-` reads standard input
    file: PathBuf,
    /// The application of devices whose line names none
    #[arg(long)]
    application: Option<String>,
    /// The port of devices whose line names none
    #[arg(long)]
    port: Option<u8>,
    /// The network of devices whose line names none
    #[arg(long)]
    network: Option<String>,
    /// A line of JSON for each device
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bridge: admin_api::BridgeArguments,
}

/// Devices asked for and not there yet. DPS takes 1 000 a minute, so that two minutes' worth is under way.
const WINDOW: usize = 2_000;
/// Between two looks at those that are under way.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two lines that say how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// The pace is measured over this.
const MINUTE: Duration = Duration::from_secs(60);
/// A device that Azure will be asked for again within this is waited for; trouble of the service passes, others do not.
const HELD_MAX_MS: u64 = 120_000;
/// Bytes of a list: 200 000 devices of 300.
const LIST_MAX: u64 = 64 << 20;
/// A bridge that does not answer may be restarting.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// Reads the list, and goes on until each device has ended.
pub(super) async fn main(arguments: Arguments) -> ExitCode {
    let text = match read(&arguments.file) {
        Ok(text) => text,
        Err(e) => return fail(&format!("{}: cannot be read: {e}", arguments.file.display())),
    };
    let given = rows::Given { application: arguments.application, network: arguments.network, port: arguments.port };
    let devices = match rows::read(&text, &given) {
        Ok(devices) => devices,
        Err(mistakes) => {
            let mistakes = mistakes.join("\n  ");
            return fail_as(USAGE, &format!("{}: not begun:\n  {mistakes}", arguments.file.display()));
        }
    };
    let bridge = match AdminApi::new(&arguments.bridge) {
        Ok(bridge) => bridge,
        Err(code) => return code,
    };
    let mut campaign = Campaign::new(devices);
    let mut terminal = Terminal { json: arguments.json };
    let ask = async |batch: &[Wanted]| bridge.post("/api/v1/devices/provision", &batch).await;
    match campaign.run(ask, &mut terminal).await {
        Ok(()) if campaign.is_well() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(FAILED),
        Err(e) => fail(&format!("{e}; what is there stays, run it again to go on")),
    }
}

fn read(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(LIST_MAX).read_to_string(&mut text)?
    } else {
        std::fs::File::open(file)?.take(LIST_MAX).read_to_string(&mut text)?
    };
    if read as u64 == LIST_MAX {
        return Err(std::io::Error::other("it is longer than 64 MiB; split it"));
    }
    Ok(text)
}

struct Terminal {
    json: bool,
}

impl Witness for Terminal {
    fn ended(&mut self, device: &Wanted, end: &End) {
        match end {
            _ if self.json => say(&as_json(device, end).to_string()),
            End::There { .. } => {}
            End::Refused { reason, detail } => {
                let Wanted { application, device_id, .. } = device;
                say(&format!("refused: {application}/{device_id}: {reason}: {detail}"));
            }
        }
    }

    #[expect(clippy::print_stderr, reason = "the command line's own voice")]
    fn news(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

/// What came of a list.
#[derive(Debug, Default)]
pub(super) struct Campaign {
    left: VecDeque<Wanted>,
    all: usize,
    there: usize,
    refused: usize,
    /// How many had ended at the tellings of the last minute.
    ended_at: VecDeque<(Instant, usize)>,
}

/// What became of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It is there.
    There {
        /// The hub's host name.
        hub: String,
        /// Its name there.
        device_id: String,
    },
    /// It is not, and will not be without somebody doing something.
    Refused {
        /// A fixed word.
        reason: String,
        /// What is wrong, and the mend.
        detail: String,
    },
}

/// Gets to know what happens.
pub(super) trait Witness {
    /// A device has ended.
    fn ended(&mut self, device: &Wanted, end: &End);
    /// A line for the person at the terminal.
    fn news(&mut self, line: &str);
}

impl Campaign {
    /// Nobody is there yet, as far as we know.
    pub(super) fn new(devices: Vec<Wanted>) -> Self {
        Self { all: devices.len(), left: devices.into(), ..Self::default() }
    }

    /// Whether all are there.
    pub(super) fn is_well(&self) -> bool {
        self.there == self.all
    }

    /// Goes on until each device has ended.
    ///
    /// # Errors
    /// When the bridge has not answered for a minute, or never did.
    pub(super) async fn run(
        &mut self,
        mut ask: impl AsyncFnMut(&[Wanted]) -> Result<Vec<Standing>, String>,
        witness: &mut impl Witness,
    ) -> Result<(), String> {
        ask(&[]).await?; // is anybody there?
        let begun = Instant::now();
        let (mut heard, mut told) = (begun, begun);
        self.ended_at.push_back((begun, 0));
        while !self.left.is_empty() {
            match self.round(&mut ask, witness).await {
                Ok(()) => heard = Instant::now(),
                Err(e) if heard.elapsed() > AWAY_MAX => return Err(e),
                Err(e) => witness.news(&format!("{e}; trying for {} s more", AWAY_MAX.as_secs())),
            }
            if told.elapsed() >= TELL_EVERY && !self.left.is_empty() {
                told = Instant::now();
                witness.news(&self.progress(Instant::now()));
            }
            if !self.left.is_empty() {
                sleep(LOOK_EVERY).await;
            }
        }
        witness.news(&format!("{} of {} devices are there, {} refused", self.there, self.all, self.refused));
        Ok(())
    }

    /// Asks for the first of those that are left, in their order.
    async fn round(
        &mut self,
        ask: &mut impl AsyncFnMut(&[Wanted]) -> Result<Vec<Standing>, String>,
        witness: &mut impl Witness,
    ) -> Result<(), String> {
        let window: Vec<_> = self.left.drain(..self.left.len().min(WINDOW)).collect();
        let mut not_yet = VecDeque::new();
        let mut outcome = Ok(());
        let mut is_full = false;
        for batch in window.chunks(AT_ONCE) {
            if is_full || outcome.is_err() {
                not_yet.extend(batch.iter().cloned());
                continue;
            }
            match ask(batch).await {
                Ok(standings) if standings.len() == batch.len() => {
                    for (device, standing) in batch.iter().zip(standings) {
                        is_full |= standing == Standing::Later;
                        match end(standing) {
                            Some(end) => self.ended(device, &end, witness),
                            None => not_yet.push_back(device.clone()),
                        }
                    }
                }
                answer => {
                    outcome = answer.and(Err("the bridge's answer does not fit the question".to_owned()));
                    not_yet.extend(batch.iter().cloned());
                }
            }
        }
        not_yet.append(&mut self.left);
        self.left = not_yet;
        outcome
    }

    fn ended(&mut self, device: &Wanted, end: &End, witness: &mut impl Witness) {
        match end {
            End::There { .. } => self.there += 1,
            End::Refused { .. } => self.refused += 1,
        }
        witness.ended(device, end);
    }

    /// The time left is that at the pace of the last minute: those that were there already are told at once.
    fn progress(&mut self, now: Instant) -> String {
        let ended = self.there + self.refused;
        self.ended_at.push_back((now, ended));
        while self.ended_at.front().is_some_and(|(at, _)| now - *at > MINUTE) {
            self.ended_at.pop_front();
        }
        let left = self.left.len();
        let recent = self.ended_at.front().filter(|(at, before)| now > *at && ended > *before);
        let time = recent.map_or(String::new(), |(at, before)| {
            let seconds = (now - *at).as_secs_f64() / (ended - before) as f64 * left as f64;
            format!(", about {seconds:.0} s left at the pace of the last minute")
        });
        format!("{} of {} devices are there, {} refused, {left} to go{time}", self.there, self.all, self.refused)
    }
}

/// PURE: whether a device has ended, and how.
fn end(standing: Standing) -> Option<End> {
    match standing {
        Standing::Assigned { hub, device_id } => Some(End::There { hub, device_id }),
        Standing::InLine | Standing::Later => None,
        Standing::Held { for_ms, .. } if for_ms <= HELD_MAX_MS => None,
        Standing::Held { cause, .. } => Some(End::Refused { reason: "registration_refused".to_owned(), detail: cause }),
        Standing::Refused { reason, detail } => Some(End::Refused { reason, detail }),
    }
}

/// One device as a line of JSON.
pub(super) fn as_json(device: &Wanted, end: &End) -> serde_json::Value {
    let Wanted { network, application, device_id, .. } = device;
    match end {
        End::There { hub, device_id: there } => json!({
            "network": network, "application": application, "device": device_id, "state": "assigned", "hub": hub, "device_id": there
        }),
        End::Refused { reason, detail } => json!({
            "network": network, "application": application, "device": device_id, "state": "refused", "reason": reason, "detail": detail
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Notes {
        ended: BTreeMap<String, End>,
        lines: Vec<String>,
    }

    impl Witness for Notes {
        fn ended(&mut self, device: &Wanted, end: &End) {
            assert!(self.ended.insert(device.device_id.clone(), end.clone()).is_none(), "{device:?} ended twice");
        }
        fn news(&mut self, line: &str) {
            self.lines.push(line.to_owned());
        }
    }

    fn devices(count: usize) -> Vec<Wanted> {
        let device = |i| Wanted {
            network: None,
            application: "app".to_owned(),
            device_id: format!("dev-{i}"),
            dev_eui: None,
            port: None,
        };
        (0..count).map(device).collect()
    }

    fn there(device: &Wanted) -> Standing {
        Standing::Assigned { hub: "hub".to_owned(), device_id: device.device_id.clone() }
    }

    /// A bridge that brings `pace` devices a second to Azure and has room for `room` in line.
    struct Bridge {
        begun: Instant,
        line: Vec<String>,
        pace: f64,
        room: usize,
    }

    impl Bridge {
        fn new(pace: f64, room: usize) -> Self {
            Self { begun: Instant::now(), line: Vec::new(), pace, room }
        }

        fn ask(&mut self, batch: &[Wanted]) -> Vec<Standing> {
            let done = (self.begun.elapsed().as_secs_f64() * self.pace) as usize;
            batch.iter().map(|device| self.one(device, done)).collect()
        }

        fn one(&mut self, device: &Wanted, done: usize) -> Standing {
            match self.line.iter().position(|id| *id == device.device_id) {
                Some(place) if place < done => there(device),
                Some(_) => Standing::InLine,
                None if self.line.len() >= done + self.room => Standing::Later,
                None => {
                    self.line.push(device.device_id.clone());
                    Standing::InLine
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_longer_than_the_line_is_brought_there_at_the_pace_of_azure() {
        let mut bridge = Bridge::new(50.0, 300);
        let (mut campaign, mut notes) = (Campaign::new(devices(5_000)), Notes::default());
        let begun = Instant::now();
        campaign.run(async |batch| Ok(bridge.ask(batch)), &mut notes).await.expect("it answers");
        assert!(campaign.is_well() && notes.ended.len() == 5_000);
        let took = begun.elapsed().as_secs();
        assert!((100..=110).contains(&took), "{took} s for 100 s of work");
        assert!(notes.lines.len() <= 22, "a line every five seconds: {}", notes.lines.len());
        assert!(notes.lines[9].contains("to go, about 5"), "{}", notes.lines[9]);
    }

    #[tokio::test(start_paused = true)]
    async fn devices_that_are_there_already_do_not_make_the_rest_look_near() {
        let all = devices(4_180);
        let old: Vec<_> = all[..4_000].to_vec();
        let mut bridge = Bridge::new(1.0, 10_000);
        let (mut campaign, mut notes) = (Campaign::new(all), Notes::default());
        let mut one = |device: &Wanted| match old.contains(device) {
            true => there(device),
            false => bridge.ask(std::slice::from_ref(device)).remove(0),
        };
        let ask = async |batch: &[Wanted]| Ok(batch.iter().map(&mut one).collect());
        campaign.run(ask, &mut notes).await.expect("it answers");
        let number_after = |line: &str, word: &str| -> u64 {
            let rest = line.split(word).nth(1).unwrap_or_else(|| panic!("no {word}in {line}"));
            rest.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number: {line}"))
        };
        let line = &notes.lines[notes.lines.len() / 2];
        let (left, seconds) = (number_after(line, " refused, "), number_after(line, "about "));
        assert!(seconds.abs_diff(left) <= left / 10 + 2, "one a second: {line}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bridge_that_restarts_costs_only_time() {
        let mut bridge = Bridge::new(100.0, 1_000);
        let (mut campaign, mut notes) = (Campaign::new(devices(1_000)), Notes::default());
        let mut asked = 0;
        let ask = async |batch: &[Wanted]| {
            asked += 1;
            // Away for some of the questions, and then it knows nobody in line.
            match asked {
                4..20 => Err("the bridge does not answer".to_owned()),
                20 => {
                    bridge = Bridge::new(100.0, 1_000);
                    Ok(bridge.ask(batch))
                }
                _ => Ok(bridge.ask(batch)),
            }
        };
        campaign.run(ask, &mut notes).await.expect("it comes back");
        assert!(campaign.is_well());
        assert_eq!(notes.ended.len(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bridge_that_is_not_there_is_told_at_once_and_one_that_went_away_within_a_minute() {
        let mut notes = Notes::default();
        let begun = Instant::now();
        let gone = async |_: &[Wanted]| Err("nobody listens".to_owned());
        assert!(Campaign::new(devices(1)).run(gone, &mut notes).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let mut first = true;
        let went = async |_: &[Wanted]| {
            if std::mem::take(&mut first) { Ok(Vec::new()) } else { Err("nobody listens".to_owned()) }
        };
        assert!(Campaign::new(devices(1)).run(went, &mut notes).await.is_err());
        assert!((60..=63).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_ends_with_its_reason_and_holds_up_nobody() {
        let (mut campaign, mut notes) = (Campaign::new(devices(4)), Notes::default());
        let begun = Instant::now();
        let held = |for_ms| Standing::Held { for_ms, cause: "dps".to_owned() };
        let ask = async |batch: &[Wanted]| {
            let one = |device: &Wanted| match device.device_id.as_str() {
                "dev-0" => Standing::Refused { reason: "identity_conflict".to_owned(), detail: "two".to_owned() },
                "dev-1" => held(300_000),
                "dev-2" if begun.elapsed().as_secs() < 30 => held(5_000),
                _ => there(device),
            };
            Ok(batch.iter().map(one).collect())
        };
        campaign.run(ask, &mut notes).await.expect("it answers");
        assert!(!campaign.is_well());
        let refused =
            |reason: &str, detail: &str| End::Refused { reason: reason.to_owned(), detail: detail.to_owned() };
        assert_eq!(notes.ended["dev-0"], refused("identity_conflict", "two"));
        assert_eq!(notes.ended["dev-1"], refused("registration_refused", "dps"));
        assert!(matches!(notes.ended["dev-2"], End::There { .. }), "trouble of the service is waited for");
    }
}
