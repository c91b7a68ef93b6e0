//! What IoT Hub is known to say (azure-docs, Microsoft's SDKs), and what is to follow from it.

use serde_json::{Value, json};

use super::Cells;

/// When it is said, or how.
pub(super) const COLUMNS: [&str; 5] = ["idle", "mid-transfer", "unsettled", "at attach", "`rejected`"];

/// Reasons for what is not plain. The name stands in [`Row::note`].
pub(super) const NOTES: [(&str, &str); 8] = [
    ("connection", CONNECTION),
    (
        "size",
        "The message is what is too large, at whichever moment that is said. The client counts bytes before it sends.",
    ),
    ("bytes", BYTES),
    ("state", STATE),
    ("address", ADDRESS),
    ("deleted", "What is deleted is the device or its hub: provisioning knows where it lives now."),
    ("cloud-to-device", "Of cloud-to-device messages only; should it ever come to telemetry, the message goes again."),
    ("silent", SILENT),
];

const CONNECTION: &str = "Another connection takes the device with the messages that were not written, and the full one \
    gets no more for a quarter of an hour. A connection that is called full before anybody has a token on it is not: then \
    the hub has trouble of its own.";
const BYTES: &str = "Microsoft's clients do not try again either: the same bytes get the same answer. The message is kept \
    with the dead letters, where a human sees it and can send it again after a repair; the device's next message goes its \
    way. Without a message under way nothing is buried.";
const STATE: &str = "Microsoft's clients give up here. It is said of a link or frame, not of what a message holds, so \
    burying would lose a good message: it is tried again on a new session, counted, each minute in the end, and the log \
    names it each time. A human has to look, for one of the two programs has an error.";
const ADDRESS: &str = "An address that the hub cannot read is our error and no device's: provisioning again would cost a \
    registration for each device and help nobody.";
const SILENT: &str = "A device that is switched off loses its link without a word, and so does one whose gateway is \
    replaced. The answer to the next token tells which. A link that is taken twice without a word is a refusal.";

const SIGNATURE: &str =
    "The specified SAS token has an invalid signature. It does not match either the primary or secondary key.";
const TOKENS: &str = "The maximum number of tokens per connection (1000) has been reached.";

/// What is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) condition: &'static str,
    /// The description, where it matters: the hub's number, or words. Otherwise as the simulator writes it.
    pub(super) says: Says,
    pub(super) how: How,
    /// Whether Microsoft's clients try again.
    pub(super) facts: &'static str,
    means: Means,
    note: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    TheUsual,
    Code(u32),
    Words(&'static str),
}

/// How it comes, besides as the reason of a rejected message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Detach {
        closed: bool,
    },
    End,
    Close,
    Reset,
    /// The token that comes before the link is answered with this status.
    Token(i32),
    /// By an operator, with links going as gateways of this generation let them.
    SwitchedOff(&'static str),
    Deleted,
}

/// What is to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// The same message again, backing off.
    Again,
    /// A fresh token, then provisioning, then a pause; the error's word.
    Refused(&'static str),
    /// This message never; the error's word.
    Bury(&'static str),
    Throttled,
    Quota,
    Suspended,
    /// Somebody else has the device: keep still.
    Stolen,
    /// Another connection.
    Full,
    /// The connection is gone with everybody on it.
    Connection,
    /// The link is gone and nobody says why.
    Silence,
    /// The same, and the next token is refused.
    SwitchedOff,
    /// The link is gone because the device is.
    Deleted,
}

impl How {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Detach { closed: true } => "`detach`, closed",
            Self::Detach { closed: false } => "`detach`, not closed",
            Self::End => "`end`",
            Self::Close => "`close`",
            Self::Reset => "TCP is reset",
            Self::Token(401) => "`put-token` 401",
            Self::Token(404) => "`put-token` 404",
            Self::Token(429) => "`put-token` 429",
            Self::Token(500) => "`put-token` 500",
            Self::Token(_) => "`put-token` 503",
            Self::SwitchedOff("gwv1") => "older gateway",
            Self::SwitchedOff(_) => "newer gateway",
            Self::Deleted => "by an operator",
        }
    }
}

