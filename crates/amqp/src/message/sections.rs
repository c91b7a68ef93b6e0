//! Sections to bytes and back.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Body, Header, Message, MessageId, Properties};
use crate::codec::{DecodeError, Decoder, Field, List, Put, code, fields, put_list, put_map};
use crate::value::{Fields, Value};

/// Sections come in any order; all but data and sequences come once.
pub(super) fn read(payload: &Bytes) -> Result<Message, DecodeError> {
    let mut decoder = Decoder::new(payload);
    let mut message = Message::default();
    let mut seen = 0u16;
    while !decoder.is_done() {
        let code = section(&mut decoder)?;
        let bit = 1 << (code - code::HEADER);
        if seen & bit != 0 && !matches!(code, code::DATA | code::SEQUENCE) {
            return Err(DecodeError::Invalid("section"));
        }
        seen |= bit;
        match code {
            code::HEADER => message.header = Some(decoder.list("header", header)?),
            code::DELIVERY_ANNOTATIONS => message.delivery_annotations = annotations(&mut decoder)?,
            code::MESSAGE_ANNOTATIONS => message.message_annotations = annotations(&mut decoder)?,
            code::PROPERTIES => message.properties = decoder.list("properties", properties)?,
            code::APPLICATION_PROPERTIES => message.application_properties = pairs(&mut decoder)?,
            code::FOOTER => message.footer = annotations(&mut decoder)?,
            _ => body(&mut decoder, code, &mut message.body)?,
        }
    }
    Ok(message)
}

fn section(decoder: &mut Decoder<'_>) -> Result<u8, DecodeError> {
    match decoder.described("section")? {
        Some(code @ code::HEADER..=code::FOOTER) => Ok(code),
        _ => Err(DecodeError::Invalid("section")),
    }
}

fn body(decoder: &mut Decoder<'_>, code: u8, body: &mut Body) -> Result<(), DecodeError> {
    match (code, body) {
        (code::DATA, body @ Body::Empty) => *body = Body::Data(vec![binary(decoder)?]),
        (code::DATA, Body::Data(parts)) => {
            decoder.spend(1)?;
            parts.push(binary(decoder)?);
        }
        (code::SEQUENCE, body @ Body::Empty) => *body = Body::Sequence(vec![sequence(decoder)?]),
        (code::SEQUENCE, Body::Sequence(parts)) => {
            decoder.spend(1)?;
            parts.push(sequence(decoder)?);
        }
        (code::VALUE, body @ Body::Empty) => *body = Body::Value(decoder.value()?),
        _ => return Err(DecodeError::Invalid("body")),
    }
    Ok(())
}

fn binary(decoder: &mut Decoder<'_>) -> Result<Bytes, DecodeError> {
    let constructor = decoder.byte()?;
    Bytes::take(decoder, constructor, "data")
}

fn sequence(decoder: &mut Decoder<'_>) -> Result<Vec<Value>, DecodeError> {
    match decoder.value()? {
        Value::List(values) => Ok(values),
        _ => Err(DecodeError::Type("amqp-sequence")),
    }
}

fn annotations(decoder: &mut Decoder<'_>) -> Result<Fields, DecodeError> {
    pairs(decoder).map(Fields)
}

fn pairs<K: From<String>>(decoder: &mut Decoder<'_>) -> Result<Vec<(K, Value)>, DecodeError> {
    match decoder.byte()? {
        0x40 => Ok(Vec::new()),
        constructor => decoder.map(constructor, "section"),
    }
}

fn header(fields: &mut List<'_, '_>) -> Result<Header, DecodeError> {
    Ok(Header {
        durable: fields.or_default("durable")?,
        priority: fields.or("priority", 4)?,
        ttl: fields.optional("ttl")?,
        first_acquirer: fields.or_default("first-acquirer")?,
        delivery_count: fields.or_default("delivery-count")?,
    })
}

