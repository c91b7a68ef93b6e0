//! What the door notes beside a message, so that nobody has to read the body to know whose it is.

use serde::{Deserialize, Serialize};

/// Stored as JSON in [`queue::Put::head`]. Holds nothing that came in a header, and no query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The network, from the key or the configuration.
    pub network: String,
    /// The application, when the message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// The device's name there, when the message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The DevEUI as the network wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_eui: Option<String>,
    /// The word of [`lorawan::envelope::Format`], or `protobuf`, or `unknown`.
    pub format: String,
    /// The path it was posted to.
    #[serde(default)]
    pub path: String,
}

impl Head {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings always become JSON")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When it is not ours.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back() {
        let head = Head { network: "ttn".to_owned(), device: Some("é\"".to_owned()), ..Head::default() };
        assert_eq!(Head::read(&head.to_bytes()).expect("our own"), head);
    }
}
