//! The arguments of `longhaul send`, and what it prints.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::ValueEnum;

use super::super::{FAILED, USAGE, fail, fail_as, rate, run as bridge, say};
use super::uplinks::Style;
use super::{Options, Posted, SendError, run};
use crate::config::{Secret, duration};

/// Between two lines about how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// `longhaul send`
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The webhook; without a path, that of the format is used
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The webhook's key
    #[arg(long)]
    key: Option<String>,
    /// The shape of made-up uplinks
    #[arg(long, value_enum, default_value_t = Format::Tts)]
    format: Format,
    /// How many devices send, `dev-0001` and so on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// Messages a second over all devices; without it each device sends as soon as it is answered
    #[arg(long, value_parser = rate::parse)]
    rate: Option<f64>,
    /// How many messages in all; one for each device when neither this nor --for is given
    #[arg(long)]
    count: Option<u64>,
    /// How long to go on, such as 20s
    #[arg(long = "for", value_parser = duration::parse)]
    lasting: Option<Duration>,
    /// The application of made-up uplinks
    #[arg(long, default_value = "demo")]
    application: String,
    /// For https: certificates to trust besides the system's, PEM
    #[arg(long)]
    ca_file: Option<PathBuf>,
    /// Posted as they are, instead of made-up uplinks
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The Things Stack v3
    Tts,
    /// The Things Network V2
    TtnV2,
}

/// Posts, prints a line, and fails when anything was not answered 2xx.
pub async fn main(arguments: Arguments) -> ExitCode {
    let tls = match azure::net::Tls::new(arguments.ca_file.as_deref()) {
        Ok(tls) => Some(tls.config()),
        Err(e) if arguments.url.starts_with("https:") => return fail(&bridge::chain(&e)),
        Err(_) => None,
    };
    let options = Options {
        url: arguments.url,
        key: arguments.key.map(Secret::new),
        format: match arguments.format {
            Format::Tts => Style::TtsV3,
            Format::TtnV2 => Style::TtnV2,
        },
        devices: arguments.devices,
        rate: arguments.rate,
        count: arguments.count,
        lasting: arguments.lasting,
        files: arguments.files,
        application: arguments.application,
        tls,
    };
    let answered = Arc::new(AtomicU64::new(0));
    let counted = answered.clone();
    let observer = Arc::new(move |_: &Posted| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let progress = tokio::spawn(tell(answered));
    let outcome = run(options, bridge::world(), observer).await;
    progress.abort();
    match outcome {
        Ok(summary) => {
            say(&summary.to_string());
            if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(e @ SendError::Url(_)) => fail_as(USAGE, &bridge::chain(&e)),
        Err(e) => fail(&bridge::chain(&e)),
    }
}

/// Long work says how far it is: on standard error, so that what is printed in the end stays alone.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
async fn tell(answered: Arc<AtomicU64>) {
    let mut every = tokio::time::interval(TELL_EVERY);
    every.tick().await; // the first is at once
    loop {
        every.tick().await;
        eprintln!("{} posted", answered.load(Ordering::Relaxed));
    }
}
