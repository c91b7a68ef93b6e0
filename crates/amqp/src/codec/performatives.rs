//! The nine performatives and SASL's five, field by field, in the order of the specification.

use bytes::{Bytes, BytesMut};

use super::{DecodeError, Decoder, Field, List, Put, code, fields};
use crate::performative::{Attach, Begin, Close, Detach, Disposition, End, Flow, Open, Performative, Transfer};
use crate::sasl::{Init, Outcome, SaslFrame};

/// Reads a performative; a transfer's payload is left.
pub(crate) fn take_performative(decoder: &mut Decoder<'_>) -> Result<Performative, DecodeError> {
    let Some(code @ code::OPEN..=code::CLOSE) = decoder.described("performative")? else {
        return Err(DecodeError::Invalid("performative"));
    };
    decoder.list("performative", |fields| {
        Ok(match code {
            code::OPEN => Performative::Open(open(fields)?),
            code::BEGIN => Performative::Begin(begin(fields)?),
            code::ATTACH => Performative::Attach(attach(fields)?),
            code::FLOW => Performative::Flow(flow(fields)?),
            code::TRANSFER => Performative::Transfer(transfer(fields)?),
            code::DISPOSITION => Performative::Disposition(disposition(fields)?),
            code::DETACH => Performative::Detach(Detach {
                handle: fields.required("handle")?,
                closed: fields.or_default("closed")?,
                error: fields.optional("error")?,
            }),
            code::END => Performative::End(End { error: fields.optional("error")? }),
            _ => Performative::Close(Close { error: fields.optional("error")? }),
        })
    })
}

fn open(fields: &mut List<'_, '_>) -> Result<Open, DecodeError> {
    let mut open = Open {
        container_id: fields.required("container-id")?,
        hostname: fields.optional("hostname")?,
        max_frame_size: fields.or("max-frame-size", u32::MAX)?,
        channel_max: fields.or("channel-max", u16::MAX)?,
        idle_time_out: fields.optional("idle-time-out")?,
        ..Open::default()
    };
    fields.pass()?; // outgoing-locales
    fields.pass()?; // incoming-locales
    open.offered_capabilities = fields.or_default("offered-capabilities")?;
    open.desired_capabilities = fields.or_default("desired-capabilities")?;
    open.properties = fields.or_default("properties")?;
    Ok(open)
}

fn begin(fields: &mut List<'_, '_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        remote_channel: fields.optional("remote-channel")?,
        next_outgoing_id: fields.required("next-outgoing-id")?,
        incoming_window: fields.required("incoming-window")?,
        outgoing_window: fields.required("outgoing-window")?,
        handle_max: fields.or("handle-max", u32::MAX)?,
        offered_capabilities: fields.or_default("offered-capabilities")?,
        desired_capabilities: fields.or_default("desired-capabilities")?,
        properties: fields.or_default("properties")?,
    })
}

fn attach(fields: &mut List<'_, '_>) -> Result<Box<Attach>, DecodeError> {
    let mut attach = Box::new(Attach {
        name: fields.required("name")?,
        handle: fields.required("handle")?,
        role: fields.required("role")?,
        snd_settle_mode: fields.or_default("snd-settle-mode")?,
        rcv_settle_mode: fields.or_default("rcv-settle-mode")?,
        source: fields.optional("source")?.flatten(),
        target: fields.optional("target")?.flatten(),
        initial_delivery_count: None,
        max_message_size: None,
        offered_capabilities: Vec::new(),
        desired_capabilities: Vec::new(),
        properties: crate::value::Fields::default(),
    });
    fields.pass()?; // unsettled
    fields.pass()?; // incomplete-unsettled
    attach.initial_delivery_count = fields.optional("initial-delivery-count")?;
    attach.max_message_size = fields.optional("max-message-size")?;
    attach.offered_capabilities = fields.or_default("offered-capabilities")?;
    attach.desired_capabilities = fields.or_default("desired-capabilities")?;
    attach.properties = fields.or_default("properties")?;
    Ok(attach)
}

fn flow(fields: &mut List<'_, '_>) -> Result<Flow, DecodeError> {
    Ok(Flow {
        next_incoming_id: fields.optional("next-incoming-id")?,
        incoming_window: fields.required("incoming-window")?,
        next_outgoing_id: fields.required("next-outgoing-id")?,
        outgoing_window: fields.required("outgoing-window")?,
        handle: fields.optional("handle")?,
        delivery_count: fields.optional("delivery-count")?,
        link_credit: fields.optional("link-credit")?,
        available: fields.optional("available")?,
        drain: fields.or_default("drain")?,
        echo: fields.or_default("echo")?,
        properties: fields.or_default("properties")?,
    })
}

fn transfer(fields: &mut List<'_, '_>) -> Result<Transfer, DecodeError> {
    Ok(Transfer {
        handle: fields.required("handle")?,
        delivery_id: fields.optional("delivery-id")?,
        delivery_tag: fields.optional("delivery-tag")?,
        message_format: fields.optional("message-format")?,
        settled: fields.optional("settled")?,
        more: fields.or_default("more")?,
        rcv_settle_mode: fields.optional("rcv-settle-mode")?,
        state: fields.optional("state")?,
        resume: fields.or_default("resume")?,
        aborted: fields.or_default("aborted")?,
        batchable: fields.or_default("batchable")?,
    })
}

