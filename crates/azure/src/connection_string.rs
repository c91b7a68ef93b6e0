//! Connection strings as the portal shows them.
//!
//! Order and case of the names do not matter and unknown members are passed over, as in Microsoft's own parsers.
//! No error repeats any value: whatever was pasted here may be a key.

use std::fmt;

use crate::{device_id, key, net};

/// Longest text that is looked at: a host name, two names of 128 characters and a key of 64 bytes are 600.
pub const LENGTH_MAX: usize = 4096;

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

/// `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`: a policy of the whole hub. Debug hides the key.
#[derive(Clone, PartialEq, Eq)]
pub struct PolicyConnectionString {
    /// The hub's host name, without port.
    pub host: String,
    /// The policy, such as `iothubowner`.
    pub policy: String,
    /// The policy's key, decoded.
    pub key: Vec<u8>,
}

impl fmt::Debug for PolicyConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostName={};SharedAccessKeyName={};SharedAccessKey=[secret]", self.host, self.policy)
    }
}

/// What a connection string turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionString {
    /// Of one device.
    Device(DeviceConnectionString),
    /// Of a shared access policy.
    Policy(PolicyConnectionString),
}

/// Why a text is no connection string of a hub. Says nothing of its values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Over [`LENGTH_MAX`].
    #[error("the connection string is longer than {LENGTH_MAX} characters; copy it from the portal as it is")]
    TooLong,
    /// A member without `=`.
    #[error("member {0} of the connection string has no '='; members are NAME=VALUE with ';' between them")]
    NoEquals(usize),
    /// A member that is there twice.
    #[error("{0} is there twice in the connection string; keep one")]
    Twice(&'static str),
    /// A member that must be there.
    #[error("{0} is missing in the connection string; copy the whole text from the portal")]
    Missing(&'static str),
    /// Neither a device nor a policy.
    #[error(
        "the connection string has neither DeviceId nor SharedAccessKeyName; copy the primary connection string of the device"
    )]
    NeitherDeviceNorPolicy,
    /// The Event Hubs side of a hub, or another service.
    #[error(
        "the connection string begins with Endpoint=, so it belongs to an event hub; copy the one of the device in the IoT hub"
    )]
    EventHub,
    /// A token in place of the key.
    #[error("SharedAccessSignature is a token that runs out; use the connection string with SharedAccessKey")]
    Signature,
    /// A device that signs in by certificate.
    #[error(
        "the device of this connection string signs in by certificate (x509=true); create one with a symmetric key"
    )]
    Certificate,
    /// A module's.
    #[error("the connection string belongs to a module (ModuleId); use the one of the device")]
    Module,
    /// `HostName` is no host name.
    #[error("HostName is not a bare host name such as my-hub.azure-devices.net: {0}")]
    Host(net::EndpointError),
    /// `HostName` has a port.
    #[error("HostName has a port; leave it out here and set it in azure.ports")]
    Port,
    /// `DeviceId` is none.
    #[error("DeviceId is not usable: {0}")]
    DeviceId(device_id::Why),
    /// `SharedAccessKey` is none.
    #[error("SharedAccessKey is not usable: {0}")]
    Key(key::KeyError),
}

/// Reads a connection string of either form.
pub fn parse(text: &str) -> Result<ConnectionString, ParseError> {
    let members = Members::read(text)?;
    members.refuse_other_kinds()?;
    let host = host(members.need("HostName", &members.host_name)?)?;
    if let Some(policy) = members.shared_access_key_name {
        let key = members.key()?;
        return Ok(ConnectionString::Policy(PolicyConnectionString { host, policy: policy.to_owned(), key }));
    }
    let device_id = members.device_id.ok_or(ParseError::NeitherDeviceNorPolicy)?;
    device_id::check(device_id).map_err(ParseError::DeviceId)?;
    let key = members.key()?;
    Ok(ConnectionString::Device(DeviceConnectionString { host, device_id: device_id.to_owned(), key }))
}

