//! A Device Provisioning Service and an IoT Hub on this machine: the server's side of what `longhaul` talks to.
//!
//! Promises: what a client sees here (paths, tokens, answers, error bodies) is what the real service is known to do, as
//! far as there is evidence; `docs/azure-sim.md` says which. An accepted message stands in the record before the client
//! hears of it. Knows nothing of LoRaWAN and shares no code with our own client: Microsoft's SDKs are its judges.
//!
//! In the order in which a request meets them:

mod amqp; // AMQP: tokens, links, messages
mod ca; // certificate authority and leaf that clients are shown
mod cloud; // all of that behind one lock, for any protocol
mod connections; // HTTP requests as read, bounds
mod control; // the page and its API
mod directory; // who is connected, over all protocols
mod dps; // registration: who may, what is answered
mod driver; // bytes between a socket and whoever decides
mod endpoint; // who talks: a device or a module, at one hub
mod events; // what readers of the built-in endpoint see
mod faults; // trouble on request
mod handle; // what its users may see and do
mod header_case; // property names as the client spelled them
mod https; // HTTP addresses to calls, answers to statuses
mod hub; // telemetry: what is accepted, what is refused how
mod identity; // id scope and keys, kept over restarts
mod journal; // changes on disk, one line each
mod mqtt; // MQTT: devices and registrations
mod opening; // from options, and what is kept, to hubs and groups
mod options; // what a simulator is to be
mod random; // names, keys and etags, from where bytes are handed in
mod record; // what was accepted, one line each
mod registry; // the devices that a hub has
mod sas; // is this token good for that resource
mod service; // the owner's view of the registry: get, put, delete
mod setup; // hubs, id scopes and groups, as a file says
mod simulator; // wiring: start and stop
mod sockets; // accepting connections, TLS
mod started; // what clients have to know of one that runs
mod time; // what time it is, put forward on request
mod unplugged; // the services without ports
mod websocket; // other protocols in WebSocket frames

pub use cloud::{AmqpCounts, Counts, DeviceView, MqttCounts, Party, Theft, Thefts};
pub use dps::{GroupKey, NoKey, Registration, Substatus, Unmovable};
pub use faults::{
    AllConnections, AmqpAction, AmqpFault, AmqpFaults, ConnackFault, Gateway, LinkState, MqttFaults, NoPuback,
};
pub use faults::{
    DevicePolls, DpsFaults, DpsRefusal, DpsRefuse, Faults, HubFaults, HubRefusal, HubRefuse, Outage, Throttle, When,
};
pub use handle::Handle;
pub use hub::events::EventSource;
pub use options::{Clock, OnMessage, Options, RandomBytes};
pub use record::Recorded;
pub use registry::Status;
pub use setup::{Allocation, CloudToDevice, FeedbackSetup, GroupSetup, Reprovision, ScopeSetup, Setup, SetupError};
pub use simulator::{Simulator, StartError, start};
pub use started::{GroupAddress, HubAddress, STARTED_FILE, Started};
pub use time::NotForward;
pub use unplugged::Unplugged;
