//! PURE: which storage account it is, and who we are to it.
//!
//! What is read here may hold a key: nothing of it is repeated in an error, nor printed.

use std::fmt;

use azure_core::http::Url;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use microsoft::Kind;

use crate::place;

mod parts;

use parts::{BLOBS, EMULATOR, ENDINGS, KEY, NAME, PROTOCOL, QUEUES, SAS, parts};

/// Azure's public cloud; others say theirs as `EndpointSuffix`.
const SUFFIX: &str = "core.windows.net";
/// Azurite's account. Its key is public: every copy of the emulator has the same.
const EMULATED: &str = "devstoreaccount1";
const EMULATED_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Why a text names no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} {cause}; {mend}")]
pub struct AccountError {
    /// Which part of it.
    pub part: &'static str,
    /// What is wrong with it.
    pub cause: String,
    /// What to do about it.
    pub mend: String,
}

pub(crate) fn wrong(part: &'static str, cause: impl Into<String>, mend: impl Into<String>) -> AccountError {
    AccountError { part, cause: cause.into(), mend: mend.into() }
}

/// Who we are to an account. Prints no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Who {
    /// Whoever has one of the account's two keys: may do everything.
    Key(Key),
    /// Whoever has a token that was signed with such a key.
    Sas(Sas),
    /// An identity of Entra's, by the variables that [`Kind`] names; none: by what is found.
    Entra(Option<Kind>),
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("Key([secret])"),
            Self::Sas(_) => f.write_str("Sas([secret])"),
            Self::Entra(kind) => f.debug_tuple("Entra").field(kind).finish(),
        }
    }
}

/// A key of an account, as it signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub(crate) Vec<u8>);

impl Key {
    /// Reads it as the portal shows it.
    pub fn read(text: &str) -> Result<Self, AccountError> {
        match STANDARD.decode(text.trim()) {
            Ok(key) if !key.is_empty() => Ok(Self(key)),
            _ => Err(wrong(
                KEY,
                "is not base64",
                "copy it whole from the account's \"Access keys\", with the = at its end",
            )),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A shared access signature: what stands behind the `?`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sas(pub(crate) String);

impl Sas {
    /// Reads it as the portal shows it, with or without the `?`.
    pub fn read(text: &str) -> Result<Self, AccountError> {
        let text = text.trim().trim_start_matches('?');
        let has = |name: &str| {
            text.split('&').any(|pair| pair.split_once('=').is_some_and(|(n, v)| n == name && !v.is_empty()))
        };
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
            return Err(wrong(SAS, "has a space or a line break in it", "copy it again, in one piece"));
        }
        match ["sv", "sig"].into_iter().find(|name| !has(name)) {
            None => Ok(Self(text.to_owned())),
            Some(name) => {
                Err(wrong(SAS, format!("has no {name}="), "copy it whole: it begins with sv= or ?sv= and has a sig="))
            }
        }
    }
}

impl Sas {
    /// When it runs out, Unix seconds: its `se=`. None for one that a policy of the account ends.
    fn ends_at(&self) -> Option<i64> {
        let end = self.0.split('&').find_map(|pair| pair.strip_prefix("se="))?;
        let end = percent_encoding::percent_decode_str(end).decode_utf8().ok()?;
        // A day alone begins at midnight.
        let end = if end.contains('T') { end.into_owned() } else { format!("{end}T00:00:00Z") };
        azure_core::time::parse_rfc3339(&end).ok().map(|end| end.unix_timestamp())
    }
}

impl fmt::Debug for Sas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// A storage account. Prints no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Signs along; unknown where only endpoints and a SAS were told.
    pub(crate) name: Option<String>,
    pub(crate) blobs: Option<Url>,
    pub(crate) queues: Option<Url>,
    pub(crate) who: Who,
}

impl Account {
    /// When the shared access signature that opens it runs out, Unix seconds; none for a key or an identity.
    pub fn ends_at(&self) -> Option<i64> {
        match &self.who {
            Who::Sas(sas) => sas.ends_at(),
            Who::Key(_) | Who::Entra(_) => None,
        }
    }

