//! IoT Hub, the device's side: telemetry up, and what each transport could do besides.
//!
//! [`Telemetry`] is what any transport sends and [`SendError`] what any of them answers: [`https`] with a request a
//! message, [`amqp`] over few connections that many devices share.

pub mod amqp;
pub mod https;
mod send_error;
mod telemetry;

pub use send_error::{Remedy, SendError, Why};
pub use telemetry::{MESSAGE_BYTES_MAX, Telemetry, Unsendable};

use crate::UnixSeconds;

/// What a transport of IoT Hub can do. Differences between transports stand in this table and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// As the configuration and the logs call it.
    pub name: &'static str,
    /// Its usual TCP port.
    pub port: u16,
    /// There is code for it here.
    pub implemented: bool,
    /// Takes telemetry.
    pub telemetry: bool,
    /// Hands out cloud-to-device messages without being polled. (Over HTTPS a device may ask every 25 minutes.)
    pub c2d_pushed: bool,
    /// A cloud-to-device message can be completed…
    pub c2d_complete: bool,
    /// …given back…
    pub c2d_abandon: bool,
    /// …and refused. Over MQTT the PUBACK is the only answer.
    pub c2d_reject: bool,
    /// Carries direct methods.
    pub methods: bool,
    /// Carries twins.
    pub twins: bool,
    /// Devices that one connection can serve: the hub's own bound for AMQP is 1000 tokens, and Microsoft's C# SDK
    /// stays at 995. `usize::MAX`: every request brings its own token.
    pub devices_per_connection: usize,
}

/// A token with every request.
pub const HTTPS: Capabilities = Capabilities {
    name: "https",
    port: 443,
    implemented: true,
    telemetry: true,
    c2d_pushed: false,
    c2d_complete: true,
    c2d_abandon: true,
    c2d_reject: true,
    methods: false,
    twins: false,
    devices_per_connection: usize::MAX,
};

/// Many devices on one connection, each with its token (CBS).
pub const AMQP: Capabilities = Capabilities {
    name: "amqp",
    port: 5671,
    implemented: true,
    telemetry: true,
    c2d_pushed: true,
    c2d_complete: true,
    c2d_abandon: true,
    c2d_reject: true,
    methods: true,
    twins: true,
    devices_per_connection: 995,
};

/// The same through port 443, where nothing else gets out.
pub const AMQP_WS: Capabilities = Capabilities {
    name: "amqp-ws",
    port: 443,
    // Microsoft's Java SDK: the service serves no more here.
    devices_per_connection: 500,
    ..AMQP
};

/// One device, one connection.
pub const MQTT: Capabilities = Capabilities {
    name: "mqtt",
    port: 8883,
    implemented: false,
    telemetry: true,
    c2d_pushed: true,
    c2d_complete: true,
    c2d_abandon: false,
    c2d_reject: false,
    methods: true,
    twins: true,
    devices_per_connection: 1,
};

/// All of them.
pub const TRANSPORTS: [Capabilities; 4] = [HTTPS, AMQP, AMQP_WS, MQTT];

/// The hub has taken the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The hub's clock when it answered, to be held against ours.
    pub server_time: Option<UnixSeconds>,
}
