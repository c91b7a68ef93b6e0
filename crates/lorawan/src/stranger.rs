//! What a JSON object is that is no message: a sentence for the person who set the sender up.
//!
//! Only a hint. Nothing is decided by it but the words in the dead letter, so a wrong guess costs nobody a message.

use std::borrow::Cow;

use crate::ordered::Members;

/// At most so many key names are quoted, each at most so long: a dead letter's reason is one line on a page.
const NAMES_MAX: usize = 6;
const NAME_BYTES_MAX: usize = 32;

/// Marks of bodies that were seen at webhooks, the telling ones first: all of these keys, then what it is.
const SEEN: &[(&[&str], &str)] = &[
    (
        &["identifiers", "data"],
        "this is an event as the Console shows it; the message itself is under `data`: post that, or set a webhook up",
    ),
    (
        &["topic", "payload"],
        "this is a message wrapped for AWS IoT; the message itself is under `payload`: post that, or set a webhook up",
    ),
    (
        &["result"],
        "this is a line of the Storage Integration's stream; the message itself is under `result`: post that",
    ),
    (&["end_device_ids", "downlinks"], DOWNLINK),
    (&["downlinks"], DOWNLINK),
    (
        &["end_device_ids"],
        "there is `end_device_ids` but no event such as `uplink_message`; is the webhook's field mask without `up`?",
    ),
    (&["deviceInfo"], "this is an event of ChirpStack 4, which is not supported"),
    (&["devEUI", "applicationID"], "this is an event of ChirpStack 3, which is not supported"),
    (&["DevEUI_uplink"], THINGPARK),
    (&["DevEUI_downlink_Sent"], THINGPARK),
    (&["DevEUI_downlink_Rejected"], THINGPARK),
    (&["DevEUI_location"], THINGPARK),
    (&["hotspots"], "this is an uplink of the Helium Console, which is not supported"),
    (&["cmd", "EUI"], "this is a message of LORIOT, which is not supported"),
    (&["code", "message", "details"], "this is an error that the API of The Things Stack answered, not an event"),
    (
        &["dev_id", "port"],
        "this is a V2 downlink, which goes to the network; there is no uplink with `app_id` and `counter`",
    ),
    (&["app_eui", "dev_eui", "dev_addr"], "this is a V2 activation event; of V2 only uplinks are read"),
    (&["config", "gateway_id"], "this is a V2 downlink event; of V2 only uplinks are read"),
];

const DOWNLINK: &str = "this is a request for a downlink, which goes to the network, not to a webhook";
const THINGPARK: &str = "this is a report of Actility ThingPark, which is not supported";

/// One sentence about an object that is neither v3 nor V2.
pub(crate) fn describe(members: &Members<'_>) -> String {
    let has = |word: &&str| members.get(word).is_some();
    match SEEN.iter().find(|(marks, _)| marks.iter().all(has)) {
        Some((_, sentence)) => (*sentence).to_owned(),
        None => format!("no event key of v3 such as `uplink_message`, and no V2 uplink; {}", names(members)),
    }
}

fn names(members: &Members<'_>) -> String {
    let quoted: Vec<_> = members.iter().take(NAMES_MAX).map(|member| format!("`{}`", plain(member.key()))).collect();
    match (quoted.is_empty(), members.len() > NAMES_MAX) {
        (true, _) => "the object is empty".to_owned(),
        (_, true) => format!("it holds {} and more", quoted.join(", ")),
        (_, false) => format!("it holds {}", quoted.join(", ")),
    }
}

/// Names of fields are words. What is not may be anything, a secret too, and is not repeated.
fn plain(key: Option<Cow<'_, str>>) -> Cow<'_, str> {
    let word = |key: &str| key.len() <= NAME_BYTES_MAX && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    key.filter(|key| word(key)).unwrap_or(Cow::Borrowed("…"))
}
