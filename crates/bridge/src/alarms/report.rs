//! PURE: what the operator's receiver is told: one JSON object, the same however often it is sent.
//!
//! `{"id","alarm","subject","severity","state","text","mend","since","ended_at","bridge","version"}`. `id` names this report: the same
//! alarm raised again, come a step further, or ended has others, a second copy has the same. `text` says all of it in one line
//! for a person, which is what chat services show. Times are Unix milliseconds.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::alarm::Alarm;
use super::book::News;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    news: News,
    bridge: String,
}

impl Report {
    pub(super) fn new(news: News, bridge: &str) -> Self {
        Self { news, bridge: bridge.to_owned() }
    }

    pub(super) fn alarm(&self) -> &Alarm {
        &self.news.alarm
    }

    /// The same for the same news.
    pub(super) fn id(&self) -> String {
        let Alarm { alarm, subject, since, step, .. } = self.alarm();
        let of = json!([self.bridge, alarm, subject, since, step, self.news.state()]);
        Sha256::digest(of.to_string())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The body.
    pub(super) fn body(&self) -> Vec<u8> {
        let (alarm, state) = (self.alarm(), self.news.state());
        let mend = if alarm.ended_at.is_some() { String::new() } else { format!(". What to do: {}", alarm.mend) };
        let text = format!("{} {state} at {}: {}{mend}", alarm.alarm.word(), self.bridge, alarm.text);
        let body = json!({
            "id": self.id(),
            "alarm": alarm.alarm,
            "subject": alarm.subject,
            "severity": alarm.severity,
            "state": state,
            "text": text,
            "mend": alarm.mend,
            "since": alarm.since,
            "ended_at": alarm.ended_at,
            "bridge": self.bridge,
            "version": env!("CARGO_PKG_VERSION"),
        });
        body.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::alarm::{Kind, Severity};
    use super::*;

    fn report(ended_at: Option<i64>, step: u8) -> Report {
        let alarm = Alarm {
            alarm: Kind::HubDown,
            subject: "h:5671".to_owned(),
            severity: Severity::Page,
            text: "h:5671 does not work".to_owned(),
            mend: "look".to_owned(),
            since: 5,
            ended_at,
            told_at: None,
            step,
        };
        Report::new(News { alarm, is_further: step > 0 }, "site-1")
    }

    #[test]
    fn a_second_copy_has_the_same_id_and_other_news_have_others() {
        let ids = [report(None, 0), report(None, 1), report(Some(9), 1)].map(|report| report.id());
        assert_eq!(report(None, 0).id(), ids[0]);
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0].len() == 32, "{ids:?}");
    }

    #[test]
    fn a_report_says_all_of_it_to_a_program_and_in_one_line_to_a_person() {
        let body: serde_json::Value = serde_json::from_slice(&report(None, 0).body()).unwrap();
        let expected = json!({
            "id": report(None, 0).id(), "alarm": "hub_down", "subject": "h:5671", "severity": "page", "state": "raised",
            "text": "hub_down raised at site-1: h:5671 does not work. What to do: look", "mend": "look", "since": 5,
            "ended_at": null, "bridge": "site-1", "version": env!("CARGO_PKG_VERSION"),
        });
        assert_eq!(body, expected);
        let ended: serde_json::Value = serde_json::from_slice(&report(Some(9), 0).body()).unwrap();
        assert_eq!((&ended["state"], &ended["ended_at"]), (&json!("ended"), &json!(9)));
        assert_eq!(ended["text"], "hub_down ended at site-1: h:5671 does not work");
    }
}
