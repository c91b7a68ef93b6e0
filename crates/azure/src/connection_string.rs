//! Connection strings as the portal shows them.

use std::fmt;

/// `HostName=…;DeviceId=…;SharedAccessKey=…`. Debug hides the key.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceConnectionString {
    /// The hub's host name, without port.
    pub host: String,
    /// The device.
    pub device_id: String,
    /// The device's key, decoded.
    pub key: Vec<u8>,
}

impl fmt::Debug for DeviceConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName={};DeviceId={};SharedAccessKey=[secret]", self.host, self.device_id)
    }
}
