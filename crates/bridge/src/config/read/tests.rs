//! A world of its own for every test: no file and no variable of this machine is read.

mod canaries;
mod commented;
mod environment;
mod former;
mod mistakes;
mod usable;
mod vaults;

use std::io;
use std::path::{Path, PathBuf};

use super::{Read, read};
use crate::config::Mistake;

/// 64 bytes, as Azure makes them for groups.
const GROUP_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const PRIVATE_KEY: &str = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";

/// A configuration with the least that is needed; other sections are put before or after.
const LEAST: &str = "[targets.main]\nkind = \"dps\"\nid_scope = \"0ne00ABCDEF\"\ngroup_key = { env = \"GROUP_KEY\" }\n\
                     [[routes]]\ntarget = \"main\"\n";

/// Files and variables that a configuration may name.
struct World {
    env: Vec<(String, String)>,
    files: Vec<(PathBuf, String)>,
}

impl World {
    fn new() -> Self {
        let file = |name: &str, text: &str| (Path::new("/etc/longhaul").join(name), text.to_owned());
        let files = vec![
            file("cert.pem", CERTIFICATE),
            file("key.pem", PRIVATE_KEY),
            file("azure-sim-ca.pem", CERTIFICATE),
            file("own.key", "key-of-the-own-net-1\n"),
            file("empty.key", "\n"),
            file("two.key", "one\ntwo\n"),
        ];
        Self { env: Vec::new(), files }
            .with("GROUP_KEY", GROUP_KEY)
            .with("GROUP_KEY_2", GROUP_KEY)
            .with("LONGHAUL_WEBHOOK_KEY", "key-of-the-webhook-1")
            .with("LONGHAUL_ADMIN_TOKEN", "token-of-the-admin-1")
            .with("ALARM_WEBHOOK", "https://alarms.example.com/hook?key=1")
            .with("ALARM_TOKEN", "token-of-the-receiver")
            .with("COLLECTOR_AUTHORIZATION", "Bearer token-of-the-collector")
            .with(
                "DEVICE_CONNECTION_STRING",
                &format!("HostName=hub.azure-devices.net;DeviceId=one;SharedAccessKey={GROUP_KEY}"),
            )
            .with(
                "STORAGE_CONNECTION_STRING",
                &format!("DefaultEndpointsProtocol=https;AccountName=acme1;AccountKey={GROUP_KEY}"),
            )
            .with("EMPTY", "")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn read(&self, text: &str) -> Result<Read, Vec<Mistake>> {
        read(text, &self.env, Path::new("/etc/longhaul"), &|path| {
            let found = self.files.iter().find(|(name, _)| name == path);
            found.map(|(_, text)| text.clone()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        })
    }
}

fn usable(text: &str) -> Read {
    World::new().read(text).unwrap_or_else(|mistakes| panic!("{}", crate::config::report("test", &mistakes)))
}
