//! The product's promises, seen from outside: the binary is started, posted to, killed, starved and frozen, and a judge
//! that shares no code with it reads what the simulated IoT Hub recorded.
//!
//! Relies on the names that strangers rely on too: commands, configuration keys, endpoints, the record's lines. Knows
//! nothing of how the bridge works inside. Every test prints its seed; `LONGHAUL_TEST_SEED` repeats a run, and
//! `LONGHAUL_TEST_LONG=1` takes the figures of the full campaigns.
#![allow(clippy::disallowed_methods, reason = "tests of whole processes live in real time and read their environment")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, seeds and last words are what a test leaves")]

// The world around the bridge:
mod azurite; // a storage account
mod bad_account; // one that says what it may say instead
mod http; // requests over a plain socket, keep-alive
mod network; // a network server that posts uplinks
mod oracle; // what was promised against what arrived
mod processes; // bridge and simulator as child processes
mod proxy; // a network between them that can fall silent
mod replicas; // doors and workers that share a queue in a storage account
mod settings; // the configuration that is written for them
mod site; // all of that in one directory
#[path = "../../../vault/tests/vault/stand_in.rs"]
mod stand_in; // a Key Vault and an Entra
mod uplinks; // bodies as The Things Stack and TTN V2 post them

// The promises, one file each:
mod ahead;
mod api;
mod bad_input;
mod check;
mod core_dumps;
mod corpus;
mod dead_letters;
mod demo;
mod device_commands;
mod devices;
mod drain;
mod fleet;
mod handover;
mod hostile_words;
mod kill;
mod mission;
mod new_devices;
mod outage;
mod pace;
mod poison;
mod policy;
mod power;
mod predecessor;
mod readers;
mod recovery;
mod reload;
mod rolling;
mod secrets;
mod secrets_in_trouble;
mod shared_queue;
mod slow_clients;
mod stalled_disk;
mod storage_errors;
mod throttled;
mod vault;
