//! Secrets: `{ env = "NAME" }`, `{ file = "PATH" }`, or a plain text.
//!
//! Promises that no message of this module, or of one that uses it, repeats a secret.

use super::reader::{At, Found, Reader, Section, Wanted};
use super::tree::{Node, Value};

/// How a secret may be written.
pub(super) const EXAMPLE: &str = "{ env = \"NAME\" }";

/// Longest secret that is taken: a connection string has 600 characters, anything larger is the wrong file.
const BYTES_MAX: usize = 16 * 1024;

/// Resolves a secret.
pub(super) fn resolve(reader: &mut Reader<'_>, found: Found<Node>) -> Option<Found<String>> {
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
    check(reader, secret)
}

/// The `env`, `file` or `key_vault` of a table; `None` is already reported.
pub(super) fn from_table(reader: &mut Reader<'_>, section: &mut Section) -> Option<Found<String>> {
    let at = section.at().clone();
    let (env, file) = (section.has("env"), section.has("file"));
    let variable = section.text(reader, "env", "{ env = \"NAME\" }");
    let path = section.text(reader, "file", "{ file = \"PATH\" }");
    let vault = [section.take("key_vault"), section.take("secret")].iter().any(Option::is_some);
    if vault {
        reader.mistake(&at, "key vaults are not read in this version", "use { env = \"NAME\" } or { file = \"PATH\" }");
        return None;
    }
    match (env, file) {
        (true, true) => {
            reader.mistake(&at, "has both env and file", "keep one of them");
            None
        }
        (true, false) => from_variable(reader, Found { at, value: variable?.value }),
        (false, true) => from_file(reader, Found { at, value: path?.value }),
        (false, false) => {
            reader.mistake(&at, "says nowhere where the secret is", "write { env = \"NAME\" } or { file = \"PATH\" }");
            None
        }
    }
}

fn from_variable(reader: &mut Reader<'_>, name: Found<String>) -> Option<Found<String>> {
    let Some(value) = reader.variable(&name.value) else {
        let mend = "set it in the environment of the process, or name another";
        reader.mistake(&name.at, format!("the environment variable `{}` is not set", name.value), mend);
        return None;
    };
    check(reader, Found { at: name.at, value: value.to_owned() })
}

fn from_file(reader: &mut Reader<'_>, name: Found<String>) -> Option<Found<String>> {
    let path = reader.path(&name.value);
    match reader.file(&path) {
        Ok(text) => {
            // Editors and `echo` end a file with a line feed that nobody means.
            let value = text.trim_end_matches(['\r', '\n']);
            check(reader, Found { at: name.at, value: value.to_owned() })
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
    let mend = "use { env = \"NAME\" } or { file = \"PATH\" }, so that the file can be shown to others";
    reader.warn(at, "the secret stands in the file itself", mend);
}
