//! A simulator in this process, its devices, and clients that talk to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure::hub::amqp::{AmqpHub, AmqpOptions, AmqpTransport};
use azure::key::Signer;
use azure::net::{Dial, Endpoint, Tls};
use simulator::{Options, Simulator};

use crate::ledger::Ledger;
use crate::tap::Tap;

/// A device of the hub.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) id: Arc<str>,
    pub(crate) key: Arc<Signer>,
}

/// One test's world.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) simulator: Simulator,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) devices: Vec<Device>,
    pub(crate) seed: u64,
    dial: Arc<dyn Dial>,
}

impl Site {
    /// With so many devices at the hub.
    pub(crate) async fn start(devices: usize) -> Self {
        let (seed, ledger) = (seed(), Arc::<Ledger>::default());
        let options = Options { on_message: Some(ledger.writer()), ..Options::new(Arc::new(now_ms)) };
        let simulator = simulator::start(options).await.expect("the simulator starts");
        let ids: Vec<String> = (0..devices).map(name).collect();
        simulator.enrol(&ids).expect("devices can be made");
        let devices = devices_of(&simulator.started().group_key, &ids);
        let tls = Tls::new(Some(&simulator.started().ca_file)).expect("the simulator's CA is a CA");
        Self { simulator, ledger, devices, seed, dial: Arc::new(tls) }
    }

    pub(crate) fn amqp_port(&self) -> u16 {
        self.simulator.started().amqp
    }

    pub(crate) fn https_port(&self) -> u16 {
        self.simulator.started().https
    }

    /// An ear for one client.
    pub(crate) fn tap(&self) -> Arc<Tap> {
        Tap::new(self.dial.clone())
    }

    /// A client that reaches the hub at this port; `tap` hears it.
    pub(crate) fn hub(&self, port: u16, tap: &Arc<Tap>, options: AmqpOptions) -> AmqpHub {
        client(port, tap.clone(), AmqpOptions { seed: self.seed, ..options })
    }

    /// A client that nobody hears.
    pub(crate) fn unheard_hub(&self, port: u16, options: AmqpOptions) -> AmqpHub {
        client(port, self.dial.clone(), AmqpOptions { seed: self.seed, ..options })
    }

    /// So many messages of each device.
    pub(crate) fn each(&self, count: u32) -> BTreeMap<String, u32> {
        self.devices.iter().map(|device| (device.id.to_string(), count)).collect()
    }
}

/// Nothing is paced, so that the machine is the only bound.
pub(crate) fn unpaced() -> AmqpOptions {
    AmqpOptions { attaches_per_second: 0, ..AmqpOptions::new(AmqpTransport::Tcp) }
}

pub(crate) fn client(port: u16, dial: Arc<dyn Dial>, options: AmqpOptions) -> AmqpHub {
    let endpoint = Endpoint { host: "localhost".to_owned(), port };
    AmqpHub::new(endpoint, dial, options, Arc::new(|| now_ms() / 1000))
}

/// Real ones look like this.
pub(crate) fn name(number: usize) -> String {
    format!("eui-70b3d57ed{number:07x}")
}

pub(crate) fn devices_of(group_key: &str, ids: &[String]) -> Vec<Device> {
    let group = azure::key::decode(group_key).expect("the simulator's key is a key");
    let key = |id: &str| Arc::new(Signer::Device(azure::sas::derive_device_key(&group, id)));
    ids.iter().map(|id| Device { id: id.as_str().into(), key: key(id) }).collect()
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// From `LONGHAUL_TEST_SEED`, or new; printed either way.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("LONGHAUL_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("LONGHAUL_TEST_SEED={seed}");
    seed
}

/// Whether the full campaigns are asked for.
pub(crate) fn is_long() -> bool {
    std::env::var("LONGHAUL_TEST_LONG").is_ok_and(|text| text == "1")
}