impl Row {
    pub(super) fn title(&self) -> String {
        let what = match (self.says, self.condition) {
            (Says::Words(words), "") => format!("“{words}”"),
            (_, "") => "nothing".to_owned(),
            (Says::TheUsual, condition) => shown(condition),
            (Says::Code(code), condition) => format!("{}, {code}", shown(condition)),
            (Says::Words(words), condition) => format!("{}, “{words}”", shown(condition)),
        };
        let note = NOTES.iter().position(|(name, _)| *name == self.note);
        note.map_or(what.clone(), |number| format!("{what} ({})", number + 1))
    }

    /// The description to be sent.
    pub(super) fn description(&self) -> Value {
        match self.says {
            Says::TheUsual => Value::Null,
            Says::Words(words) => json!(words),
            Says::Code(code) => json!(json!({"errorCode": code, "message": "no", "trackingId": "t"}).to_string()),
        }
    }

    /// Whether a message can be refused with it.
    pub(super) fn rejects(&self) -> bool {
        matches!(self.how, How::Detach { .. }) && !self.condition.is_empty()
    }

    /// Said of one connection and not of the next.
    pub(super) fn is_of_connection(&self) -> bool {
        self.means == Means::Full
    }

    /// The error is at home on its link, or takes the connection along.
    pub(super) fn spares_connection(&self) -> bool {
        !matches!(self.how, How::Close | How::Reset)
    }

    /// What the facts ask for: a link that goes while nothing is under way is no more than attached again, unless it was
    /// stolen. A written message whose link goes may have arrived.
    pub(super) fn expected(&self) -> Cells {
        const LOST: &str = "lost: retried";
        const AGAIN: &str = "unavailable: retried";
        let refused = |why: &str| format!("{why}: fresh token, registers again, held");
        let buried = |why: &str| format!("{why}: buried");
        let all = |text: &str| ["delivered", text, text, text, text].map(str::to_owned);
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        let cells = match self.means {
            Means::Again => row(["delivered", LOST, LOST, AGAIN, AGAIN]),
            Means::Refused(why) => all(&refused(why)),
            Means::Bury(why) => row(["delivered", &buried(why), &buried(why), AGAIN, &buried(why)]),
            Means::Throttled => all("throttled: hub rests 1 s to 10"),
            Means::Quota => all("quota: hub rests until 00:00 UTC"),
            Means::Suspended => all("suspended: hub rests 600 s"),
            Means::Stolen => row(["stolen: keeps still"; 5]),
            Means::Full => row(["delivered", LOST, LOST, "delivered", AGAIN]),
            Means::Connection => row(["delivered", LOST, LOST, "unreachable: hub rests", ""]),
            Means::Silence => row(["delivered", LOST, LOST, &refused("unauthorized"), ""]),
            Means::SwitchedOff => {
                let off = refused("unauthorized");
                let lost = format!("{LOST}; {off}");
                row([&off, &lost, &lost, &off, ""])
            }
            Means::Deleted => row(["not_found"; 5]).map(|why| refused(&why)),
        };
        let mut cells = cells.map(Some);
        if !self.rejects() {
            cells[4] = None;
        }
        if matches!(self.how, How::Token(_)) {
            cells[..3].fill(None);
        }
        cells
    }
}

fn shown(condition: &str) -> String {
    if condition.contains(':') { format!("`{condition}`") } else { condition.to_owned() }
}

