//! What the network tells of downlinks: which, and what became of them.
//!
//! Source: `ApplicationUp` in the API definition. A correlation id of ours stands in up to three places: in the event, in the
//! downlink within a `downlink_failed`, and on the outside, where some causes of a failure leave it out.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::envelope::Unreadable;
use crate::event::EventKind;
use crate::fields::{list, object, pick, text};
use crate::ordered::Members;

/// Downlinks that one event speaks of: an invalidated queue lists all that were in it, at most some thousands in a body of a mebibyte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tidings<'a> {
    /// What became of them.
    pub news: News<'a>,
    /// Of each downlink, the ids that it was given and those that were mixed in.
    pub downlinks: Vec<Vec<Cow<'a, str>>>,
}

/// What became of a downlink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// It is in the device's queue.
    Queued,
    /// A gateway transmitted it.
    Sent,
    /// The device acknowledged it.
    Acknowledged,
    /// The device did not; the network tries again.
    NotAcknowledged,
    /// It is given up, or was thrown away with the session. The network's name for why, and its sentence.
    Failed {
        /// Such as `max_retries_reached`.
        name: Cow<'a, str>,
        /// For people.
        text: Cow<'a, str>,
    },
}

/// Reads an event that tells of downlinks; `None` for all others.
///
/// # Errors
/// [`Unreadable::NotUnderstood`] names the member that is not as the API has it.
pub fn read<'a>(kind: EventKind, members: &Members<'a>) -> Result<Option<Tidings<'a>>, Unreadable> {
    let outside = |of: Vec<Cow<'a, str>>| -> Result<_, Unreadable> { Ok(vec![[of, ids("", members)?].concat()]) };
    let word = kind.as_str();
    let [event] = pick("", members, [word])?;
    let Some(event) = object(word, event)? else { return Ok(None) };
    let news = match kind {
        EventKind::DownlinkQueued => News::Queued,
        EventKind::DownlinkSent => News::Sent,
        EventKind::DownlinkAck => News::Acknowledged,
        EventKind::DownlinkNack => News::NotAcknowledged,
        EventKind::DownlinkFailed => {
            let [downlink, error] = pick("downlink_failed.", &event, ["downlink", "error"])?;
            let of = ids_of("downlink_failed.downlink", downlink)?;
            return Ok(Some(Tidings { news: failure(error)?, downlinks: outside(of)? }));
        }
        EventKind::DownlinkQueueInvalidated => return lost(word, "downlinks", &event),
        EventKind::JoinAccept => return lost(word, "invalidated_downlinks", &event),
        _ => return Ok(None),
    };
    Ok(Some(Tidings { news, downlinks: outside(ids(word, &event)?)? }))
}

/// What went with a session; `None` where there was nothing.
fn lost<'a>(word: &str, name: &str, event: &Members<'a>) -> Result<Option<Tidings<'a>>, Unreadable> {
    let path = format!("{word}.{name}");
    let [items] = pick(&format!("{word}."), event, [name])?;
    let items: Vec<&'a RawValue> = match items {
        Some(items) => serde_json::from_str(items.get())
            .map_err(|_| Unreadable::not_understood(format!("`{path}` is not a list")))?,
        None => return Ok(None),
    };
    let downlinks = items.into_iter().map(|item| ids_of(&path, Some(item))).collect::<Result<Vec<_>, _>>()?;
    let (name, text) =
        ("session_ended".into(), "the device has a new session, and the network's queue went with the old one".into());
    Ok((!downlinks.is_empty()).then_some(Tidings { news: News::Failed { name, text }, downlinks }))
}

fn ids_of<'a>(path: &str, downlink: Option<&'a RawValue>) -> Result<Vec<Cow<'a, str>>, Unreadable> {
    let Some(downlink) = object(path, downlink)? else { return Ok(Vec::new()) };
    ids(path, &downlink)
}

/// The ids that stand in an object at `path`, which is empty for the message itself.
fn ids<'a>(path: &str, members: &Members<'a>) -> Result<Vec<Cow<'a, str>>, Unreadable> {
    let dot = if path.is_empty() { "" } else { "." };
    let path = format!("{path}{dot}");
    let [ids] = pick(&path, members, ["correlation_ids"])?;
    list(&format!("{path}correlation_ids"), ids)
}

fn failure<'a>(error: Option<&'a RawValue>) -> Result<News<'a>, Unreadable> {
    let unnamed = News::Failed { name: "failed".into(), text: "the network gave no reason".into() };
    let Some(error) = object("downlink_failed.error", error)? else { return Ok(unnamed) };
    let [name, format] = pick("downlink_failed.error.", &error, ["name", "message_format"])?;
    Ok(News::Failed {
        name: text("downlink_failed.error.name", name)?.unwrap_or("failed".into()),
        text: text("downlink_failed.error.message_format", format)?.unwrap_or("the network gave no reason".into()),
    })
}
