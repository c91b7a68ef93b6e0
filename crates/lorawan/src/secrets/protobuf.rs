//! The same for a webhook that was set to protobuf, which is kept but not read.
//!
//! The wire format is a list of `key (varint: field << 3 | type), value`. Field numbers are those of `ApplicationUp`,
//! `ApplicationUplink` and `ApplicationJoinAccept` in the API definition (`messages.proto`).

/// `ApplicationUp.uplink_message` and `ApplicationUplink.app_s_key`.
const UPLINK_MESSAGE: u64 = 3;
const UPLINK_APP_S_KEY: u64 = 9;
/// `ApplicationUp.join_accept` and `ApplicationJoinAccept.app_s_key`.
const JOIN_ACCEPT: u64 = 4;
const JOIN_APP_S_KEY: u64 = 2;
/// `ApplicationUp.end_device_ids`.
const END_DEVICE_IDS: u64 = 1;
/// All events of `ApplicationUp.up`.
const EVENTS: [u64; 11] = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15];
/// The highest field of `ApplicationUp` is 15; room for those to come.
const FIELD_MAX: u64 = 64;

/// Takes the session keys out of an `ApplicationUp`. `None` when `body` is no such message: then nobody knows where its
/// secrets are, and it must not be stored.
pub fn strip_protobuf(body: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(body.len());
    let mut events = 0;
    let mut rest = body;
    while !rest.is_empty() {
        let field = take(&mut rest)?;
        if field.number > FIELD_MAX {
            return None;
        }
        events += usize::from(EVENTS.contains(&field.number));
        match field.number {
            UPLINK_MESSAGE => put(&mut kept, &field, &without(field.content?, UPLINK_APP_S_KEY)?),
            JOIN_ACCEPT => put(&mut kept, &field, &without(field.content?, JOIN_APP_S_KEY)?),
            END_DEVICE_IDS => put(&mut kept, &field, &without(field.content?, 0)?),
            number if EVENTS.contains(&number) => put(&mut kept, &field, &without(field.content?, 0)?),
            _ => kept.extend_from_slice(field.whole),
        }
    }
    (events == 1).then_some(kept)
}

/// A message without its fields of this number. 0 is no field's number, so it only checks the form.
fn without(message: &[u8], number: u64) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let field = take(&mut rest)?;
        if field.number != number {
            kept.extend_from_slice(field.whole);
        }
    }
    Some(kept)
}

struct Field<'a> {
    number: u64,
    /// Key and value.
    whole: &'a [u8],
    /// What is inside, for those with a length.
    content: Option<&'a [u8]>,
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let key = varint(rest)?;
    let mut content = None;
    match key & 7 {
        0 => drop(varint(rest)?),
        1 => drop(bytes(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            content = Some(bytes(rest, length)?);
        }
        5 => drop(bytes(rest, 4)?),
        _ => return None, // groups are not used here
    }
    let whole = &start[..start.len() - rest.len()];
    (key >> 3 != 0).then_some(Field { number: key >> 3, whole, content })
}

fn bytes<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = *bytes(rest, 1)?.first()?;
        value |= u64::from(byte & 0x7F).checked_shl(7 * place)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put(kept: &mut Vec<u8>, field: &Field<'_>, content: &[u8]) {
    put_varint(kept, field.number << 3 | 2);
    put_varint(kept, content.len() as u64);
    kept.extend_from_slice(content);
}

fn put_varint(kept: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        kept.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    kept.push(value as u8);
}
