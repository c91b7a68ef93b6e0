//! `/sim/…`, for who directs the play. JSON in and out; without a key, for this machine.
//!
//! | request | body | what it does |
//! |---|---|---|
//! | `GET /sim/devices` | | the names of all devices |
//! | `POST /sim/devices` | [`DeviceSetup`] | a new device |
//! | `GET /sim/devices/{dev}` | | class, session, counters, queue |
//! | `DELETE /sim/devices/{dev}` | | deletes it |
//! | `POST /sim/devices/{dev}/uplinks` | [`Uplink`] without `device` | the device sends |
//! | `POST /sim/devices/{dev}/acknowledges` | `true` or `false` | whether its uplinks acknowledge |
//! | `POST /sim/devices/{dev}/join`, `/leave`, `/invalidate` | | a new session, none, its queue thrown away |
//! | `GET`, `POST`, `DELETE /sim/faults` | [`Fault`] | trouble to come: shown, armed, cleared |
//! | `GET /sim/journal?after=N` | | transmissions with a number above N, at most 5000 |
//! | `GET /sim/events?after=N` | | events with a number above N, at most 500 |
//! | `GET /sim/posts` | | what became of posts to the webhook |

use http::{Method, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::application::{Input, Told, Uplink};
use crate::device::DeviceSetup;
use crate::faults::Fault;
use crate::refusal::Refusal;
use crate::server::{self, Answer, Ask, Shared, bare};

/// Transmissions in one answer, at half a KiB each as a rule: 2.5 MiB.
const JOURNAL_SHOWN_MAX: usize = 5000;
/// Events in one answer, at 2 KiB each as a rule: 1 MiB.
const EVENTS_SHOWN_MAX: usize = 500;

pub(crate) fn answer(shared: &Shared, ask: &Ask) -> Result<Answer, Refusal> {
    // A page of another site must not reach in through somebody's browser.
    if ask.parts.headers.contains_key(header::ORIGIN) {
        return Err(Refusal::new(7, "tts-sim", "origin", "origin: not for web pages"));
    }
    let path: Vec<&str> = ask.path.iter().skip(1).map(String::as_str).collect();
    match (&ask.parts.method, &path[..]) {
        (&Method::GET, ["devices"]) => shown(&shared.application().devices().collect::<Vec<_>>()),
        (&Method::GET, ["devices", device]) => match shared.application().view(device) {
            Some(view) => shown(&view),
            None => Err(Refusal::device_not_found(&shared.config.application, device)),
        },
        (&Method::GET, ["faults"]) => shown(&shared.application().faults()),
        (&Method::GET, ["journal"]) => {
            let (application, after) = (shared.application(), after(ask)?);
            shown(&application.journal(after).take(JOURNAL_SHOWN_MAX).collect::<Vec<_>>())
        }
        (&Method::GET, ["events"]) => {
            let (application, after) = (shared.application(), after(ask)?);
            shown(&application.told(after).take(EVENTS_SHOWN_MAX).collect::<Vec<&Told>>())
        }
        (&Method::GET, ["posts"]) => shown(&*shared.posts()),
        (method @ (&Method::POST | &Method::DELETE), path) => match input(ask, method, path)? {
            Some(input) => shared.step(input).map(|()| bare(StatusCode::NO_CONTENT)),
            None => Ok(bare(StatusCode::NOT_FOUND)),
        },
        _ => Ok(bare(StatusCode::NOT_FOUND)),
    }
}

/// What a request asks for; `None` where there is nothing at its address.
fn input(ask: &Ask, method: &Method, path: &[&str]) -> Result<Option<Input>, Refusal> {
    let is_post = method == Method::POST;
    Ok(Some(match path {
        ["devices"] if is_post => Input::Add(body::<DeviceSetup>(ask)?),
        ["devices", device] if !is_post => Input::Remove((*device).to_owned()),
        ["devices", device, "uplinks"] if is_post => {
            Input::Uplink(Uplink { device: (*device).to_owned(), ..body(ask)? })
        }
        ["devices", device, "acknowledges"] if is_post => {
            Input::Acknowledges { device: (*device).to_owned(), acknowledges: body(ask)? }
        }
        ["devices", device, "join"] if is_post => Input::Join((*device).to_owned()),
        ["devices", device, "leave"] if is_post => Input::Leave((*device).to_owned()),
        ["devices", device, "invalidate"] if is_post => Input::Invalidate((*device).to_owned()),
        ["faults"] if is_post => Input::Arm(body::<Fault>(ask)?),
        ["faults"] => Input::Disarm,
        _ => return Ok(None),
    }))
}

fn body<T: DeserializeOwned>(ask: &Ask) -> Result<T, Refusal> {
    let problem = |text: &str| Refusal::new(3, "tts-sim", "body", &format!("body: {text}"));
    let body = ask.body.as_ref().ok_or_else(|| problem("longer than 1 MiB, or cut off"))?;
    serde_json::from_slice(body).map_err(|error| problem(&error.to_string()))
}

fn after(ask: &Ask) -> Result<u64, Refusal> {
    let Some(query) = ask.parts.uri.query() else { return Ok(0) };
    let number = query.strip_prefix("after=").and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        Refusal::new(3, "tts-sim", "query", "query: only `after=N`, the number of the last one that is known")
    })
}

fn shown(value: &impl serde::Serialize) -> Result<Answer, Refusal> {
    let value: Value = serde_json::to_value(value)
        .map_err(|error| Refusal::new(13, "tts-sim", "answer", &format!("answer: {error}")))?;
    Ok(server::json(&value))
}