fn disposition(fields: &mut List<'_, '_>) -> Result<Disposition, DecodeError> {
    Ok(Disposition {
        role: fields.required("role")?,
        first: fields.required("first")?,
        last: fields.optional("last")?,
        settled: fields.or_default("settled")?,
        state: fields.optional("state")?,
        batchable: fields.or_default("batchable")?,
    })
}

/// Writes a performative with all its fields.
pub(crate) fn put_performative(out: &mut BytesMut, performative: &Performative) {
    match performative {
        Performative::Open(it) => fields!(out, code::OPEN;
            it.container_id, it.hostname, it.max_frame_size, it.channel_max, it.idle_time_out, (), (),
            it.offered_capabilities, it.desired_capabilities, it.properties),
        Performative::Begin(it) => fields!(out, code::BEGIN;
            it.remote_channel, it.next_outgoing_id, it.incoming_window, it.outgoing_window, it.handle_max,
            it.offered_capabilities, it.desired_capabilities, it.properties),
        Performative::Attach(it) => fields!(out, code::ATTACH;
            it.name, it.handle, it.role, it.snd_settle_mode, it.rcv_settle_mode, it.source, it.target, (), (),
            it.initial_delivery_count, it.max_message_size, it.offered_capabilities, it.desired_capabilities,
            it.properties),
        Performative::Flow(it) => fields!(out, code::FLOW;
            it.next_incoming_id, it.incoming_window, it.next_outgoing_id, it.outgoing_window, it.handle,
            it.delivery_count, it.link_credit, it.available, it.drain, it.echo, it.properties),
        Performative::Transfer(it) => fields!(out, code::TRANSFER;
            it.handle, it.delivery_id, it.delivery_tag, it.message_format, it.settled, it.more, it.rcv_settle_mode,
            it.state, it.resume, it.aborted, it.batchable),
        Performative::Disposition(it) => fields!(out, code::DISPOSITION;
            it.role, it.first, it.last, it.settled, it.state, it.batchable),
        Performative::Detach(it) => fields!(out, code::DETACH; it.handle, it.closed, it.error),
        Performative::End(it) => fields!(out, code::END; it.error),
        Performative::Close(it) => fields!(out, code::CLOSE; it.error),
    }
}

/// Reads what a SASL frame says.
pub(crate) fn take_sasl(decoder: &mut Decoder<'_>) -> Result<SaslFrame, DecodeError> {
    let Some(code @ code::SASL_MECHANISMS..=code::SASL_OUTCOME) = decoder.described("sasl frame")? else {
        return Err(DecodeError::Invalid("sasl frame"));
    };
    decoder.list("sasl frame", |fields| {
        Ok(match code {
            code::SASL_MECHANISMS => SaslFrame::Mechanisms(fields.or_default("sasl-server-mechanisms")?),
            code::SASL_INIT => SaslFrame::Init(Init {
                mechanism: fields.required("mechanism")?,
                initial_response: fields.optional("initial-response")?,
                hostname: fields.optional("hostname")?,
            }),
            code::SASL_CHALLENGE => SaslFrame::Challenge(fields.required::<Bytes>("challenge")?),
            code::SASL_RESPONSE => SaslFrame::Response(fields.required::<Bytes>("response")?),
            _ => SaslFrame::Outcome(fields.required("code")?, fields.optional("additional-data")?),
        })
    })
}

/// Writes what a SASL frame says.
pub(crate) fn put_sasl(out: &mut BytesMut, frame: &SaslFrame) {
    match frame {
        SaslFrame::Mechanisms(mechanisms) => fields!(out, code::SASL_MECHANISMS; mechanisms),
        SaslFrame::Init(it) => {
            fields!(out, code::SASL_INIT; it.mechanism, it.initial_response, it.hostname);
        }
        SaslFrame::Challenge(challenge) => fields!(out, code::SASL_CHALLENGE; challenge),
        SaslFrame::Response(response) => fields!(out, code::SASL_RESPONSE; response),
        SaslFrame::Outcome(outcome, data) => fields!(out, code::SASL_OUTCOME; outcome, data),
    }
}

impl Field for Outcome {
    fn take(decoder: &mut Decoder<'_>, constructor: u8, name: &'static str) -> Result<Self, DecodeError> {
        match u8::take(decoder, constructor, name)? {
            0 => Ok(Self::Ok),
            1 => Ok(Self::Auth),
            2 => Ok(Self::Sys),
            3 => Ok(Self::SysPerm),
            4 => Ok(Self::SysTemp),
            _ => Err(DecodeError::Invalid(name)),
        }
    }
}

impl Put for Outcome {
    fn put(&self, out: &mut BytesMut) {
        let number: u8 = match self {
            Self::Ok => 0,
            Self::Auth => 1,
            Self::Sys => 2,
            Self::SysPerm => 3,
            Self::SysTemp => 4,
        };
        number.put(out);
    }
}
