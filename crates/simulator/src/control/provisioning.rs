//! Registrations and enrolment groups: moved, forgotten, switched.

use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Bytes, Control, problem};
use crate::connections::Ask;
use crate::dps::{Group, Unmovable};
use crate::https::{decoded, json, query};

/// A group as it is shown; no keys.
#[derive(Serialize)]
pub(super) struct GroupView {
    id_scope: String,
    group: String,
    hubs: Vec<String>,
    enabled: bool,
}

impl GroupView {
    pub(super) fn of((id_scope, group): &(String, Group)) -> Self {
        let (id_scope, name) = (id_scope.clone(), group.name.clone());
        Self { id_scope, group: name, hubs: group.hubs.clone(), enabled: group.is_enabled }
    }
}

/// What a registration is to be given next.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    hub: String,
}

impl Control {
    pub(super) fn provisioning(&self, ask: &Ask, method: &Method, path: &[&str]) -> Response<Full<Bytes>> {
        match (method, path) {
            (&Method::POST, ["api", "registrations", id, "move"]) => self.move_to(ask, &decoded(id)),
            (&Method::DELETE, ["api", "registrations", id]) => self.forget(ask, &decoded(id)),
            (&Method::POST, ["api", "groups", name, action @ ("enable" | "disable")]) => {
                self.switch(ask, &decoded(name), action)
            }
            (_, ["api", "registrations", _] | ["api", "registrations", _, "move"])
            | (_, ["api", "groups", _, "enable" | "disable"]) => {
                problem(StatusCode::METHOD_NOT_ALLOWED, "method: not one for this address")
            }
            _ => problem(StatusCode::NOT_FOUND, "path: nothing here, see docs/azure-sim.md"),
        }
    }

    fn move_to(&self, ask: &Ask, id: &str) -> Response<Full<Bytes>> {
        let Ok(body) = &ask.body else { return problem(StatusCode::PAYLOAD_TOO_LARGE, "body: could not be read") };
        let Move { hub } = match serde_json::from_slice(body) {
            Ok(wish) => wish,
            Err(error) => {
                let detail = format!("body: {error}; write {{\"hub\": \"hub2.azure-devices.net\"}}");
                return problem(StatusCode::BAD_REQUEST, &detail);
            }
        };
        match self.cloud.move_to(query(ask, "scope").as_deref(), id, &hub) {
            Ok(()) => json(StatusCode::OK, &json!({"registration_id": id, "hub": hub})),
            Err(error) => problem(status(&error), &error.to_string()),
        }
    }

    fn forget(&self, ask: &Ask, id: &str) -> Response<Full<Bytes>> {
        match self.cloud.forget_registration(query(ask, "scope").as_deref(), id) {
            Ok(true) => json(StatusCode::OK, &json!({"registration_id": id, "done": "delete"})),
            Ok(false) => problem(StatusCode::NOT_FOUND, "registration: not known"),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("registration: not written: {error}")),
        }
    }

    fn switch(&self, ask: &Ask, name: &str, action: &str) -> Response<Full<Bytes>> {
        match self.cloud.switch_group(query(ask, "scope").as_deref(), name, action == "enable") {
            Ok(0) => problem(StatusCode::NOT_FOUND, "group: not in the setup"),
            Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("group: not written: {error}")),
            Ok(count) => json(StatusCode::OK, &json!({"group": name, "done": action, "groups": count})),
        }
    }
}

fn status(error: &Unmovable) -> StatusCode {
    match error {
        Unmovable::Unknown(_) => StatusCode::NOT_FOUND,
        Unmovable::NoGroup(_) | Unmovable::NotLinked { .. } | Unmovable::Never(_) | Unmovable::Full(_) => {
            StatusCode::CONFLICT
        }
        Unmovable::NotWritten(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
