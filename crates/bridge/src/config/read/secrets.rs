//! Secrets: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ key_vault = "https://…", secret = "NAME" }`, or a plain text.
//!
//! Promises that no message of this module, or of one that uses it, repeats a secret.

use std::collections::BTreeSet;

use base64::Engine as _;
use sha2::Digest as _;
use vault::Reference;

use super::reader::{At, Found, Reader, Section, Wanted, cause_and_mend};
use super::tree::{Node, Value};
use super::vaults::Vaults;
use crate::config::Source;

/// How a secret may be written.
pub(super) const EXAMPLE: &str = "{ env = \"NAME\" }";
const VAULT_EXAMPLE: &str = "{ key_vault = \"https://NAME.vault.azure.net\", secret = \"NAME\" }";

/// Longest secret that is taken: a connection string has 600 characters, anything larger is the wrong file.
const BYTES_MAX: usize = 16 * 1024;

/// Secrets of key vaults in one configuration: a key each for sixty-four applications. Each is fetched anew every few
/// minutes.
const VAULT_SECRETS_MAX: usize = 64;

/// A secret's value, and where it came from.
pub(super) struct Sourced {
    pub(super) found: Found<String>,
    pub(super) source: Source,
    /// The value is none: the key vault was not to be asked.
    pub(super) is_unasked: bool,
}

impl Sourced {
    fn new(found: Found<String>, source: Source) -> Self {
        Self { found, source, is_unasked: false }
    }
}

/// The value of a secret.
pub(super) fn resolve(reader: &mut Reader<'_>, found: Found<Node>) -> Option<Found<String>> {
    sourced(reader, found).map(|secret| secret.found)
}

/// The value of a secret, and where it came from.
pub(super) fn sourced(reader: &mut Reader<'_>, found: Found<Node>) -> Option<Sourced> {
    if matches!(found.value.value, Value::Table(_)) {
        let mut section = found.into_section(reader, EXAMPLE)?;
        let secret = from_table(reader, &mut section);
        section.finish(reader);
        return secret;
    }
    let secret = found.into_text(reader, Wanted { kind: "a text or a table", example: EXAMPLE })?;
    if let Some(crate::config::Place::Line(_)) = secret.at.place {
        warn_plain(reader, &secret.at);
    }
    Some(Sourced::new(check(reader, secret)?, Source::Plain))
}

/// The `env`, `file` or `key_vault` of a table; `None` is already reported.
pub(super) fn from_table(reader: &mut Reader<'_>, section: &mut Section) -> Option<Sourced> {
    let at = section.at().clone();
    let ways: Vec<_> = ["env", "file", "key_vault"].into_iter().filter(|way| section.has(way)).collect();
    let variable = section.text(reader, "env", "{ env = \"NAME\" }");
    let path = section.text(reader, "file", "{ file = \"PATH\" }");
    let vault = section.text(reader, "key_vault", VAULT_EXAMPLE);
    match *ways {
        ["env"] => return from_variable(reader, Found { at, value: variable?.value }),
        ["file"] => return from_file(reader, Found { at, value: path?.value }),
        _ => {}
    }
    let [name, version] = ["secret", "version"].map(|key| section.text(reader, key, VAULT_EXAMPLE));
    match *ways {
        [_] => {
            let Some(name) = name else {
                reader.mistake(&at, "names a key vault, but no secret in it", format!("write {VAULT_EXAMPLE}"));
                return None;
            };
            let version = version.map(|version| version.value);
            match Reference::new(&vault?.value, &name.value, version.as_deref()) {
                Ok(reference) => from_vault(reader, at, reference),
                Err(why) => {
                    let (cause, mend) = cause_and_mend(&why.to_string(), VAULT_EXAMPLE);
                    reader.mistake(&at, cause, mend);
                    None
                }
            }
        }
        [] => {
            let mend = format!("write {{ env = \"NAME\" }}, {{ file = \"PATH\" }} or {VAULT_EXAMPLE}");
            reader.mistake(&at, "says nowhere where the secret is", mend);
            None
        }
        [one, other, ..] => {
            reader.mistake(&at, format!("has both {one} and {other}"), "keep one of them");
            None
        }
    }
}

