//! MQTT 3.1.1 packets that a server reads.
//!
//! Promises: whatever bytes come, a packet, a wish for more, or what is wrong with them; nothing is allocated but what a
//! complete packet holds, whose length was held against the caller's bound before it was waited for. What is read is
//! copied, so that a small message keeps no input buffer alive. Does not know who may send what, and when.

use bytes::{Buf as _, Bytes, BytesMut};

/// Topics in one SUBSCRIBE or UNSUBSCRIBE. A device may hold five; some clients ask for one thing twice.
const FILTERS_MAX: usize = 64;
/// Four bytes of seven bits each.
const LENGTH_BYTES_MAX: usize = 4;

/// Quality of service: at most once, at least once, exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Qos {
    Zero,
    One,
    /// Clients may ask for it; nothing is sent or taken so.
    Two,
}

/// A packet that a client may send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Connect(Box<Connect>),
    Publish(Publish),
    PubAck(u16),
    Subscribe { id: u16, filters: Vec<(String, Qos)> },
    Unsubscribe { id: u16, filters: Vec<String> },
    PingReq,
    Disconnect,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) is_clean: bool,
    /// Seconds; 0 is none.
    pub(super) keep_alive_s: u16,
    pub(super) client_id: String,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<Vec<u8>>,
    pub(super) will: Option<Publish>,
}

/// A message; `id` is there when its QoS is not 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) id: Option<u16>,
    pub(super) is_duplicate: bool,
    pub(super) is_retained: bool,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Not MQTT, or a packet that a server does not take.
    Malformed,
    TooLarge,
    /// MQTT of another version.
    OtherVersion,
}

/// Takes the next packet out of what was read; none while it is not whole.
pub(super) fn take(held: &mut BytesMut, bytes_max: usize) -> Result<Option<Packet>, Bad> {
    let Some((&first, rest)) = held.split_first() else { return Ok(None) };
    let kind = Kind::of(first)?;
    let Some((length, length_bytes)) = length(rest)? else { return Ok(None) };
    if length > bytes_max {
        return Err(Bad::TooLarge);
    }
    let Some(body) = rest.get(length_bytes..length_bytes + length) else { return Ok(None) };
    let packet = kind.read(first, &mut Input(body))?;
    held.advance(1 + length_bytes + length);
    Ok(Some(packet))
}

/// The length of what follows, and how many bytes say it; none when they are not all there.
fn length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Bad> {
    let mut length = 0;
    for (at, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((length, at + 1)));
        }
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(Bad::Malformed) }
}

#[derive(Clone, Copy)]
enum Kind {
    Connect,
    Publish,
    PubAck,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
}

impl Kind {
    /// By the first byte, whose lower half is fixed for all but PUBLISH.
    fn of(first: u8) -> Result<Self, Bad> {
        match (first >> 4, first & 0x0f) {
            (1, 0) => Ok(Self::Connect),
            (3, _) => Ok(Self::Publish),
            (4, 0) => Ok(Self::PubAck),
            (8, 2) => Ok(Self::Subscribe),
            (10, 2) => Ok(Self::Unsubscribe),
            (12, 0) => Ok(Self::PingReq),
            (14, 0) => Ok(Self::Disconnect),
            _ => Err(Bad::Malformed),
        }
    }

    fn read(self, first: u8, input: &mut Input<'_>) -> Result<Packet, Bad> {
        let packet = match self {
            Self::Connect => Packet::Connect(Box::new(connect(input)?)),
            Self::Publish => Packet::Publish(publish(first, input)?),
            Self::PubAck => Packet::PubAck(input.packet_id()?),
            Self::Subscribe => Packet::Subscribe {
                id: input.packet_id()?,
                filters: input.list(|input| Ok((input.text()?, qos(input.byte()?)?)))?,
            },
            Self::Unsubscribe => Packet::Unsubscribe { id: input.packet_id()?, filters: input.list(Input::text)? },
            Self::PingReq => Packet::PingReq,
            Self::Disconnect => Packet::Disconnect,
        };
        if input.0.is_empty() { Ok(packet) } else { Err(Bad::Malformed) }
    }
}