/// Every row.
pub(super) fn all() -> Vec<Row> {
    use Means::{
        Again, Bury, Connection, Deleted, Full, Quota, Refused, Silence, Stolen, Suspended, SwitchedOff, Throttled,
    };
    use Says::{Code, TheUsual, Words};
    let detach = How::Detach { closed: true };
    let row = |condition, says, how, facts, means, note| Row { condition, says, how, facts, means, note };
    let usual = |condition, facts, means, note| row(condition, TheUsual, detach, facts, means, note);
    let by = |condition, how, means| row(condition, TheUsual, how, "yes", means, "");
    let (rejected, not_found) = (Bury("rejected"), Refused("not_found"));
    let token = |status, words, facts, means| row("", Words(words), How::Token(status), facts, means, "");
    let another = Words("Another AMQP Client has opened a Receive Link");
    let limit = "amqp:resource-limit-exceeded";
    vec![
        usual("amqp:unauthorized-access", "no: new token, provision", Refused("unauthorized"), ""),
        usual("amqp:not-found", "no: provision", not_found, ""),
        row("amqp:not-found", Code(404_006), detach, "no", Again, "address"),
        usual("com.microsoft:device-not-found", "no: provision", not_found, ""),
        usual("amqp:not-allowed", "no", rejected, "bytes"),
        usual("com.microsoft:argument-error", "no: dead letter", rejected, ""),
        usual("com.microsoft:argument-out-of-range", "no: dead letter", rejected, ""),
        row(limit, Code(403_002), detach, "from 00:00 UTC", Quota, ""),
        row(limit, Code(403_004), detach, "by number", Again, ""),
        row(limit, Code(403_005), detach, "another connection", Full, "connection"),
        row(limit, Words("Limit exceeded"), detach, "by number", Again, ""),
        usual("amqp:link:message-size-exceeded", "no: dead letter", Bury("too_large"), "size"),
        usual("com.microsoft:device-container-throttled", "yes, 10 to 60 s", Throttled, ""),
        usual("com.microsoft:timeout", "yes", Again, ""),
        usual("com.microsoft:message-lock-lost", "no", Again, "cloud-to-device"),
        usual("amqp:precondition-failed", "no", rejected, "bytes"),
        usual("com.microsoft:precondition-failed", "no", rejected, "bytes"),
        usual("com.microsoft:iot-hub-not-found-error", "no: provision", Refused("not_found"), ""),
        usual("com.microsoft:iot-hub-suspended", "no: stop", Suspended, ""),
        usual("amqp:internal-error", "yes", Again, ""),
        row("amqp:internal-error", another, detach, "yes, once", Stolen, ""),
        row("amqp:internal-error", another, How::End, "yes, once", Stolen, ""),
        usual("amqp:link:detach-forced", "yes", Again, ""),
        usual("amqp:link:stolen", "yes, once", Stolen, ""),
        usual("com.microsoft:link-creation-conflict", "yes, once", Stolen, ""),
        by("amqp:connection:forced", How::Close, Connection),
        by("amqp:connection:framing-error", How::Close, Connection),
        by("amqp:connection:redirect", How::Close, Connection),
        by("amqp:session:window-violation", How::End, Again),
        by("amqp:session:errant-link", How::End, Again),
        by("amqp:session:handle-in-use", How::End, Again),
        by("amqp:session:unattached-handle", How::End, Again),
        by("amqp:link:transfer-limit-exceeded", detach, Again),
        by("amqp:link:redirect", detach, Again),
        by("amqp:resource-locked", detach, Again),
        by("amqp:transaction:unknown-id", detach, Again),
        by("amqp:transaction:rollback", detach, Again),
        by("amqp:transaction:timeout", detach, Again),
        usual("amqp:decode-error", "no", rejected, "bytes"),
        row("amqp:decode-error", TheUsual, How::Close, "no", Connection, "state"),
        usual("amqp:invalid-field", "no", rejected, "bytes"),
        usual("amqp:not-implemented", "no", rejected, "bytes"),
        usual("amqp:illegal-state", "no", Again, "state"),
        usual("amqp:frame-size-too-small", "no", Again, "state"),
        usual("amqp:resource-deleted", "no", not_found, "deleted"),
        row("", TheUsual, How::Detach { closed: false }, "yes", Silence, "silent"),
        row("", TheUsual, detach, "yes", Silence, "silent"),
        row("", TheUsual, How::End, "yes", Silence, "silent"),
        by("", How::Close, Connection),
        by("", How::Reset, Connection),
        row("the device is switched off", TheUsual, How::SwitchedOff("gwv2"), "no: provision", SwitchedOff, "silent"),
        row("the device is switched off", TheUsual, How::SwitchedOff("gwv1"), "no: provision", SwitchedOff, "silent"),
        token(401, SIGNATURE, "no: new token, provision", Refused("unauthorized")),
        token(404, "Device d at IotHub h not registered.", "no: provision", not_found),
        token(429, "Throttled. Wait 10 seconds and try again.", "yes, 10 to 60 s", Throttled),
        token(500, "Server error", "yes", Again),
        row("", Words(TOKENS), How::Token(500), "another connection", Full, "connection"),
        token(503, "Server Busy. Please retry operation", "yes", Again),
        row("the device is deleted", TheUsual, How::Deleted, "no: provision", Deleted, ""),
    ]
}