/// What was fetched, or in place of it, where nobody was to be asked, a value that passes for any secret and opens nothing.
fn from_vault(reader: &mut Reader<'_>, at: At, reference: Reference) -> Option<Sourced> {
    let wanted: BTreeSet<_> = reader.vault_secrets.iter().map(|(_, reference)| reference).collect();
    if wanted.len() == VAULT_SECRETS_MAX && !wanted.contains(&reference) {
        let cause = format!("is one of more than {VAULT_SECRETS_MAX} secrets in key vaults");
        reader.mistake(&at, cause, "give some of them as { file = \"PATH\" }");
        return None;
    }
    reader.vault_secrets.push((at.key.clone(), reference.clone()));
    let source = Source::KeyVault(reference.clone());
    let Vaults::Fetched(fetched) = reader.vaults else {
        let digest = sha2::Sha512::digest(reference.to_string());
        let value = base64::engine::general_purpose::STANDARD.encode(digest);
        return Some(Sourced { found: Found { at, value }, source, is_unasked: true });
    };
    match fetched.get(&reference) {
        Some(Ok(value)) => {
            let value = value.expose().trim_end_matches(['\r', '\n']).to_owned();
            Some(Sourced::new(check(reader, Found { at, value })?, source))
        }
        Some(Err(failure)) => {
            reader.mistake(&at, format!("{reference}: {}", failure.cause), failure.mend.clone());
            None
        }
        None => {
            reader.mistake(
                &at,
                format!("{reference} was not fetched"),
                "use `longhaul run` or `longhaul check`, which fetch it",
            );
            None
        }
    }
}

fn from_variable(reader: &mut Reader<'_>, name: Found<String>) -> Option<Sourced> {
    let Some(value) = reader.variable(&name.value) else {
        let mend = "set it in the environment of the process, or name another";
        reader.mistake(&name.at, format!("the environment variable `{}` is not set", name.value), mend);
        return None;
    };
    let secret = check(reader, Found { at: name.at, value: value.to_owned() })?;
    Some(Sourced::new(secret, Source::Variable(name.value)))
}

fn from_file(reader: &mut Reader<'_>, name: Found<String>) -> Option<Sourced> {
    let path = reader.path(&name.value);
    match reader.file(&path) {
        Ok(text) => {
            // Editors and `echo` end a file with a line feed that nobody means.
            let value = text.trim_end_matches(['\r', '\n']);
            let secret = check(reader, Found { at: name.at, value: value.to_owned() })?;
            Some(Sourced::new(secret, Source::File(path)))
        }
        Err(e) => {
            let mend = "correct the path (relative ones count from the configuration's directory) or its permissions";
            reader.mistake(&name.at, format!("the file {} cannot be read: {e}", path.display()), mend);
            None
        }
    }
}

/// What no secret of any kind is.
fn check(reader: &mut Reader<'_>, secret: Found<String>) -> Option<Found<String>> {
    let text = &secret.value;
    if text.trim().is_empty() {
        reader.mistake(&secret.at, "the secret is empty", "set it, or remove the key");
    } else if text.len() > BYTES_MAX {
        reader.mistake(
            &secret.at,
            format!("the secret is longer than {BYTES_MAX} bytes"),
            "name the file that holds only the secret",
        );
    } else if text.contains(char::is_control) {
        reader.mistake(
            &secret.at,
            "the secret has a line break or another control character in it",
            "keep one line with only the secret",
        );
    } else {
        return Some(secret);
    }
    None
}

/// Plain secrets get copied along with the file.
pub(super) fn warn_plain(reader: &mut Reader<'_>, at: &At) {
    let mend = "use { env = \"NAME\" }, { file = \"PATH\" } or a key vault, so that the file can be shown to others";
    reader.warn(at, "the secret stands in the file itself", mend);
}
