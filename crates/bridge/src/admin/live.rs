//! `/api/v1/live` and `/api/v1/series`: what happens now, and what happened lately.
//!
//! One task counts for all who look; whoever is slow misses ticks and costs nobody anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Frame, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use queue::Note;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Admin;
use super::problem::Problem;
use crate::feed::series::{COLUMNS, Counts, Span, Tick};
use crate::feed::units::Day;

/// Who may listen at once: some browsers of some people. Each has a socket, and half a KiB a second.
pub const LISTENERS_MAX: usize = 32;
/// Ticks that wait for a listener that is slow.
const TICKS_KEPT: usize = 4;
const SECOND: Duration = Duration::from_secs(1);
/// What hubs have counted is kept so often: what a crash forgets, for one commit.
const UNITS_EVERY: u32 = 60;
/// Collection of durable notes: hub → [`Day`].
const UNITS: &str = "units";

/// Where ticks go.
#[derive(Debug)]
pub struct Live {
    ticks: broadcast::Sender<Arc<str>>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Live {
    /// Until `stop`: what streams would hold up whoever closes the listener.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Self { ticks: broadcast::Sender::new(TICKS_KEPT), places: Arc::new(Semaphore::new(LISTENERS_MAX)), stop }
    }
}

/// The recent past in figures.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Points {
    /// From one point to the next. Steps in which the process did not run are not there.
    step_seconds: u32,
    /// What the figures of a point mean.
    columns: [&'static str; COLUMNS.len()],
    /// Oldest first; the last one is not over.
    points: Vec<Vec<i64>>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// How far back.
    span: Span,
}

/// A tick each second, as server-sent events of the name `tick`. At most 32 listeners.
#[utoipa::path(get, path = "/api/v1/live", tag = "overview", responses(
    (status = 200, description = "a stream", content_type = "text/event-stream", body = Tick),
    (status = 503, description = "too many listen", content_type = "application/problem+json", body = super::problem::Told),
))]
pub(super) async fn live(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let live = &admin.live;
    let place = live.places.clone().try_acquire_owned().map_err(|_| {
        let why = format!("{LISTENERS_MAX} listen already; close one of them, or ask /api/v1/series now and then");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", why)
    })?;
    let listener = (live.ticks.subscribe(), live.stop.clone(), place);
    let stream = unfold(listener, |(mut ticks, mut stop, place)| async move {
        loop {
            let tick = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return None,
                tick = ticks.recv() => tick,
            };
            match tick {
                Ok(tick) => {
                    let frame = Frame::default().event("tick").data(&*tick);
                    return Some((Ok::<_, Infallible>(frame), (ticks, stop, place)));
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(stream).into_response())
}

/// The last five minutes, hour or day, in steps.
#[utoipa::path(get, path = "/api/v1/series", tag = "overview", params(Wanted), responses((status = 200, body = Points),
    (status = 400, description = "no such span", content_type = "application/problem+json", body = super::problem::Told)))]
pub(super) async fn series(
    State(admin): State<Arc<Admin>>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Points>, Problem> {
    let Query(Wanted { span }) =
        query.map_err(|_| Problem::bad_request("span: write `span=5min`, `span=hour` or `span=day`"))?;
    let points = admin.events.feed().series().points(span);
    let points = points.iter().map(|point| point.figures().to_vec()).collect();
    Ok(Json(Points { step_seconds: span.step_seconds(), columns: COLUMNS, points }))
}

/// Makes the ticks, and keeps what hubs have counted, until `stop`.
pub async fn beat(admin: Arc<Admin>, mut stop: watch::Receiver<bool>) {
    admin.recall_units().await;
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut beats, mut keeping) = (0_u32, None);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            _ = seconds.tick() => {}
        }
        admin.tick();
        beats = beats.wrapping_add(1);
        // A disk that stands still holds no tick up, and is not asked once more.
        if beats.is_multiple_of(UNITS_EVERY) && keeping.as_ref().is_none_or(JoinHandle::is_finished) {
            let admin = admin.clone();
            keeping = Some(tokio::spawn(async move { admin.keep_units().await }));
        }
    }
    admin.keep_units().await;
}

impl Admin {
    fn tick(&self) {
        let feed = self.events.feed();
        let (counts, waits) = feed.second.take();
        let Counts { accepted, delivered, refused, buried, duplicates } = counts;
        let (stats, now) = (self.queue.stats(), self.world.now());
        let hubs = self.flow.as_ref().map_or_else(Vec::new, |flow| flow.pool.standing());
        let up = hubs.iter().filter(|hub| hub.open).count();
        let tick = Tick {
            at: now,
            accepted,
            delivered,
            refused,
            buried,
            duplicates,
            p50_ms: waits.at(0.5),
            p99_ms: waits.at(0.99),
            waiting: stats.waiting,
            waiting_bytes: stats.waiting_bytes,
            leased: stats.leased,
            oldest_age_ms: stats.oldest_accepted_at.map_or(0, |at| u64::try_from(now - at).unwrap_or(0)),
            dead_letters: stats.dead_letters,
            writable: stats.writable,
            hubs_up: up as u64,
            hubs_down: (hubs.len() - up) as u64,
            alarms_active: self.alarms_active(),
        };
        feed.series().note(tick, &waits);
        if self.live.ticks.receiver_count() > 0
            && let Ok(text) = serde_json::to_string(&tick)
        {
            let _ = self.live.ticks.send(text.into()); // the last of them has just gone
        }
    }

    /// Beside a queue of our own; a shared one has no place that is everybody's.
    fn keeps_units(&self) -> bool {
        self.flow.is_some() && !self.queue.is_shared()
    }

    async fn recall_units(&self) {
        if !self.keeps_units() {
            return;
        }
        let kept = self.queue.notes(UNITS).await.unwrap_or_default();
        let now = self.world.now();
        for (hub, day) in kept {
            if let Ok(day) = serde_json::from_slice::<Day>(&day) {
                self.events.feed().units().take_in(&hub, day, now);
            }
        }
    }

    async fn keep_units(&self) {
        if !self.keeps_units() {
            return;
        }
        let today = self.events.feed().units().today(self.world.now());
        let note = |(hub, day)| Note { space: UNITS.to_owned(), key: hub, value: serde_json::to_vec(&day).ok() };
        let notes: Vec<_> = today.into_iter().map(note).collect();
        if !notes.is_empty() {
            // A disk that refuses is everybody's trouble and told elsewhere; the next minute has these as well.
            let _ = self.queue.write_notes("", notes).await;
        }
    }
}
