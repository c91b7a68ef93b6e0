//! Who a message is about.
//!
//! The names are the network's own and are not checked against anybody's rules here. An empty name counts as absent:
//! that is how proto3 JSON and Go write "none".

use std::borrow::Cow;

/// Whatever a message says about its origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    /// v3 `end_device_ids.application_ids.application_id`, V2 `app_id`.
    pub application: Option<Cow<'a, str>>,
    /// v3 `end_device_ids.device_id`, V2 `dev_id`. Unique only inside the application.
    pub device: Option<Cow<'a, str>>,
    /// v3 `end_device_ids.dev_eui`, V2 `hardware_serial`: 16 hex digits, as written. Absent for ABP devices without one.
    pub dev_eui: Option<Cow<'a, str>>,
}
