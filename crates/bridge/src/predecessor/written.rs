//! PURE: a plan as `longhaul.toml`. Holds references to secrets, never one.

use std::fmt::Write as _;

use super::family::Family;
use super::plan::Plan;
use super::rules::{IdScope, Target};
use super::secrets::SecretRef;

/// Stands for an id scope that is to be filled in; `check` knows it.
const EXAMPLE_SCOPE: &str = "0ne00000000";

/// The file.
pub(super) fn toml(plan: &Plan, family: Family) -> String {
    let mut text = format!(
        "# Written by `longhaul import-settings` from the settings of {}.\n\
         # No secret stands here: the comments say which setting's value belongs into which variable of the environment.\n\
         # `longhaul init --config all.toml` writes a file with every key and its default.\n\n",
        family.name()
    );
    text.push_str(
        "[webhook]\n\
         # The key that the network sends: the function key, where the network's side stays as it is.\n\
         keys = [{ env = \"LONGHAUL_WEBHOOK_KEY\" }]\n\
         # As it is, only this machine can post. For the network, with a certificate or behind a proxy that has one:\n\
         #listen = \"0.0.0.0:8080\"\n\
         #cert_file = \"cert.pem\"\n\
         #key_file = \"key.pem\"\n\n\
         [queue]\n\
         kind = \"embedded\"\n\
         dir = \"data\"\n",
    );
    for (name, described) in &plan.targets {
        text.push('\n');
        text.push_str(&target(name, described));
    }
    for route in &plan.routes {
        text.push_str("\n[[routes]]\n");
        if let Some(application) = &route.application {
            let _ = writeln!(text, "application = {}", quoted(application));
        }
        if let Some(port) = route.port {
            let _ = writeln!(text, "port = {port}");
        }
        let _ = writeln!(text, "target = {}", quoted(&route.target));
    }
    for (name, rule) in &plan.spare {
        let _ = write!(text, "\n# Stood in the settings and had no effect, for {}:\n", rule.whose());
        let block = target(name, &rule.target);
        block.lines().for_each(|line| {
            let _ = writeln!(text, "#{line}");
        });
    }
    text
}

fn target(name: &str, target: &Target) -> String {
    let mut text = format!("[targets.{}]\n", key(name));
    match target {
        Target::Hub { connection_string, .. } => {
            text.push_str("kind = \"iot-hub\"\n");
            text.push_str(&secret(target.secret_key(), connection_string));
        }
        Target::Dps { is_central, endpoint, id_scope, group_key, model_id } => {
            let kind = if *is_central { "iot-central" } else { "dps" };
            let _ = writeln!(text, "kind = \"{kind}\"");
            if let Some(endpoint) = endpoint {
                let _ = writeln!(text, "endpoint = {}", quoted(endpoint));
            }
            text.push_str(&scope(id_scope));
            text.push_str(&secret(target.secret_key(), group_key));
            if let Some(model_id) = model_id {
                let _ = writeln!(text, "model_id = {}", quoted(model_id));
            }
        }
    }
    text
}

fn scope(id_scope: &IdScope) -> String {
    match id_scope {
        IdScope::Known(id_scope) => format!("id_scope = {}\n", quoted(id_scope)),
        IdScope::Open { setting, vault } => {
            let place =
                vault.as_ref().map_or(String::new(), |vault| format!(", secret {} of {}", vault.secret, vault.vault));
            format!("# FILL IN: the value of `{setting}`{place}.\nid_scope = \"{EXAMPLE_SCOPE}\"\n")
        }
    }
}

fn secret(name: &str, secret: &SecretRef) -> String {
    match &secret.vault {
        Some(vault) => {
            let version =
                vault.version.as_ref().map_or(String::new(), |version| format!(", version = {}", quoted(version)));
            let (place, secret) = (quoted(&vault.vault), quoted(&vault.secret));
            format!("{name} = {{ key_vault = {place}, secret = {secret}{version} }}\n")
        }
        None => format!(
            "# The value of `{}` ({}).\n{name} = {{ env = {} }}\n",
            secret.setting,
            secret.file.escape_default(),
            quoted(&secret.variable)
        ),
    }
}

fn key(name: &str) -> String {
    let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) && !name.is_empty();
    if is_bare { name.to_owned() } else { quoted(name) }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
