//! Errors, outcomes, sources and targets: described lists that stand in fields of others.

use bytes::BytesMut;

use super::{DecodeError, Decoder, Field, Put, code, fields};
use crate::performative::{DeliveryState, Error, ReceiverSettles, Role, SenderSettles, Source, Target};
use crate::value::Value;

/// A described value's number, if it is known.
fn descriptor(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Option<u8>, DecodeError> {
    if constructor == 0x00 { decoder.descriptor() } else { Err(DecodeError::Type(name)) }
}

impl Field for Error {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        if descriptor(decoder, constructor, name)? != Some(code::ERROR) {
            return Err(DecodeError::Type(name));
        }
        decoder.list(name, |fields| {
            Ok(Self {
                condition: fields.required("error condition")?,
                description: fields.optional("error description")?,
                info: fields.or_default("error info")?,
            })
        })
    }
}

impl Put for Error {
    fn put(&self, out: &mut BytesMut) {
        fields!(out, code::ERROR; self.condition, self.description, self.info);
    }
}

impl Field for DeliveryState {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        let known = decoder.try_or_back(|decoder| match descriptor(decoder, constructor, name)? {
            Some(code) => known_state(decoder, code, name),
            None => Ok(None),
        })?;
        match known {
            Some(state) => Ok(state),
            None => Value::take(decoder, constructor, name).map(Self::Other),
        }
    }
}

fn known_state(decoder: &mut Decoder<'_>, code: u8, name: &'static str) -> Result<Option<DeliveryState>, DecodeError> {
    if !matches!(code, code::RECEIVED..=code::MODIFIED) {
        return Ok(None);
    }
    decoder.list(name, |fields| {
        Ok(Some(match code {
            code::RECEIVED => DeliveryState::Received {
                section_number: fields.required("section-number")?,
                section_offset: fields.required("section-offset")?,
            },
            code::ACCEPTED => DeliveryState::Accepted,
            code::REJECTED => DeliveryState::Rejected(fields.optional("error")?),
            code::RELEASED => DeliveryState::Released,
            _ => DeliveryState::Modified {
                delivery_failed: fields.or_default("delivery-failed")?,
                undeliverable_here: fields.or_default("undeliverable-here")?,
                message_annotations: fields.or_default("message-annotations")?,
            },
        }))
    })
}

impl Put for DeliveryState {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Received { section_number, section_offset } => {
                fields!(out, code::RECEIVED; section_number, section_offset);
            }
            Self::Accepted => fields!(out, code::ACCEPTED;),
            Self::Rejected(error) => fields!(out, code::REJECTED; error),
            Self::Released => fields!(out, code::RELEASED;),
            Self::Modified { delivery_failed, undeliverable_here, message_annotations } => {
                fields!(out, code::MODIFIED; delivery_failed, undeliverable_here, message_annotations);
            }
            Self::Other(value) => value.put(out),
        }
    }
}

/// None where it is of another kind, such as a transaction's coordinator.
impl Field for Option<Source> {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        if descriptor(decoder, constructor, name)? != Some(code::SOURCE) {
            return decoder.skip().map(|()| None);
        }
        decoder.list(name, |fields| {
            let mut source = Source {
                address: fields.optional("source address")?,
                durable: fields.or_default("durable")?,
                expiry_policy: fields.optional("expiry-policy")?,
                timeout: fields.or_default("timeout")?,
                dynamic: fields.or_default("dynamic")?,
                ..Source::default()
            };
            fields.pass()?; // dynamic-node-properties
            source.distribution_mode = fields.optional("distribution-mode")?;
            source.filter = fields.or_default("filter")?;
            source.default_outcome = fields.optional("default-outcome")?.map(Box::new);
            source.outcomes = fields.or_default("outcomes")?;
            source.capabilities = fields.or_default("capabilities")?;
            Ok(Some(source))
        })
    }
}

impl Put for Source {
    fn put(&self, out: &mut BytesMut) {
        fields!(out, code::SOURCE;
            self.address, self.durable, self.expiry_policy, self.timeout, self.dynamic, (),
            self.distribution_mode, self.filter, self.default_outcome, self.outcomes, self.capabilities);
    }
}

/// None where it is of another kind, such as a transaction's coordinator.
impl Field for Option<Target> {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        if descriptor(decoder, constructor, name)? != Some(code::TARGET) {
            return decoder.skip().map(|()| None);
        }
        decoder.list(name, |fields| {
            let mut target = Target {
                address: fields.optional("target address")?,
                durable: fields.or_default("durable")?,
                expiry_policy: fields.optional("expiry-policy")?,
                timeout: fields.or_default("timeout")?,
                dynamic: fields.or_default("dynamic")?,
                ..Target::default()
            };
            fields.pass()?; // dynamic-node-properties
            target.capabilities = fields.or_default("capabilities")?;
            Ok(Some(target))
        })
    }
}

impl Put for Target {
    fn put(&self, out: &mut BytesMut) {
        fields!(out, code::TARGET;
            self.address, self.durable, self.expiry_policy, self.timeout, self.dynamic, (), self.capabilities);
    }
}

/// False for a sender.
impl Field for Role {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        bool::take(decoder, constructor, name)
            .map(|is_receiver| if is_receiver { Self::Receiver } else { Self::Sender })
    }
}

impl Put for Role {
    fn put(&self, out: &mut BytesMut) {
        matches!(self, Self::Receiver).put(out);
    }
}

impl Field for SenderSettles {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match u8::take(decoder, constructor, name)? {
            0 => Ok(Self::Unsettled),
            1 => Ok(Self::Settled),
            2 => Ok(Self::Mixed),
            _ => Err(DecodeError::Invalid(name)),
        }
    }
}

impl Put for SenderSettles {
    fn put(&self, out: &mut BytesMut) {
        let number: u8 = match self {
            Self::Unsettled => 0,
            Self::Settled => 1,
            Self::Mixed => 2,
        };
        number.put(out);
    }
}

impl Field for ReceiverSettles {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match u8::take(decoder, constructor, name)? {
            0 => Ok(Self::First),
            1 => Ok(Self::Second),
            _ => Err(DecodeError::Invalid(name)),
        }
    }
}

impl Put for ReceiverSettles {
    fn put(&self, out: &mut BytesMut) {
        u8::from(matches!(self, Self::Second)).put(out);
    }
}
