//! The flow, in the order in which an uplink meets it.

pub mod admin; // page, metrics, probes
pub mod ahead; // devices before their first uplink
pub mod alarms; // what a human must know
pub mod app; // build, run, drain
pub mod claims; // who owns that name
pub mod cli; // arguments in, exit code out
pub mod config; // what may stand in longhaul.toml
pub mod device; // one worker per active device
pub mod dispatch; // leases to device workers
pub mod events; // what is logged and counted
pub mod feed; // the recent past, for the page
pub mod gate; // is a service worth trying now
pub mod head; // what the door notes beside a message
pub mod identity; // under which name
pub mod lane; // where a message waits
pub mod pool; // hub connections
pub mod predecessor; // settings of the C# functions
pub mod provision; // where a device lives
pub mod reason; // why a message was buried, and the mend
pub mod reload; // a configuration that changed
pub mod route; // which target
pub mod shared_queue; // taking part in a queue that several share
pub mod suspects; // messages that break whoever reads them
pub mod swap; // a value that is replaced while others read it
pub mod tenancies; // which notes have been read
pub mod traces; // messages' walks, for a collector
pub mod uplink; // which body and properties
pub mod wait; // how long, by a service's word
pub mod webhook; // the door
pub mod world; // clock and randomness
