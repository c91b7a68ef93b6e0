//! PURE: the forms in which settings leave Azure: `local.settings.json`, an app's settings as an object or as the portal's list,
//! `.env`, and lists of a key vault's secrets, with their values or without.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::Json;
use crate::config::{Mistake, Place, Secret};

/// Bytes of a file: a thousand settings of 1 KiB.
pub const BYTES_MAX: usize = 1 << 20;
/// Settings of all files: an app has some dozens, a vault some hundreds of secrets.
pub(super) const SETTINGS_MAX: usize = 10_000;
/// Levels of objects: the deepest setting of the predecessors has seven.
const DEPTH_MAX: usize = 16;
/// Characters of a setting's name: Azure takes 127 for a secret's, and these are made of four ids.
const NAME_MAX: usize = 256;

/// A file of settings.
#[derive(Clone, Copy, Debug)]
pub struct Export<'a> {
    /// As it is called in what is told.
    pub file: &'a str,
    /// All of it.
    pub text: &'a str,
}

/// One setting. Prints no value.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// As it is written.
    pub(super) name: String,
    /// Where it stands.
    pub(super) file: String,
    /// What it says, where that stands in the file.
    pub(super) text: Option<Secret>,
    /// Where its value stands, if that is a key vault.
    pub(super) vault: Option<InVault>,
    /// It comes from a list of a vault's secrets, which went before an app's own settings.
    pub(super) is_listed: bool,
}

/// A secret of a key vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct InVault {
    pub(super) vault: String,
    pub(super) secret: String,
    pub(super) version: Option<String>,
}

/// Reads a file of any of the forms.
///
/// # Errors
/// Why not, without a word of the file.
pub(super) fn read(export: Export<'_>) -> Result<Vec<Setting>, Mistake> {
    let wrong = |line: Option<usize>, cause: &str, mend: &str| Mistake {
        key: export.file.to_owned(),
        place: line.map(Place::Line),
        cause: cause.to_owned(),
        mend: mend.to_owned(),
    };
    if export.text.len() > BYTES_MAX {
        return Err(wrong(None, "is longer than 1 MiB", "give an export of settings"));
    }
    let text = export.text.trim_start_matches('\u{feff}');
    let mut settings = Vec::new();
    if text.trim_start().starts_with(['{', '[']) {
        let json = Json::read(text).map_err(|(line, column)| {
            wrong(Some(line), &format!("is not JSON at column {column}"), "export it again, or mend the line")
        })?;
        from_json(&json, export.file, &mut settings).map_err(|(cause, mend)| wrong(None, cause, mend))?;
    } else {
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // A key that was pasted alone ends with `=`, and would be told as the name of a setting.
            if STANDARD.decode(line).is_ok_and(|bytes| bytes.len() >= azure::key::BYTES_MIN) {
                return Err(wrong(Some(at + 1), "is a key without a name", "each line of a .env file is NAME=VALUE"));
            }
            let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
                return Err(wrong(Some(at + 1), "has no `=`", "each line of a .env file is NAME=VALUE"));
            };
            settings.push(plain(name.trim(), unquoted(value.trim()), export.file));
        }
    }
    match settings.iter().any(|setting| !is_name(&setting.name)) {
        true => Err(wrong(
            None,
            "has a name of a setting that is none (its letters, its length)",
            "is this an export of settings? names have letters, digits and - _ . :",
        )),
        false => Ok(settings),
    }
}

/// Everything else is not repeated: it may be a piece of a secret.
fn is_name(name: &str) -> bool {
    let is_char = |c: char| c.is_ascii_alphanumeric() || "-_.: ".contains(c);
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_char)
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

type Wrong = (&'static str, &'static str);

fn from_json(json: &Json, file: &str, settings: &mut Vec<Setting>) -> Result<(), Wrong> {
    match json {
        Json::List(items) => items.iter().try_for_each(|item| listed(item, file, settings)),
        Json::Object(_) if secret_id(json).is_some() => listed(json, file, settings),
        Json::Object(members) => {
            // What the REST API of a vault gives, and that of an app.
            if let Some(Json::List(items)) = json.member("value") {
                return items.iter().try_for_each(|item| listed(item, file, settings));
            }
            if let (Some(properties), Some(_)) = (json.member("properties"), json.member("type")) {
                return flatten(properties, String::new(), file, settings, 0);
            }
            if json.member("IsEncrypted").and_then(Json::text).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                return Err(("is encrypted", "decrypt it first, with `func settings decrypt`"));
            }
            let local = ["IsEncrypted", "Values", "Host"];
            for (name, value) in members {
                let is = |known: &str| name.eq_ignore_ascii_case(known);
                match value {
                    Json::Object(_) if is("Values") => flatten(value, String::new(), file, settings, 0)?,
                    _ if local.iter().any(|known| is(known)) => {}
                    _ => flatten(value, name.clone(), file, settings, 0)?,
                }
            }
            Ok(())
        }
        _ => Err(("is no object and no list", "export the settings again")),
    }
}

/// `a: { b: 1 }` is `a:b`, as .NET has it.
fn flatten(json: &Json, name: String, file: &str, settings: &mut Vec<Setting>, depth: usize) -> Result<(), Wrong> {
    if depth > DEPTH_MAX || settings.len() > SETTINGS_MAX {
        return Err(("has too many settings, or too deep ones", "give an export of one app's settings"));
    }
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}:{part}") };
    match json {
        Json::Null => {}
        Json::Text(text) => settings.push(plain(&name, text, file)),
        Json::List(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(item, below(&at.to_string()), file, settings, depth + 1)?;
            }
        }
        Json::Object(members) => {
            for (part, value) in members {
                flatten(value, below(part), file, settings, depth + 1)?;
            }
        }
    }
    Ok(())
}

