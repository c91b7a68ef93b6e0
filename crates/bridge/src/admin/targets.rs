//! `GET /api/v1/targets`: where messages go and how it is there, and where they come from.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use queue::UnixMillis;
use serde::Serialize;

use super::Admin;
use crate::config::{Config, Target, TargetKind};
use crate::feed::Feed;
use crate::pool::Standing;
use crate::provision::scope::Progress;

/// Both ends.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Targets {
    /// By name.
    targets: Vec<Told>,
    /// What comes from each application of each network, since the start.
    networks: Vec<Arrivals>,
}

/// One target of the configuration.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Target)]
pub(super) struct Told {
    name: String,
    /// `dps`, `iot-central` or `iot-hub`.
    kind: &'static str,
    /// Host, and port where it is not the usual one.
    endpoint: String,
    id_scope: Option<String>,
    /// What is routed here.
    routes: Vec<String>,
    /// Devices that live at its hubs.
    assigned: usize,
    /// How far it is with new devices; none where nobody was asked since the start.
    provisioning: Option<Progress>,
    hubs: Vec<Hub>,
}

/// One hub of a target.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Hub {
    /// Host and port.
    hub: String,
    /// `amqp`, `amqp-ws` or `https`.
    transport: &'static str,
    /// It works, as far as is known.
    open: bool,
    /// It refuses so many devices that none is registered again.
    refuses_many: bool,
    /// Connections, those that are being opened included; none where the transport keeps none, as the three after it.
    connections: Option<usize>,
    attached: Option<usize>,
    opening: Option<usize>,
    unsettled: Option<usize>,
    /// Lanes that rest until it works.
    resting: usize,
    /// Messages a second that it is given at the most, learnt or configured; none: as many as there are.
    pace_per_second: Option<u64>,
    /// None where it took nothing today.
    units: Option<Units>,
}

/// What a hub counts against its day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Units {
    /// The day of UTC, `2026-01-31`.
    day: String,
    /// Messages of it, in units of 4 KiB.
    used: u64,
    /// Since when they are counted.
    counted_since: UnixMillis,
    /// `daily_units` of the target.
    allowance: Option<u64>,
    /// At the pace of the last hour.
    forecast_end_of_day: u64,
    /// When the allowance is used up, if that is before the day ends.
    runs_out_at: Option<UnixMillis>,
}

/// What comes from one application.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Arrivals {
    network: String,
    /// `-` for messages that name none.
    application: String,
    /// Messages since the start.
    accepted: u64,
    /// Messages of the last whole minute.
    per_minute: u64,
    last_at: Option<UnixMillis>,
    /// Devices that were heard since the start.
    devices: u64,
    /// Frames that they sent and nobody heard.
    missed: u64,
}

/// Where messages go, and where they come from.
#[utoipa::path(get, path = "/api/v1/targets", tag = "overview", responses((status = 200, body = Targets)))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Targets> {
    let config = admin.config.get();
    let mut hubs = admin.hubs(&config);
    let progress = admin.flow.as_ref().map_or_else(Vec::new, |flow| flow.provision.progress());
    let told = |(name, target): (&String, &Arc<Target>)| {
        let (assigned, hubs) = hubs.remove(name).unwrap_or_default();
        let (kind, endpoint, id_scope) = described(target);
        let routes = config.routes.iter().filter(|route| route.target() == Some(name)).map(ToString::to_string);
        let is_its = |progress: &&Progress| match &id_scope {
            Some(scope) => progress.scope.split([' ', '/']).any(|part| part == scope),
            None => progress.scope.contains(&endpoint),
        };
        let provisioning = progress.iter().find(is_its).cloned();
        let name = name.clone();
        Told {
            name,
            kind,
            endpoint: endpoint.clone(),
            routes: routes.collect(),
            assigned,
            provisioning,
            id_scope: id_scope.clone(),
            hubs,
        }
    };
    let targets = config.targets.iter().map(told).collect();
    Json(Targets { targets, networks: arrivals(admin.events.feed(), admin.world.now()) })
}

