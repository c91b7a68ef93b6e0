//! The command line: one file per command; this one names them and starts the runtime.
//!
//! Exit codes: 0 done, 1 the work failed, 2 usage, 64 bad configuration.

pub mod azure_sim;
pub mod check;
pub mod dead_letters;
pub mod demo;
pub mod devices;
pub mod explain;
pub mod init;
pub mod queue;
pub mod run;
pub mod send;

mod admin_api;
mod duration;
mod follow;
mod log;
mod moment;
mod plain;
mod private_memory;
mod rate;
mod settings;
mod vaults;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::plain::plain_lines;

/// The command line cannot be understood; what clap itself says when it refuses one.
pub const USAGE: u8 = 2;
/// The work failed.
pub const FAILED: u8 = 1;
/// The configuration cannot be used.
pub const BAD_CONFIGURATION: u8 = 64;

/// Carries LoRaWAN messages between The Things Stack and Azure IoT Hub, and never loses one.
#[derive(Debug, Parser)]
#[command(name = "longhaul", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole system in one process, with no account, no network and no configuration
    Demo(demo::Arguments),
    /// The bridge
    Run(run::Arguments),
    /// Every mistake in the configuration at once; then reaches each target
    Check(check::Arguments),
    /// What could not be sent: why, and what becomes of it
    DeadLetters(dead_letters::Arguments),
    /// The devices of a running bridge, and their keys
    Devices(devices::Arguments),
    /// The embedded queue: what is in it, whether it is whole, a copy of it
    Queue(queue::Arguments),
    /// What would happen to a message: route, identity, exact body; no network
    Explain(explain::Arguments),
    /// Writes a commented configuration
    Init(init::Arguments),
    /// A DPS and an IoT Hub on this machine
    AzureSim(azure_sim::Arguments),
    /// Posts uplinks to a webhook as the network server would
    Send(send::Arguments),
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    keep_memory(&arguments.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("failed to start: {e}")),
    };
    let code = runtime.block_on(async {
        match arguments.command {
            Command::Demo(a) => demo::main(a).await,
            Command::Run(a) => run::main(a).await,
            Command::Check(a) => check::main(a).await,
            Command::DeadLetters(a) => dead_letters::main(a).await,
            Command::Devices(a) => devices::main(a).await,
            Command::Queue(a) => queue::main(a).await,
            Command::Explain(a) => explain::main(&a),
            Command::Init(a) => init::main(&a),
            Command::AzureSim(a) => azure_sim::main(a).await,
            Command::Send(a) => send::main(a).await,
        }
    });
    // Whatever still waits for a disk or a peer is not waited for: all that was promised is settled by now.
    runtime.shutdown_background();
    code
}

/// For all commands alike, before the first of them reads a secret.
#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn keep_memory(command: &Command) {
    let is_open = matches!(command, Command::Run(arguments) if arguments.allow_core_dumps);
    if !is_open && let Err(e) = private_memory::close() {
        eprintln!("longhaul: failed to keep its memory to itself, a core file would hold its secrets: {e}");
    }
}

/// One line on standard error, exit code 1.
/// Done, or what went wrong.
fn ended(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(&e),
    }
}

fn fail(message: &str) -> ExitCode {
    fail_as(FAILED, message)
}

#[expect(clippy::print_stderr, reason = "the command line's own voice")]
fn fail_as(code: u8, message: &str) -> ExitCode {
    eprintln!("longhaul: {}", plain_lines(message));
    ExitCode::from(code)
}

/// A line for the person at the terminal. A closed pipe is no reason to stop.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{}", plain_lines(line));
}
