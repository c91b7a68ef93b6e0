//! `longhaul devices key`: the key that a device has in Azure, for whoever wants to connect as it.

use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::{USAGE, fail, fail_as, say, vaults};
use crate::ahead::{Wanted, way};
use crate::config::{Config, GroupKey, TargetKind};

/// `longhaul devices key`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// APPLICATION/DEVICE, as the network calls them
    device: String,
    /// Its DevEUI, where the target's names are made of it
    #[arg(long)]
    dev_eui: Option<String>,
    /// The port that it sends on, where its application is routed by ports
    #[arg(long)]
    port: Option<u8>,
    /// From the group's secondary key
    #[arg(long)]
    secondary: bool,
    /// The configuration
    #[arg(long, default_value = "longhaul.toml")]
    config: std::path::PathBuf,
}

/// The key alone on standard output, whose it is on standard error. Asks no bridge, and Azure only for secrets that the
/// configuration has in a key vault.
pub(super) async fn main(arguments: Arguments) -> ExitCode {
    let Some((application, device)) = arguments.device.split_once('/') else {
        return fail_as(USAGE, "write APPLICATION/DEVICE: device ids are unique within an application only");
    };
    let wanted = Wanted {
        network: None,
        application: application.to_owned(),
        device_id: device.to_owned(),
        dev_eui: arguments.dev_eui,
        port: arguments.port,
    };
    let config = match vaults::read(&arguments.config).await {
        Ok((read, _)) => read.config,
        Err(code) => return code,
    };
    let which = if arguments.secondary { GroupKey::Secondary } else { GroupKey::Primary };
    match derive(&wanted, &config, which) {
        Ok(Derived { key, whose }) => {
            note(&whose);
            say(&key);
            ExitCode::SUCCESS
        }
        Err(cause) => fail(&cause),
    }
}

/// A device's key, and whose it is.
struct Derived {
    key: String,
    whose: String,
}

/// PURE. The error is one sentence with the mend.
fn derive(wanted: &Wanted, config: &Config, which: GroupKey) -> Result<Derived, String> {
    let way = way(wanted, &wanted.key(config), config).map_err(|reason| reason.detail)?;
    match &config.targets[&way.target].kind {
        TargetKind::Dps(dps) => {
            if which == GroupKey::Secondary && dps.secondary_group_key.is_none() {
                return Err(format!("targets.{} has no secondary_group_key", way.target));
            }
            let key = azure::sas::derive_device_key(dps.key(which), &way.id);
            let whose = format!("`{}` in id scope {} (targets.{})", way.id, dps.id_scope, way.target);
            Ok(Derived { key: STANDARD.encode(key.as_bytes()), whose })
        }
        TargetKind::Policy(policy) => Err(format!(
            "targets.{} signs with policy `{}`, so that `{}` has no key derived from a group's; its own is in the registry of {}",
            way.target, policy.policy, way.id, policy.host
        )),
        TargetKind::Device(_) => {
            Err(format!("targets.{} is one device's connection string, which has its key", way.target))
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn note(whose: &str) {
    eprintln!("key of {whose}");
}