fn described(target: &Target) -> (&'static str, String, Option<String>) {
    match &target.kind {
        TargetKind::Dps(dps) => {
            let kind = if dps.central { "iot-central" } else { "dps" };
            (kind, dps.endpoint.to_string(), Some(dps.id_scope.clone()))
        }
        TargetKind::Device(device) => ("iot-hub", device.host.clone(), None),
        TargetKind::Policy(policy) => ("iot-hub", policy.host.clone(), None),
    }
}

impl Admin {
    /// Those of each target, and the devices that live there.
    fn hubs(&self, config: &Config) -> BTreeMap<String, (usize, Vec<Hub>)> {
        let mut found: BTreeMap<String, (usize, Vec<Hub>)> = BTreeMap::new();
        let Some(flow) = &self.flow else { return found };
        for standing in flow.pool.standing() {
            let host = standing.hub.split(':').next().unwrap_or_default().to_owned();
            for name in self.targets_of(&host, config) {
                let allowance = config.targets.get(&name).and_then(|target| target.daily_units);
                let entry = found.entry(name).or_default();
                entry.0 += flow.provision.devices_of(&host);
                entry.1.push(self.hub(&standing, &host, allowance));
            }
        }
        found
    }

    /// Whose hub that is: by what went there, else by the configuration.
    fn targets_of(&self, host: &str, config: &Config) -> Vec<String> {
        let seen = self.events.feed().units().targets_of(host);
        if !seen.is_empty() {
            return seen;
        }
        let is_fixed = |target: &Target| match &target.kind {
            TargetKind::Dps(_) => false,
            TargetKind::Device(device) => device.host == host,
            TargetKind::Policy(policy) => policy.host == host,
        };
        let fixed: Vec<_> = config.targets.iter().filter(|(_, target)| is_fixed(target)).collect();
        let asked = config.targets.iter().filter(|(_, target)| matches!(target.kind, TargetKind::Dps(_)));
        let likely = if fixed.is_empty() { asked.collect() } else { fixed };
        likely.into_iter().map(|(name, _)| name.clone()).collect()
    }

    fn hub(&self, standing: &Standing, host: &str, allowance: Option<u64>) -> Hub {
        let now = self.world.now();
        let links = standing.links.as_ref();
        let day = self.events.feed().units().of(host, now);
        let units = day.map(|day| {
            let forecast = day.forecast(now, self.started_at, allowance);
            Units {
                day: date(day.day),
                used: day.used,
                counted_since: day.counted_since,
                allowance,
                forecast_end_of_day: forecast.end_of_day,
                runs_out_at: forecast.runs_out_at,
            }
        });
        Hub {
            hub: standing.hub.clone(),
            transport: standing.transport,
            open: standing.open,
            refuses_many: standing.refuses_many,
            connections: links.map(|links| links.connections),
            attached: links.map(|links| links.attached),
            opening: links.map(|links| links.opening),
            unsettled: links.map(|links| links.unsettled),
            resting: standing.resting,
            pace_per_second: links.and_then(|links| links.pace_per_second),
            units,
        }
    }
}

fn date(day: i64) -> String {
    let at = jiff::Timestamp::from_second(day.saturating_mul(86_400)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_string().split('T').next().unwrap_or_default().to_owned()
}

/// PURE but for the look: what was counted at the door, beside how the devices are heard. A process without a door knows the
/// second only.
fn arrivals(feed: &Feed, now: UnixMillis) -> Vec<Arrivals> {
    let mut all: BTreeMap<(String, String), Arrivals> = BTreeMap::new();
    let none = |network: &str, application: &str| Arrivals {
        network: network.to_owned(),
        application: application.to_owned(),
        accepted: 0,
        per_minute: 0,
        last_at: None,
        devices: 0,
        missed: 0,
    };
    for ((network, application), (devices, missed)) in feed.radios.by_application() {
        let told = Arrivals { devices, missed, ..none(&network, &application) };
        all.insert((network, application), told);
    }
    let counted = feed.networks().all();
    for (network, application, arrivals) in counted {
        let told = all.entry((network.clone(), application.clone())).or_insert_with(|| none(&network, &application));
        told.accepted = arrivals.accepted;
        told.per_minute = arrivals.per_minute(now);
        told.last_at = Some(arrivals.last_at);
    }
    all.into_values().collect()
}
