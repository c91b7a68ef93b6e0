//! Bytes to values and back (specification, part 1.6), and what performatives are made of.
//!
//! Promises: no size or count is believed before it was held against the bytes that are left and against the bounds
//! below; decoding does not panic and does not recurse deeper than [`DEPTH_MAX`], so neither does dropping the result.
//! Binaries are slices of the input. Relies on whoever writes for values that are not nested without end.
//!
//! Generous in reading (a symbol for a string, a wider number, one symbol for an array of them, list0 for list8), exact
//! in writing: described lists are `00 53 code` and list8 or list32, never list0, because some peers skip by position.

pub(crate) mod code; // what stands before described values
mod decode; // in
mod encode; // out
mod performatives; // the nine, and SASL's
mod states; // outcomes, errors, sources and targets

pub(crate) use decode::{Decoder, Field, List};
pub(crate) use encode::{Put, fields, put_described, put_list, put_map};
pub(crate) use performatives::{put_performative, put_sasl, take_performative, take_sasl};

/// Lists in lists, described values and arrays count alike. Filters and bodies have less than ten; a level takes less
/// than 4 KiB of stack even without optimization, so 32 of them fit into any thread's.
pub(crate) const DEPTH_MAX: usize = 32;
/// Values in one frame or message, counted when they are announced. A `Value` is 40 bytes, so 320 KiB at most, whatever
/// the input claims: elements of an array may take no bytes at all. IoT Hub's messages have a few dozen, and its batches
/// 500 data sections, each of which counts once.
pub(crate) const VALUES_MAX: usize = 8 << 10;

/// Why bytes were not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More was announced than there is.
    #[error("the bytes end too early")]
    Short,
    /// A format code that the specification does not know.
    #[error("there is no type with the code 0x{0:02x}")]
    Code(u8),
    /// Another type than the field has.
    #[error("{0}: another type is wanted")]
    Type(&'static str),
    /// A field that must be there is not.
    #[error("{0}: is missing")]
    Missing(&'static str),
    /// A value that the field cannot have.
    #[error("{0}: cannot have this value")]
    Invalid(&'static str),
    /// A bound was reached.
    #[error("too much: {0}")]
    Bound(Bound),
    /// The first bytes are no AMQP header, or of another version.
    #[error("the peer does not speak AMQP 1.0")]
    Foreign,
}

/// What there is too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    /// Lists in lists.
    #[error("values are nested too deep")]
    Depth,
    /// Values in one frame or message.
    #[error("too many values")]
    Values,
    /// A frame.
    #[error("the frame is larger than was agreed")]
    Frame,
}

#[cfg(test)]
pub(crate) mod tests;
