//! The configuration that is written for the bridge, with the keys that strangers write too.

use std::fmt::Write;

/// What differs from test to test.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// TOML values in `webhook.keys`; none: open.
    pub(crate) keys: Vec<String>,
    /// More of `[webhook]`.
    pub(crate) webhook: String,
    /// `[queue]`.
    pub(crate) queue: String,
    /// Ports of the provisioning service and of all hubs, HTTPS and AMQP; `None`: the simulator's own.
    pub(crate) azure_ports: Option<(u16, u16)>,
    /// `targets.main` and the routes; `None`: everything goes to the simulator's provisioning service.
    pub(crate) targets: Option<String>,
    /// More of `[azure]`, and further tables.
    pub(crate) more: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            webhook: String::new(),
            queue: "kind = \"embedded\"\n".to_owned(),
            azure_ports: None,
            targets: None,
            // The real service's pace would make a test with 1 000 devices take more than a minute.
            more: "registrations_per_minute = 0\nattaches_per_second = 0\n".to_owned(),
        }
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Places<'a> {
    pub(crate) webhook: u16,
    pub(crate) admin: u16,
    pub(crate) azure: u16,
    pub(crate) amqp: u16,
    pub(crate) id_scope: &'a str,
    pub(crate) ca_file: &'a str,
}

impl Settings {
    pub(crate) fn to_toml(&self, places: &Places<'_>) -> String {
        let (azure, amqp) = self.azure_ports.unwrap_or((places.azure, places.amqp));
        let mut text = String::new();
        let _ = writeln!(text, "[webhook]\nlisten = \"127.0.0.1:{}\"", places.webhook);
        if !self.keys.is_empty() {
            let _ = writeln!(text, "keys = [{}]", self.keys.join(", "));
        }
        let _ = writeln!(text, "{}\n[admin]\nlisten = \"127.0.0.1:{}\"\n", self.webhook, places.admin);
        let _ = writeln!(text, "[queue]\n{}dir = \"data\"\n", self.queue);
        let _ = writeln!(text, "[azure]\nca_file = \"{}\"", places.ca_file);
        let _ = writeln!(text, "ports = {{ https = {azure}, amqp = {amqp} }}\n{}", self.more);
        let _ = match &self.targets {
            Some(targets) => writeln!(text, "{targets}"),
            None => writeln!(text, "{}\n[[routes]]\ntarget = \"main\"", main_target(azure, places.id_scope)),
        };
        text
    }
}

/// `[targets.main]` with the group key from the environment.
pub(crate) fn main_target(azure: u16, id_scope: &str) -> String {
    format!(
        "[targets.main]\nkind = \"dps\"\nendpoint = \"localhost:{azure}\"\nid_scope = \"{id_scope}\"\n\
         group_key = {{ env = \"GROUP_KEY\" }}\n"
    )
}
