//! PURE: where an account, a container and a queue are.

use azure_core::http::Url;

use crate::account::{AccountError, wrong};

/// Checks the name of an account.
pub(crate) fn name(text: &str) -> Result<String, AccountError> {
    let is_name = (3..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let mend = "it has 3 to 24 lower-case letters and digits; the portal shows it at the top";
    if is_name { Ok(text.to_owned()) } else { Err(wrong("AccountName", "is no name of a storage account", mend)) }
}

/// Where a service of an account is.
pub(crate) fn of(name: &str, service: &str, suffix: &str) -> Result<Url, AccountError> {
    let is_suffix = suffix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    if !is_suffix {
        return Err(wrong("EndpointSuffix", "is no end of a host name", "for Azure's public cloud leave it out"));
    }
    endpoint("EndpointSuffix", &format!("https://{name}.{service}.{suffix}"))
}

/// Reads an address. `http://` is for an emulator on this machine: whoever listens on a network would learn all that is written.
pub(crate) fn endpoint(part: &'static str, text: &str) -> Result<Url, AccountError> {
    let mend = "it begins with https:// and has a host, and perhaps a port";
    let url = Url::parse(text).map_err(|_| wrong(part, "is no address", mend))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    match url.scheme() {
        "https" if !host.is_empty() => {}
        "http" if is_this_machine(&host) => {}
        "http" => {
            let cause =
                format!("is http://{host}, and that without TLS is for this machine alone (127.0.0.1, ::1, localhost)");
            return Err(wrong(part, cause, "write https://"));
        }
        _ => return Err(wrong(part, "is no address", mend)),
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        let mend = "give the address alone, and a SAS as SharedAccessSignature";
        return Err(wrong(part, "has more than an address in it", mend));
    }
    Ok(url)
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The account's name, where an address tells it: in the host, or for an emulator in the path.
pub(crate) fn name_in(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    if is_this_machine(host) {
        let first = url.path_segments()?.next()?;
        return name(first).ok();
    }
    let (first, rest) = host.split_once('.')?;
    let is_azures = rest.starts_with("blob.") || rest.starts_with("queue.");
    is_azures.then(|| name(first).ok()).flatten()
}

/// Where the queues of an account are whose blobs are at `NAME.blob.…`.
pub(crate) fn queues_beside(blobs: &Url) -> Option<Url> {
    let (name, rest) = blobs.host_str()?.split_once('.')?;
    let suffix = rest.strip_prefix("blob.")?;
    of(name, "queue", suffix).ok()
}

/// Whether a container or a queue can be called so.
pub fn is_container_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| is_plain(b) || b == b'-')
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// The address of a container or a queue.
pub(crate) fn within(part: &'static str, endpoint: &Url, name: &str) -> Result<Url, AccountError> {
    if !is_container_name(name) {
        let mend = "it has 3 to 63 lower-case letters and digits, with single hyphens between them";
        return Err(wrong(part, format!("cannot be {name:?}"), mend));
    }
    let mut url = endpoint.clone();
    match url.path_segments_mut() {
        Ok(mut path) => _ = path.pop_if_empty().push(name),
        Err(()) => return Err(wrong(part, "has no address", "check the account's")),
    }
    Ok(url)
}

/// What a blob may be called. `.` and `..` would vanish from the address.
pub(crate) fn is_blob_name(name: &str) -> bool {
    (1..=1_024).contains(&name.len()) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_for_this_machine_alone() {
        for here in ["http://127.0.0.1:10000/devstoreaccount1", "http://[::1]:1/devstoreaccount1", "http://localhost/a"]
        {
            assert!(endpoint("BlobEndpoint", here).is_ok(), "{here}");
        }
        for there in [
            "http://azurite:10000/devstoreaccount1",
            "http://10.0.0.1/a",
            "http://acme.blob.core.windows.net",
            "http://localhost.example.com",
        ] {
            let error = endpoint("BlobEndpoint", there).unwrap_err().to_string();
            assert!(error.starts_with("BlobEndpoint is http://") && error.ends_with("write https://"), "{error}");
        }
    }

    #[test]
    fn names_are_found_where_addresses_tell_them() {
        let found = |url: &str| name_in(&Url::parse(url).unwrap());
        assert_eq!(found("https://acme1.blob.core.windows.net/").as_deref(), Some("acme1"));
        assert_eq!(found("http://127.0.0.1:10000/devstoreaccount1").as_deref(), Some("devstoreaccount1"));
        assert_eq!(found("https://blobs.example.com/"), None, "a name of one's own tells nothing");
    }

    #[test]
    fn containers_and_queues_are_named_as_azure_allows() {
        let endpoint = Url::parse("http://127.0.0.1:10000/devstoreaccount1").unwrap();
        let url = within("the container", &endpoint, "long-haul").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:10000/devstoreaccount1/long-haul");
        for name in ["", "ab", "Long", "a--b", "-ab", "ab-", "a/b", "$root", "a.b.c", &"a".repeat(64)] {
            assert!(within("the container", &endpoint, name).is_err(), "{name:?}");
        }
    }
}
