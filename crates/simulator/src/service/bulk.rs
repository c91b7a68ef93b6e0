//! Many devices in one call: made, changed, deleted, or their twins changed. What fails is told, and the rest is done.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::identities::{Wish, already_there, create, update};
use super::matching;
use crate::endpoint::{Endpoint, HubId};
use crate::hub::Refusal;
use crate::random::Stamp;
use crate::registry::Device;

/// As documented.
const ELEMENTS_MAX: usize = 100;

/// What is to be done with one of them. Node's SDK begins some with a capital.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Create,
    CreateOrUpdate,
    CreateOrUpdateIfMatchEtag,
    Update,
    UpdateIfMatchEtag,
    Delete,
    DeleteIfMatchEtag,
    UpdateTwin,
    UpdateTwinIfMatchEtag,
}

/// One of them, as it stands in the body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    module_id: Option<String>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<String>,
    import_mode: Option<String>,
    #[serde(rename = "twinETag", alias = "twinEtag")]
    twin_etag: Option<String>,
    tags: Option<Value>,
    properties: Option<Value>,
    #[serde(flatten)]
    wish: Wish,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) endpoint: Endpoint,
    pub(crate) mode: Mode,
    etag: Option<String>,
    pub(crate) twin_etag: Option<String>,
    /// What a service may send to a twin.
    pub(crate) twin: Option<Value>,
    wish: Wish,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Value>);

impl Report {
    pub(crate) fn failed(&mut self, endpoint: &Endpoint, refusal: &Refusal) {
        let mut error = json!({
            "deviceId": endpoint.device,
            "errorCode": refusal.code,
            "errorStatus": refusal.name,
        });
        if let Some(module) = &endpoint.module {
            error["moduleId"] = module.as_str().into();
        }
        self.0.push(error);
    }

    pub(crate) fn body(self) -> Value {
        json!({"isSuccessful": self.0.is_empty(), "errors": self.0, "warnings": []})
    }
}

/// The elements of a body, if the call as a whole makes sense.
pub(crate) fn elements(hub: HubId, body: &[u8]) -> Result<Vec<Element>, Refusal> {
    let written: Vec<Written> =
        serde_json::from_slice(body).map_err(|_| Refusal::not_json("The body is not an array of devices"))?;
    if written.len() > ELEMENTS_MAX {
        return Err(Refusal::new(413, 413_002, "TooManyDevices", "There may be 100 devices in a call"));
    }
    let elements = written.into_iter().map(|written| written.element(hub)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = BTreeSet::new();
    match elements.iter().find(|element| !seen.insert(&element.endpoint)) {
        Some(twice) => {
            let text = format!("{} is defined more than once", twice.endpoint);
            Err(Refusal::new(400, 400_011, "DeviceDefinedMultipleTimes", text))
        }
        None => Ok(elements),
    }
}

impl Written {
    fn element(self, hub: HubId) -> Result<Element, Refusal> {
        let mode = match &self.import_mode {
            None => Mode::Create,
            Some(word) => Mode::deserialize(Value::from(word.to_ascii_lowercase()))
                .map_err(|_| Refusal::argument(&format!("There is no import mode {word}")))?,
        };
        let mut twin = serde_json::Map::new();
        twin.extend(self.tags.map(|tags| ("tags".to_owned(), tags)));
        twin.extend(self.properties.map(|properties| ("properties".to_owned(), properties)));
        Ok(Element {
            endpoint: Endpoint { hub, device: self.id, module: self.module_id },
            mode,
            etag: self.etag,
            twin_etag: self.twin_etag,
            twin: if twin.is_empty() { None } else { Some(Value::Object(twin)) },
            wish: self.wish,
        })
    }
}

impl Element {
    /// The identity as it is to be; for modes that make or change one.
    pub(crate) fn identity(&self, device: Option<&Device>, hub: &str, stamp: Stamp<'_>) -> Result<Device, Refusal> {
        let is_conditional = matches!(self.mode, Mode::UpdateIfMatchEtag | Mode::CreateOrUpdateIfMatchEtag);
        match (self.mode, device) {
            (Mode::Create, Some(_)) => Err(already_there(&self.endpoint, hub)),
            (Mode::Create | Mode::CreateOrUpdate | Mode::CreateOrUpdateIfMatchEtag, None) => {
                create(&self.endpoint, self.wish.clone(), stamp)
            }
            (_, None) => Err(Refusal::not_found(&self.endpoint)),
            (_, Some(device)) => {
                matching(self.etag.as_deref().filter(|_| is_conditional), &device.etag)?;
                update(device, self.wish.clone(), stamp)
            }
        }
    }

    /// The etag that a deletion needs.
    pub(crate) fn condition(&self) -> Option<&str> {
        self.etag.as_deref().filter(|_| self.mode == Mode::DeleteIfMatchEtag)
    }

    /// The etag that a change of a twin needs.
    pub(crate) fn twin_condition(&self) -> Option<&str> {
        self.twin_etag.as_deref().filter(|_| self.mode == Mode::UpdateTwinIfMatchEtag)
    }
}