    /// By its name, or by the address of its blobs (`https://NAME.blob.core.windows.net`).
    pub fn new(place: &str, who: Who) -> Result<Self, AccountError> {
        let place = place.trim();
        if !place.contains("://") {
            let name = place::name(place)?;
            let [blobs, queues] = ["blob", "queue"].map(|service| place::of(&name, service, SUFFIX));
            return Ok(Self { blobs: Some(blobs?), queues: Some(queues?), name: Some(name), who });
        }
        let blobs = place::endpoint("the account's address", place)?;
        let name = place::name_in(&blobs);
        if name.is_none() && matches!(who, Who::Key(_)) {
            let mend = "a key signs with it: give a connection string with AccountName";
            return Err(wrong("the account's address", "does not tell the account's name", mend));
        }
        Ok(Self { queues: place::queues_beside(&blobs), blobs: Some(blobs), name, who })
    }

    /// By a connection string, as the portal shows it.
    pub fn from_connection_string(text: &str) -> Result<Self, AccountError> {
        let parts = parts(text)?;
        let part = |name: &str| parts.get(name).copied();
        if let Some(value) = part(EMULATOR) {
            return emulated(value);
        }
        let name = part(NAME).map(place::name).transpose()?;
        let who = match (part(KEY), part(SAS)) {
            (Some(key), None) if name.is_some() => Who::Key(Key::read(key)?),
            (Some(_), None) => return Err(wrong(NAME, "is missing", "a key signs with it: add AccountName=…")),
            (None, Some(sas)) => Who::Sas(Sas::read(sas)?),
            (None, None) => {
                let mend = "copy the connection string whole, or name the account alone and use an identity";
                return Err(wrong("the connection string", "has neither AccountKey nor SharedAccessSignature", mend));
            }
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "the connection string",
                    "has AccountKey and SharedAccessSignature",
                    "leave one of them out",
                ));
            }
        };
        let suffix = part(ENDINGS).unwrap_or(SUFFIX);
        let is_plain = part(PROTOCOL).is_some_and(|protocol| protocol.eq_ignore_ascii_case("http"));
        let place = |given: &'static str, service: &str| match (part(given), &name) {
            (Some(url), _) => place::endpoint(given, url).map(Some),
            (None, Some(_)) if is_plain => {
                Err(wrong(PROTOCOL, "is http, and that without TLS is for this machine alone", "write https"))
            }
            (None, Some(name)) => place::of(name, service, suffix).map(Some),
            (None, None) => Ok(None),
        };
        let (blobs, queues) = (place(BLOBS, "blob")?, place(QUEUES, "queue")?);
        if blobs.is_none() && queues.is_none() {
            let mend = "add AccountName=…, or BlobEndpoint=… and QueueEndpoint=…";
            return Err(wrong("the connection string", "says not where the account is", mend));
        }
        Ok(Self { name, blobs, queues, who })
    }

    /// In words, for messages: an address, or a name.
    pub(crate) fn place(&self, service: Service) -> Result<&Url, AccountError> {
        let (place, part) = match service {
            Service::Blobs => (&self.blobs, BLOBS),
            Service::Queues => (&self.queues, QUEUES),
        };
        place.as_ref().ok_or_else(|| wrong(part, "is not known", "give it in a connection string"))
    }
}

/// What an account has, as far as we ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Blobs,
    Queues,
}

fn emulated(value: &str) -> Result<Account, AccountError> {
    if !value.eq_ignore_ascii_case("true") {
        return Err(wrong(EMULATOR, "is not true", "write UseDevelopmentStorage=true, or leave it out"));
    }
    let place = |port: u16| place::endpoint(EMULATOR, &format!("http://127.0.0.1:{port}/{EMULATED}"));
    Ok(Account {
        name: Some(EMULATED.to_owned()),
        blobs: Some(place(10_000)?),
        queues: Some(place(10_001)?),
        who: Who::Key(Key::read(EMULATED_KEY)?),
    })
}

#[cfg(test)]
mod tests;