fn connect(input: &mut Input<'_>) -> Result<Connect, Bad> {
    match (input.block()?, input.byte()?) {
        (b"MQTT", 4) => {}
        (b"MQTT" | b"MQIsdp", _) => return Err(Bad::OtherVersion),
        _ => return Err(Bad::Malformed),
    }
    let flags = input.byte()?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    let (has_user, has_password, has_will) = (has(7), has(6), has(2));
    let is_sound = !has(0) && (has_user || !has_password) && (has_will || flags & 0x38 == 0);
    if !is_sound {
        return Err(Bad::Malformed);
    }
    let keep_alive_s = input.number()?;
    let client_id = input.text()?;
    let will = has_will.then(|| will(flags, input)).transpose()?;
    let user_name = has_user.then(|| input.text()).transpose()?;
    let password = has_password.then(|| input.block().map(<[u8]>::to_vec)).transpose()?;
    Ok(Connect { is_clean: has(1), keep_alive_s, client_id, user_name, password, will })
}

fn will(flags: u8, input: &mut Input<'_>) -> Result<Publish, Bad> {
    Ok(Publish {
        topic: input.topic()?,
        payload: Bytes::copy_from_slice(input.block()?),
        qos: qos(flags >> 3 & 3)?,
        id: None,
        is_duplicate: false,
        is_retained: flags & 0x20 != 0,
    })
}

fn publish(first: u8, input: &mut Input<'_>) -> Result<Publish, Bad> {
    let qos = qos(first >> 1 & 3)?;
    let topic = input.topic()?;
    let id = (qos > Qos::Zero).then(|| input.packet_id()).transpose()?;
    let is_duplicate = first & 8 != 0;
    if is_duplicate && id.is_none() {
        return Err(Bad::Malformed);
    }
    Ok(Publish {
        topic,
        payload: Bytes::copy_from_slice(input.all()),
        qos,
        id,
        is_duplicate,
        is_retained: first & 1 != 0,
    })
}

fn qos(number: u8) -> Result<Qos, Bad> {
    match number {
        0 => Ok(Qos::Zero),
        1 => Ok(Qos::One),
        2 => Ok(Qos::Two),
        _ => Err(Bad::Malformed),
    }
}

/// What is left of a packet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Bad> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Bad::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        self.take(1)?.first().copied().ok_or(Bad::Malformed)
    }

    fn number(&mut self) -> Result<u16, Bad> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// Any number but 0.
    fn packet_id(&mut self) -> Result<u16, Bad> {
        self.number().and_then(|id| if id == 0 { Err(Bad::Malformed) } else { Ok(id) })
    }

    /// Bytes with their length before them.
    fn block(&mut self) -> Result<&'a [u8], Bad> {
        let count = self.number()?;
        self.take(count.into())
    }

    fn text(&mut self) -> Result<String, Bad> {
        let text = std::str::from_utf8(self.block()?).map_err(|_| Bad::Malformed)?;
        if text.contains('\0') { Err(Bad::Malformed) } else { Ok(text.to_owned()) }
    }

    /// Where something is published to: no wildcards.
    fn topic(&mut self) -> Result<String, Bad> {
        let topic = self.text()?;
        if topic.is_empty() || topic.contains(['#', '+']) { Err(Bad::Malformed) } else { Ok(topic) }
    }

    /// At least one, to the end.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
        let mut all = Vec::new();
        while !self.0.is_empty() {
            if all.len() == FILTERS_MAX {
                return Err(Bad::TooLarge);
            }
            all.push(one(self)?);
        }
        if all.is_empty() { Err(Bad::Malformed) } else { Ok(all) }
    }
}

#[cfg(test)]
mod tests;
