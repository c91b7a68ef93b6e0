//! Which letters are meant.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::admin_api::AdminApi;
use crate::admin::dead_letters::view::{Letter, Page};
use crate::config::duration;
use crate::reason::Class;

/// Letters asked for at once.
const AT_ONCE: usize = 500;

/// Filters; all of them have to hold.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only those with this reason, such as no_route
    #[arg(long)]
    reason: Option<String>,
    /// Only those of this class: message, configuration, azure, disk, bridge
    #[arg(long, value_parser = class)]
    class: Option<Class>,
    /// Only those of this network
    #[arg(long)]
    network: Option<String>,
    /// Only those of this application
    #[arg(long)]
    application: Option<String>,
    /// Only those of this device
    #[arg(long)]
    device: Option<String>,
    /// Only those that were buried longer ago than this, such as 2d
    #[arg(long, value_parser = duration::parse)]
    older_than: Option<Duration>,
    /// Only those that were buried within this time, such as 3h
    #[arg(long, value_parser = duration::parse)]
    newer_than: Option<Duration>,
}

impl Filter {
    /// Nothing is left out.
    pub(super) fn is_all(&self) -> bool {
        let names = [&self.reason, &self.network, &self.application, &self.device];
        names.iter().all(|name| name.is_none())
            && self.class.is_none()
            && self.older_than.is_none()
            && self.newer_than.is_none()
    }

    /// All of them, one page after the other; `each` says whether it wants more.
    ///
    /// # Errors
    /// What the bridge says.
    pub(super) async fn each(
        &self,
        bridge: &AdminApi,
        whole: bool,
        mut each: impl AsyncFnMut(Vec<Letter>) -> Result<bool, String>,
    ) -> Result<(), String> {
        // One moment for all pages: what is buried meanwhile is not older for it.
        let now = jiff::Timestamp::now().as_millisecond();
        let mut after = None;
        loop {
            let Page { letters, next } = bridge.get(&self.address(now, whole, after)).await?;
            if !each(letters).await? || next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    fn address(&self, now: i64, whole: bool, after: Option<u64>) -> String {
        let ago = |ago: Duration| now.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)).to_string();
        let given = [
            ("reason", self.reason.clone()),
            ("class", self.class.map(|class| class.word().to_owned())),
            ("network", self.network.clone()),
            ("application", self.application.clone()),
            ("device", self.device.clone()),
            ("buried_before", self.older_than.map(ago)),
            ("buried_after", self.newer_than.map(ago)),
            ("whole", whole.then(|| "true".to_owned())),
            ("after", after.map(|after| after.to_string())),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(format!("/api/v1/dead-letters?limit={AT_ONCE}"), |address, (name, value)| {
                format!("{address}&{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC))
            })
    }
}

fn class(text: &str) -> Result<Class, String> {
    let known = Class::ALL.map(Class::word);
    Class::ALL.into_iter().find(|class| class.word() == text).ok_or_else(|| format!("is one of {}", known.join(", ")))
}
