//! Which hub a device is given when it registers, and what becomes of what its hub before knows of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::enrolment::{Admitted, Group};
use super::registrations::Registration;
use crate::random::Stamp;
use crate::setup::Reprovision;

/// The longest payload of a device that is remembered, as JSON. They are model ids of fifty bytes; a device for which more is
/// known than this would cost more than its identity.
const KEPT_PAYLOAD_BYTES_MAX: usize = 4096;

/// How a device came to its hub, in the service's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Substatus {
    /// It had none before.
    #[default]
    InitialAssignment,
    /// From another one, with its twin.
    DeviceDataMigrated,
    /// From another one, to begin anew.
    DeviceDataReset,
    /// Back to the one that it was given first.
    ReprovisionedToInitialAssignment,
}

/// What becomes of a device at the hub that it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// It does not leave.
    Stays,
    /// It goes along.
    Moves { from: String },
    /// It is forgotten.
    Ends { from: String },
}

/// What a registration comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) registration: Registration,
    pub(crate) data: Data,
}

/// Why a device cannot be sent to another hub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmovable {
    /// Nobody registered so.
    #[error("registration: {0} is not known, register first or mend the id")]
    Unknown(String),
    /// The setup has changed since.
    #[error("group: {0} is not in the setup any more; add it, or delete the registration")]
    NoGroup(String),
    /// There is no such hub, or not for this group.
    #[error("hub: {hub:?} is not linked to group {group}; one of {}", linked.join(", "))]
    NotLinked {
        /// As asked for.
        hub: String,
        /// The device's group.
        group: String,
        /// Those that are.
        linked: Vec<String>,
    },
    /// The group's policy.
    #[error("group: {0} has the reprovision policy never, its devices stay; choose migrate or reset")]
    Never(String),
    /// No room for one more.
    #[error("hub: {0} is full, the device stays where it is; delete some there, or name another")]
    Full(String),
    /// A file could not be written.
    #[error("{0}; free some disk space")]
    NotWritten(String),
}

/// The registration after another `register`. Name, first date and first hub stay.
pub(crate) fn assign(
    admitted: &Admitted,
    before: Option<&Registration>,
    registration_id: &str,
    sent: Option<Value>,
    Stamp { now_ms, random }: Stamp<'_>,
) -> Assignment {
    let group = &admitted.group;
    let hub = wanted(group, before, registration_id).to_owned();
    let data = before.map_or(Data::Stays, |before| leaving(group.reprovision, &before.hub, &hub));
    let substatus = match (before, &data) {
        (None, _) => Substatus::InitialAssignment,
        (Some(before), Data::Stays) => before.substatus,
        (Some(before), _) if before.first_hub.eq_ignore_ascii_case(&hub) => Substatus::ReprovisionedToInitialAssignment,
        (_, Data::Moves { .. }) => Substatus::DeviceDataMigrated,
        (_, Data::Ends { .. }) => Substatus::DeviceDataReset,
    };
    let registration = Registration {
        registration_id: registration_id.to_owned(),
        id_scope: admitted.scope.clone(),
        group: group.name.clone(),
        device_id: before.map_or(registration_id, |before| &before.device_id).to_owned(),
        first_hub: before.map_or(&hub, |before| &before.first_hub).clone(),
        moved_to: before.and_then(|before| before.moved_to.clone()),
        hub,
        substatus,
        payload: sent.filter(is_kept),
        created_ms: before.map_or(now_ms, |before| before.created_ms),
        updated_ms: now_ms,
        etag: random.etag(),
    };
    Assignment { registration, data }
}

/// Where the owner sent it, else where the group's policies have it.
fn wanted<'a>(group: &'a Group, before: Option<&'a Registration>, registration_id: &str) -> &'a str {
    let stays = before.filter(|_| group.reprovision == Reprovision::Never).and_then(|before| group.linked(&before.hub));
    let sent = before.and_then(|before| group.linked(before.moved_to.as_deref()?));
    stays.or(sent).unwrap_or_else(|| group.allocate(registration_id))
}

fn leaving(policy: Reprovision, from: &str, to: &str) -> Data {
    let from = from.to_owned();
    match policy {
        _ if from.eq_ignore_ascii_case(to) => Data::Stays,
        Reprovision::Reset => Data::Ends { from },
        Reprovision::Migrate | Reprovision::Never => Data::Moves { from },
    }
}

/// What an owner's wish to have a device at another hub comes to: `assigned` stays until it registers again.
pub(crate) fn send_to(group: &Group, before: &Registration, hub: &str) -> Result<Assignment, Unmovable> {
    let Some(to) = group.linked(hub) else {
        let (hub, group, linked) = (hub.to_owned(), group.name.clone(), group.hubs.clone());
        return Err(Unmovable::NotLinked { hub, group, linked });
    };
    if group.reprovision == Reprovision::Never {
        return Err(Unmovable::Never(group.name.clone()));
    }
    let from = before.moved_to.as_deref().unwrap_or(&before.hub);
    let data = leaving(group.reprovision, from, to);
    Ok(Assignment { registration: Registration { moved_to: Some(to.to_owned()), ..before.clone() }, data })
}

fn is_kept(payload: &Value) -> bool {
    !payload.is_null() && payload.to_string().len() <= KEPT_PAYLOAD_BYTES_MAX
}
