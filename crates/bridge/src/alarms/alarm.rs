//! What an alarm is, and what it is called: the words stand in reports, metrics, the page and docs/alarms.md alike.

use queue::UnixMillis;
use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlarmKind)]
pub enum Kind {
    /// A device that sent regularly does not any more.
    DeviceSilent,
    /// Many devices, an application, a network or everything stopped: nothing comes in, or nothing goes out.
    FlowStopped,
    /// Messages wait for long.
    QueueOld,
    /// The queue's disk, or its bound, will soon be reached.
    DiskFilling,
    /// No message can be kept.
    QueueShut,
    /// A hub's allowance of the day is nearly used, or will be.
    QuotaNear,
    /// The door's certificate runs out.
    CertificateEnding,
    /// A secret runs out.
    SecretEnding,
    /// A hub, or a provisioning service, refuses many devices at once.
    BreakerOpen,
    /// A hub, or a provisioning service, does not work.
    HubDown,
    /// The network's posts fail, or do not arrive.
    WebhookFailing,
    /// Dead letters were pushed out before anybody dealt with them.
    DeadLettersGone,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::DeviceSilent,
        Self::FlowStopped,
        Self::QueueOld,
        Self::DiskFilling,
        Self::QueueShut,
        Self::QuotaNear,
        Self::CertificateEnding,
        Self::SecretEnding,
        Self::BreakerOpen,
        Self::HubDown,
        Self::WebhookFailing,
        Self::DeadLettersGone,
    ];

    /// As it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::DeviceSilent => "device_silent",
            Self::FlowStopped => "flow_stopped",
            Self::QueueOld => "queue_old",
            Self::DiskFilling => "disk_filling",
            Self::QueueShut => "queue_shut",
            Self::QuotaNear => "quota_near",
            Self::CertificateEnding => "certificate_ending",
            Self::SecretEnding => "secret_ending",
            Self::BreakerOpen => "breaker_open",
            Self::HubDown => "hub_down",
            Self::WebhookFailing => "webhook_failing",
            Self::DeadLettersGone => "dead_letters_gone",
        }
    }
}

/// How soon somebody must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// In the morning.
    Warn,
    /// Now: messages are being lost, or soon will be.
    Page,
}

impl Severity {
    /// As it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Page => "page",
        }
    }
}

/// What a rule finds wrong at one look. Whether anybody is told is for the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is wrong.
    pub alarm: Kind,
    /// With what: `network/application/device`, `network/application`, a hub, a file, `queue`… With [`Claim::alarm`] its identity.
    pub subject: String,
    /// How soon somebody must look.
    pub severity: Severity,
    /// How far it has come: a higher one than before is told anew.
    pub step: u8,
    /// Since when, where the rule knows better than the first look that found it.
    pub since: Option<UnixMillis>,
    /// One or two sentences: what, how much, since when.
    pub text: String,
    /// What to do about it.
    pub mend: String,
}

impl Claim {
    /// Of the first step, since now.
    pub fn new(alarm: Kind, subject: impl Into<String>, severity: Severity, [text, mend]: [String; 2]) -> Self {
        Self { alarm, subject: subject.into(), severity, step: 0, since: None, text, mend }
    }

    /// At that step.
    #[must_use]
    pub fn at_step(self, step: u8) -> Self {
        Self { step, ..self }
    }

    /// Since then.
    #[must_use]
    pub fn since(self, since: UnixMillis) -> Self {
        Self { since: Some(since), ..self }
    }
}

/// An alarm that was raised, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Alarm {
    /// What is wrong.
    pub alarm: Kind,
    /// With what.
    pub subject: String,
    /// How soon somebody must look.
    pub severity: Severity,
    /// What, how much, since when.
    pub text: String,
    /// What to do about it.
    pub mend: String,
    /// Unix milliseconds.
    pub since: UnixMillis,
    /// Unix milliseconds; none while it stands.
    pub ended_at: Option<UnixMillis>,
    /// When the operator's receiver took the last report of it; none before, and without a receiver.
    pub told_at: Option<UnixMillis>,
    /// How far it has come.
    #[serde(skip)]
    pub step: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_called_the_same_everywhere() {
        let mut words = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert!(words.insert(kind.word()), "{kind:?} twice");
        }
        for severity in [Severity::Warn, Severity::Page] {
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.word());
        }
    }
}
