//! DPS and IoT Hub, the client's side. May not depend on `simulator`.

pub mod connection_string;
pub mod net;