fn properties(fields: &mut List<'_, '_>) -> Result<Properties, DecodeError> {
    Ok(Properties {
        message_id: fields.optional("message-id")?,
        user_id: fields.optional("user-id")?,
        to: fields.optional("to")?,
        subject: fields.optional("subject")?,
        reply_to: fields.optional("reply-to")?,
        correlation_id: fields.optional("correlation-id")?,
        content_type: fields.optional("content-type")?,
        content_encoding: fields.optional("content-encoding")?,
        absolute_expiry_time: fields.optional("absolute-expiry-time")?,
        creation_time: fields.optional("creation-time")?,
        group_id: fields.optional("group-id")?,
        group_sequence: fields.optional("group-sequence")?,
        reply_to_group_id: fields.optional("reply-to-group-id")?,
    })
}

pub(super) fn data(payload: &Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let mut decoder = Decoder::new(payload);
    let mut parts = Vec::new();
    while !decoder.is_done() {
        if section(&mut decoder)? != code::DATA {
            decoder.skip()?;
            continue;
        }
        decoder.spend(1)?;
        parts.push(binary(&mut decoder)?);
    }
    Ok(parts)
}

pub(super) fn write(message: &Message, out: &mut BytesMut) {
    if let Some(it) = &message.header {
        fields!(out, code::HEADER; it.durable, it.priority, it.ttl, it.first_acquirer, it.delivery_count);
    }
    put_pairs(out, code::DELIVERY_ANNOTATIONS, &message.delivery_annotations.0);
    put_pairs(out, code::MESSAGE_ANNOTATIONS, &message.message_annotations.0);
    if message.properties != Properties::default() {
        put_properties(out, &message.properties);
    }
    put_pairs(out, code::APPLICATION_PROPERTIES, &message.application_properties);
    put_body(out, &message.body);
    put_pairs(out, code::FOOTER, &message.footer.0);
}

fn put_section(out: &mut BytesMut, code: u8) {
    out.put_slice(&[0x00, 0x53, code]);
}

fn put_pairs<K: Put>(out: &mut BytesMut, code: u8, pairs: &[(K, Value)]) {
    if !pairs.is_empty() {
        put_section(out, code);
        put_map(out, pairs);
    }
}

fn put_properties(out: &mut BytesMut, it: &Properties) {
    fields!(out, code::PROPERTIES;
        it.message_id, it.user_id, it.to, it.subject, it.reply_to, it.correlation_id, it.content_type,
        it.content_encoding, it.absolute_expiry_time, it.creation_time, it.group_id, it.group_sequence,
        it.reply_to_group_id);
}

fn put_body(out: &mut BytesMut, body: &Body) {
    match body {
        Body::Empty => {}
        Body::Data(parts) => {
            for part in parts {
                put_section(out, code::DATA);
                part.put(out);
            }
        }
        Body::Sequence(parts) => {
            for part in parts {
                put_section(out, code::SEQUENCE);
                put_list(out, part);
            }
        }
        Body::Value(value) => {
            put_section(out, code::VALUE);
            value.put(out);
        }
    }
}

/// The type is kept.
impl Field for MessageId {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match constructor {
            0x44 | 0x53 | 0x80 => u64::take(decoder, constructor, name).map(Self::Ulong),
            0x98 => decoder.fixed().map(Self::Uuid),
            0xa0 | 0xb0 => Bytes::take(decoder, constructor, name).map(Self::Binary),
            _ => String::take(decoder, constructor, name).map(Self::String),
        }
    }
}

impl Put for MessageId {
    fn put(&self, out: &mut BytesMut) {
        match self {
            Self::Ulong(number) => number.put(out),
            Self::Uuid(bytes) => {
                out.put_u8(0x98);
                out.put_slice(bytes);
            }
            Self::Binary(bytes) => bytes.put(out),
            Self::String(text) => text.put(out),
        }
    }
}
