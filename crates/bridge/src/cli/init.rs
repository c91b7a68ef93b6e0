//! `longhaul azure-sim`
/// stub
#[derive(Debug, clap::Args)]
pub struct Arguments {}
/// stub
pub fn main(_a: &Arguments) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
