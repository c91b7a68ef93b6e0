//! The addresses of the door. Pure.

use http::Method;

/// What a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// A place for messages. The body says what it is, not the path.
    Messages {
        /// The key may stand in the query: the predecessor's address only.
        key_in_query: bool,
    },
    /// A place for messages, asked with another method than POST.
    WrongMethod,
    /// Nothing of ours.
    Nowhere,
}

/// Finds the address of a path.
pub fn address(method: &Method, path: &str) -> Address {
    // A base URL that ends in a slash, put before an empty path, is a habit of the network's console.
    let path = path.strip_suffix('/').unwrap_or(path);
    let predecessor = path.eq_ignore_ascii_case("/api/UplinkProcessor");
    let event = path.strip_prefix("/tts/").is_some_and(|event| !event.is_empty() && !event.contains('/'));
    if !(predecessor || event || path == "/tts" || path == "/ttn/v2") {
        return Address::Nowhere;
    }
    if method == Method::POST { Address::Messages { key_in_query: predecessor } } else { Address::WrongMethod }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_four_addresses() {
        for path in ["/tts", "/tts/", "/tts/uplink", "/tts/any-event", "/tts/join/", "/ttn/v2", "/ttn/v2/"] {
            assert_eq!(address(&Method::POST, path), Address::Messages { key_in_query: false }, "{path}");
            assert_eq!(address(&Method::GET, path), Address::WrongMethod, "{path}");
        }
        for path in ["/api/UplinkProcessor", "/API/uplinkprocessor"] {
            assert_eq!(address(&Method::POST, path), Address::Messages { key_in_query: true }, "{path}");
        }
    }

    #[test]
    fn everything_else_is_nowhere() {
        for path in ["/", "", "/tts/a/b", "/ttsx", "/ttn", "/ttn/v2/x", "/api", "//tts", "/TTS"] {
            assert_eq!(address(&Method::POST, path), Address::Nowhere, "{path}");
        }
    }
}