/// The members that mean something here.
#[derive(Default)]
struct Members<'a> {
    host_name: Option<&'a str>,
    device_id: Option<&'a str>,
    module_id: Option<&'a str>,
    shared_access_key: Option<&'a str>,
    shared_access_key_name: Option<&'a str>,
    shared_access_signature: Option<&'a str>,
    endpoint: Option<&'a str>,
    x509: Option<&'a str>,
}

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > LENGTH_MAX {
            return Err(ParseError::TooLong);
        }
        let mut members = Self::default();
        let parts = text.split(';').map(str::trim).enumerate().filter(|(_, part)| !part.is_empty());
        for (at, part) in parts {
            // The first '=' only: keys end with more of them.
            let (name, value) = part.split_once('=').ok_or(ParseError::NoEquals(at + 1))?;
            members.put(name.trim(), value.trim())?;
        }
        Ok(members)
    }

    fn put(&mut self, name: &str, value: &'a str) -> Result<(), ParseError> {
        let known: [(&'static str, &mut Option<&'a str>); 8] = [
            ("HostName", &mut self.host_name),
            ("DeviceId", &mut self.device_id),
            ("ModuleId", &mut self.module_id),
            ("SharedAccessKey", &mut self.shared_access_key),
            ("SharedAccessKeyName", &mut self.shared_access_key_name),
            ("SharedAccessSignature", &mut self.shared_access_signature),
            ("Endpoint", &mut self.endpoint),
            ("x509", &mut self.x509),
        ];
        let Some((name, slot)) = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Ok(());
        };
        match slot.replace(value) {
            Some(_) => Err(ParseError::Twice(name)),
            None => Ok(()),
        }
    }

    fn refuse_other_kinds(&self) -> Result<(), ParseError> {
        if self.endpoint.is_some() {
            return Err(ParseError::EventHub);
        }
        if self.module_id.is_some() {
            return Err(ParseError::Module);
        }
        if self.shared_access_key.is_none() && self.shared_access_signature.is_some() {
            return Err(ParseError::Signature);
        }
        if self.shared_access_key.is_none() && self.x509.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Err(ParseError::Certificate);
        }
        Ok(())
    }

    fn need(&self, name: &'static str, value: &Option<&'a str>) -> Result<&'a str, ParseError> {
        value.filter(|v| !v.is_empty()).ok_or(ParseError::Missing(name))
    }

    fn key(&self) -> Result<Vec<u8>, ParseError> {
        key::decode(self.need("SharedAccessKey", &self.shared_access_key)?).map_err(ParseError::Key)
    }
}

fn host(text: &str) -> Result<String, ParseError> {
    // Port 0 is never written, so it shows whether the text had one of its own.
    let endpoint = net::Endpoint::parse(text, 0).map_err(ParseError::Host)?;
    if endpoint.port == 0 { Ok(endpoint.host) } else { Err(ParseError::Port) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn device(text: &str) -> DeviceConnectionString {
        match parse(text).unwrap() {
            ConnectionString::Device(device) => device,
            ConnectionString::Policy(policy) => panic!("{policy:?}"),
        }
    }

    #[test]
    fn device_form_is_read_in_any_order_and_case() {
        let plain =
            device(&format!("HostName=hub1.azure-devices.net;DeviceId=Dev 1;SharedAccessKey={KEY}").replace(' ', "-"));
        assert_eq!((plain.host.as_str(), plain.device_id.as_str()), ("hub1.azure-devices.net", "Dev-1"));
        assert_eq!(plain.key, b"0123456789abcdef0123456789abcdef");
        let odd =
            format!(" sharedaccesskey = {KEY} ; DEVICEID=Dev-1;GatewayHostName=x; hostname=hub1.azure-devices.net;");
        assert_eq!(device(&odd), plain);
    }

    #[test]
    fn policy_form_is_told_apart() {
        let text = format!("HostName=hub1.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
        let Ok(ConnectionString::Policy(policy)) = parse(&text) else { panic!("not a policy") };
        assert_eq!(policy.policy, "iothubowner");
        assert_eq!(
            format!("{policy:?}"),
            "HostName=hub1.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey=[secret]"
        );
    }

    #[test]
    fn each_mistake_has_its_own_mend() {
        let k = KEY;
        let cases = [
            (String::new(), ParseError::Missing("HostName")),
            (format!("DeviceId=d;SharedAccessKey={k}"), ParseError::Missing("HostName")),
            (format!("HostName=h;SharedAccessKey={k}"), ParseError::NeitherDeviceNorPolicy),
            ("HostName=h;DeviceId=d".into(), ParseError::Missing("SharedAccessKey")),
            ("HostName=h;DeviceId=d;SharedAccessKey=".into(), ParseError::Missing("SharedAccessKey")),
            ("HostName=h;DeviceId=d;x509=true".into(), ParseError::Certificate),
            ("HostName=h;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h".into(), ParseError::Signature),
            (format!("HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey={k}"), ParseError::Module),
            (format!("Endpoint=sb://h/;SharedAccessKeyName=p;SharedAccessKey={k}"), ParseError::EventHub),
            (format!("HostName=h;HostName=h;DeviceId=d;SharedAccessKey={k}"), ParseError::Twice("HostName")),
            (format!("HostName=h:8443;DeviceId=d;SharedAccessKey={k}"), ParseError::Port),
            (
                format!("HostName=h;DeviceId=a/b;SharedAccessKey={k}"),
                ParseError::DeviceId(device_id::Why::Character('/')),
            ),
            ("HostName=h;DeviceId=d;SharedAccessKey=abc$".into(), ParseError::Key(key::KeyError::NotBase64)),
            (KEY.trim_end_matches('=').into(), ParseError::NoEquals(1)),
            ("x".repeat(LENGTH_MAX + 1), ParseError::TooLong),
        ];
        for (text, error) in cases {
            assert_eq!(parse(&text), Err(error), "{text}");
        }
        assert!(matches!(parse(&format!("HostName=a b;DeviceId=d;SharedAccessKey={k}")), Err(ParseError::Host(_))));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_nor_shows_a_key(text in "(HostName=|DeviceId=|SharedAccessKey=|;|=|[ -~]|\\PC){0,40}") {
            if let Err(e) = parse(&format!("{text};SharedAccessKey=CANARYcanaryCANARYcanary")) {
                let shown = format!("{e} {e:?}").to_lowercase();
                prop_assert!(!shown.contains("canary"), "{}", shown);
            }
        }
    }
}
