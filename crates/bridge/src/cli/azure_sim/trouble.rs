//! Trouble to order on the command line.

use clap::ValueEnum;
use simulator::{DpsRefusal, DpsRefuse, Faults, HubRefusal, HubRefuse, Outage, Throttle, When};

/// Longest text of `--faults`.
const FAULTS_MAX: usize = 64 * 1024;

/// Trouble to order; the control API changes it while it runs.
#[derive(Debug, clap::Args)]
pub(super) struct Trouble {
    /// DPS answers 429 beyond so many registrations a minute
    #[arg(long, value_name = "PER_MINUTE")]
    dps_throttle: Option<u32>,
    /// The hub answers 429 beyond so many messages a second
    #[arg(long, value_name = "PER_SECOND")]
    hub_throttle: Option<u32>,
    /// DPS refuses this device (401); may be given again
    #[arg(long, value_name = "REGISTRATION_ID")]
    dps_refuse: Vec<String>,
    /// The hub refuses this device (401); may be given again
    #[arg(long, value_name = "DEVICE_ID")]
    hub_refuse: Vec<String>,
    /// DPS waits before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    dps_delay: u64,
    /// The hub waits before every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    hub_delay: u64,
    /// DPS is away
    #[arg(long, value_enum)]
    dps_outage: Option<Away>,
    /// The hub is away
    #[arg(long, value_enum)]
    hub_outage: Option<Away>,
    /// All faults as JSON instead, as the control API takes them
    #[arg(long, value_name = "JSON", conflicts_with_all = ["dps_throttle", "hub_throttle", "dps_refuse", "hub_refuse", "dps_outage", "hub_outage"])]
    faults: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Away {
    /// 503 on every call
    Unavailable,
    /// The connection is closed instead of an answer
    Close,
    /// The connection stays open and silent
    Hang,
}

impl Trouble {
    /// The faults that are asked for.
    pub(super) fn faults(&self) -> Result<Faults, String> {
        let trouble = self;
        if let Some(text) = &trouble.faults {
            let bounded = text.get(..text.len().min(FAULTS_MAX)).unwrap_or_default();
            return serde_json::from_str(bounded).map_err(|e| e.to_string());
        }
        let mut faults = Faults::default();
        let throttle = |when| Throttle { when, retry_after_s: Some(1) };
        faults.dps.throttle = trouble.dps_throttle.map(|n| throttle(When::AbovePerMinute(n)));
        faults.hub.throttle = trouble.hub_throttle.map(|n| throttle(When::AbovePerSecond(n)));
        if !trouble.dps_refuse.is_empty() {
            faults.dps.refuse = vec![DpsRefuse { ids: trouble.dps_refuse.clone(), answer: DpsRefusal::Unauthorized }];
        }
        if !trouble.hub_refuse.is_empty() {
            faults.hub.refuse = vec![HubRefuse { ids: trouble.hub_refuse.clone(), answer: HubRefusal::Unauthorized }];
        }
        (faults.dps.delay_ms, faults.hub.delay_ms) = (trouble.dps_delay, trouble.hub_delay);
        (faults.dps.outage, faults.hub.outage) = (trouble.dps_outage.map(away), trouble.hub_outage.map(away));
        Ok(faults)
    }
}

fn away(how: Away) -> Outage {
    match how {
        Away::Unavailable => Outage::Unavailable,
        Away::Close => Outage::Close,
        Away::Hang => Outage::Hang,
    }
}
