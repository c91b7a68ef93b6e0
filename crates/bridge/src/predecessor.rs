//! PURE: from the settings of the C# predecessors to a `longhaul.toml` without secrets, and a report.
//!
//! Promises: what the predecessor really did with a message is what the written configuration does, under the same registration id
//! and with the same key, except where it filed readings under another device; each setting is accounted for; no value of a setting
//! that may be a secret is in anything that is returned. Relies on nothing but the texts that are handed in.
//!
//! In the order of the way: an `export` is read into settings; one of the families (`functions` for the first and the V2
//! processor, `ttiv3`, `ttnv3`) understands them as rules; a `plan` gives the rules targets; `written` is the file, `report` the rest.

pub mod export; // the forms in which settings are exported
mod family; // whose settings they are
mod functions; // the first processor, and V2
mod json; // JSON as .NET reads it
mod plan; // rules to targets and routes
pub mod report; // what was found
mod rules; // what a family understands
mod secrets; // which secrets, and what their values tell
mod settings; // all settings, by name
mod ttiv3; // the webhook connector
mod ttnv3; // the MQTT connector
mod written; // longhaul.toml

#[cfg(test)]
mod tests;

pub use export::Export;
pub use family::Family;
pub use report::Report;

use crate::config::Mistake;

/// What comes of settings.
#[derive(Debug)]
pub struct Moved {
    /// The configuration; nothing where no message could go anywhere.
    pub toml: Option<String>,
    /// What there is to say.
    pub report: Report,
}

/// Understands exported settings. A later export goes before an earlier one; a key vault goes before both, as it did.
///
/// # Errors
/// Each export that cannot be read, or that none of the families is known by its settings.
pub fn understand(exports: &[Export<'_>], family: Option<Family>) -> Result<Moved, Vec<Mistake>> {
    let settings = settings::Settings::read(exports)?;
    let family = match family.or_else(|| Family::of(&settings)) {
        Some(family) => family,
        None => return Err(vec![family::unknown(exports)]),
    };
    let understood = match family {
        Family::First | Family::V2 => functions::understand(&settings, family),
        Family::TtiV3 => ttiv3::understand(&settings),
        Family::TtnV3 => ttnv3::understand(&settings),
    };
    let plan = plan::Plan::new(understood);
    let toml = (!plan.routes.is_empty()).then(|| written::toml(&plan, family));
    Ok(Moved { report: report::report(&plan, family), toml })
}
