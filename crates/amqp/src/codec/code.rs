//! What stands before described values: a number, or the same as a word. Both are read, the number is written.

pub(crate) const OPEN: u8 = 0x10;
pub(crate) const BEGIN: u8 = 0x11;
pub(crate) const ATTACH: u8 = 0x12;
pub(crate) const FLOW: u8 = 0x13;
pub(crate) const TRANSFER: u8 = 0x14;
pub(crate) const DISPOSITION: u8 = 0x15;
pub(crate) const DETACH: u8 = 0x16;
pub(crate) const END: u8 = 0x17;
pub(crate) const CLOSE: u8 = 0x18;
pub(crate) const ERROR: u8 = 0x1d;
pub(crate) const RECEIVED: u8 = 0x23;
pub(crate) const ACCEPTED: u8 = 0x24;
pub(crate) const REJECTED: u8 = 0x25;
pub(crate) const RELEASED: u8 = 0x26;
pub(crate) const MODIFIED: u8 = 0x27;
pub(crate) const SOURCE: u8 = 0x28;
pub(crate) const TARGET: u8 = 0x29;
pub(crate) const SASL_MECHANISMS: u8 = 0x40;
pub(crate) const SASL_INIT: u8 = 0x41;
pub(crate) const SASL_CHALLENGE: u8 = 0x42;
pub(crate) const SASL_RESPONSE: u8 = 0x43;
pub(crate) const SASL_OUTCOME: u8 = 0x44;
pub(crate) const HEADER: u8 = 0x70;
pub(crate) const DELIVERY_ANNOTATIONS: u8 = 0x71;
pub(crate) const MESSAGE_ANNOTATIONS: u8 = 0x72;
pub(crate) const PROPERTIES: u8 = 0x73;
pub(crate) const APPLICATION_PROPERTIES: u8 = 0x74;
pub(crate) const DATA: u8 = 0x75;
pub(crate) const SEQUENCE: u8 = 0x76;
pub(crate) const VALUE: u8 = 0x77;
pub(crate) const FOOTER: u8 = 0x78;

pub(super) const NAMES: [(&str, u8); 31] = [
    ("amqp:open:list", OPEN),
    ("amqp:begin:list", BEGIN),
    ("amqp:attach:list", ATTACH),
    ("amqp:flow:list", FLOW),
    ("amqp:transfer:list", TRANSFER),
    ("amqp:disposition:list", DISPOSITION),
    ("amqp:detach:list", DETACH),
    ("amqp:end:list", END),
    ("amqp:close:list", CLOSE),
    ("amqp:error:list", ERROR),
    ("amqp:received:list", RECEIVED),
    ("amqp:accepted:list", ACCEPTED),
    ("amqp:rejected:list", REJECTED),
    ("amqp:released:list", RELEASED),
    ("amqp:modified:list", MODIFIED),
    ("amqp:source:list", SOURCE),
    ("amqp:target:list", TARGET),
    ("amqp:sasl-mechanisms:list", SASL_MECHANISMS),
    ("amqp:sasl-init:list", SASL_INIT),
    ("amqp:sasl-challenge:list", SASL_CHALLENGE),
    ("amqp:sasl-response:list", SASL_RESPONSE),
    ("amqp:sasl-outcome:list", SASL_OUTCOME),
    ("amqp:header:list", HEADER),
    ("amqp:delivery-annotations:map", DELIVERY_ANNOTATIONS),
    ("amqp:message-annotations:map", MESSAGE_ANNOTATIONS),
    ("amqp:properties:list", PROPERTIES),
    ("amqp:application-properties:map", APPLICATION_PROPERTIES),
    ("amqp:data:binary", DATA),
    ("amqp:amqp-sequence:list", SEQUENCE),
    ("amqp:amqp-value:*", VALUE),
    ("amqp:footer:map", FOOTER),
];

/// The number of a word, if it is one of ours.
pub(super) fn by_name(name: &[u8]) -> Option<u8> {
    NAMES.iter().find(|(known, _)| known.as_bytes() == name).map(|&(_, code)| code)
}