/// An item of the portal's list, or of a list of secrets.
fn listed(item: &Json, file: &str, settings: &mut Vec<Setting>) -> Result<(), Wrong> {
    if let Some(vault) = secret_id(item) {
        // `:` may not stand in the name of a secret, so .NET reads `--` for it.
        let name = vault.secret.replace("--", ":");
        let text = item.member("value").and_then(Json::text).map(|text| Secret::new(text.to_owned()));
        settings.push(Setting { name, file: file.to_owned(), text, vault: Some(vault), is_listed: true });
        return Ok(());
    }
    let Some(name) = item.member("name").and_then(Json::text) else {
        return Err(("has an entry without a `name`", "export the list again, as the portal or `az` gives it"));
    };
    settings.push(plain(name, item.member("value").and_then(Json::text).unwrap_or_default(), file));
    Ok(())
}

/// `https://VAULT/secrets/NAME`, perhaps with a version.
fn secret_id(item: &Json) -> Option<InVault> {
    let id = item.member("id").and_then(Json::text).or_else(|| item.member("sid").and_then(Json::text))?;
    at_address(id)
}

fn at_address(address: &str) -> Option<InVault> {
    let (vault, rest) = address.trim().split_once("/secrets/")?;
    let mut parts = rest.trim_end_matches('/').split('/');
    in_vault(vault, parts.next()?, parts.next())
}

fn in_vault(vault: &str, secret: &str, version: Option<&str>) -> Option<InVault> {
    let vault = vault.trim_end_matches('/').to_owned();
    vault::Reference::new(&vault, secret, version).ok()?;
    Some(InVault { vault, secret: secret.to_owned(), version: version.map(str::to_owned) })
}

/// A value that stands in the file, or a reference of an app to a key vault.
fn plain(name: &str, value: &str, file: &str) -> Setting {
    let vault = reference(value);
    let text = vault.is_none().then(|| Secret::new(value.to_owned()));
    Setting { name: name.to_owned(), file: file.to_owned(), text, vault, is_listed: false }
}

/// `@Microsoft.KeyVault(SecretUri=…)`, or `(VaultName=…;SecretName=…;SecretVersion=…)`.
fn reference(value: &str) -> Option<InVault> {
    let within = value.trim().strip_prefix("@Microsoft.KeyVault(")?.strip_suffix(')')?;
    let part = |name: &str| {
        let mut parts = within.split(';').filter_map(|part| part.trim().split_once('='));
        parts.find(|(known, _)| known.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    if let Some(address) = part("SecretUri") {
        return at_address(address);
    }
    in_vault(&format!("https://{}.vault.azure.net", part("VaultName")?), part("SecretName")?, part("SecretVersion"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, Option<String>)> {
        let settings = read(Export { file: "f", text }).expect("it can be read");
        let value = |setting: &Setting| match (&setting.text, &setting.vault) {
            (Some(text), _) => Some(text.expose().clone()),
            (None, Some(vault)) => Some(format!("{}|{}|{:?}", vault.vault, vault.secret, vault.version)),
            (None, None) => None,
        };
        settings.iter().map(|setting| (setting.name.clone(), value(setting))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, Option<String>) {
        (name.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn each_form_gives_the_same_settings() {
        let forms = [
            "{\"IsEncrypted\": false, \"Values\": {\"A\": \"1\", \"B:C\": \"2\"}, \"Host\": {\"CORS\": \"*\"}}",
            "{\"A\": 1, \"B\": {\"C\": \"2\"}}",
            "[{\"name\": \"A\", \"value\": \"1\", \"slotSetting\": false}, {\"name\": \"B:C\", \"value\": \"2\"}]",
            "# mine\nexport A=1\n\nB:C=\"2\"\r\n",
            "\u{feff}{\"id\": \"/subscriptions/x\", \"type\": \"Microsoft.Web/sites/config\", \"properties\": {\"A\": \"1\", \"B:C\": \"2\"}}",
        ];
        for form in forms {
            assert_eq!(names(form), [pair("A", "1"), pair("B:C", "2")], "{form}");
        }
    }

    #[test]
    fn secrets_of_vaults_are_known_by_list_and_by_reference() {
        let version = "0123456789abcdef0123456789abcdef";
        let at = |secret: &str, version: &str| format!("https://v.vault.azure.net|{secret}|{version}");
        let text = format!(
            "[{{\"id\": \"https://v.vault.azure.net/secrets/AzureIoT--IdScope\", \"name\": \"AzureIoT--IdScope\"}},
              {{\"name\": \"K\", \"value\": \"@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/S/{version})\"}},
              {{\"name\": \"L\", \"value\": \"@Microsoft.KeyVault(VaultName=v;SecretName=T)\"}}]"
        );
        let expected = [
            pair("AzureIoT:IdScope", &at("AzureIoT--IdScope", "None")),
            pair("K", &at("S", &format!("Some(\"{version}\")"))),
            pair("L", &at("T", "None")),
        ];
        assert_eq!(names(&text), expected);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_a_word_of_it() {
        let key = STANDARD.encode("a key of 32 bytes, as it is copied");
        let mistake = read(Export { file: "f", text: &format!("A=1\n{key}\n") }).expect_err("it has no name");
        assert!(mistake.place == Some(Place::Line(2)) && !format!("{mistake:?}").contains(&key[..8]), "{mistake:?}");
        for text in [
            "{\"IsEncrypted\": true, \"Values\": {\"A\": \"canary\"}}",
            "canary",
            "{\"A\": canary}",
            "[\"canary\"]",
            "canary+canary/canary==\n",
        ] {
            let mistake = read(Export { file: "f", text }).expect_err(text);
            assert!(!format!("{mistake:?}").contains("canary"), "{mistake:?}");
        }
    }
}
