//! Packets as Microsoft's SDKs and mosquitto write them, and what is none.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MAX: usize = 1 << 18;

fn read(bytes: &[u8]) -> Result<Option<Packet>, Bad> {
    take(&mut BytesMut::from(bytes), MAX)
}

fn block(bytes: &[u8]) -> Vec<u8> {
    let mut all = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    all
}

fn connect_with(name: &[u8], level: u8, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut body = block(name);
    body.extend_from_slice(&[level, flags, 0, 60]);
    fields.iter().for_each(|field| body.extend(block(field)));
    let mut bytes = vec![0x10, u8::try_from(body.len()).unwrap()];
    bytes.extend(body);
    bytes
}

#[test]
fn a_connect_of_pythons_sdk_is_read() {
    let bytes = connect_with(b"MQTT", 4, 0xc0, &[b"Dev1", b"localhost/Dev1/?api-version=2019-10-01", b"SAS"]);
    let Ok(Some(Packet::Connect(connect))) = read(&bytes) else { panic!() };
    assert_eq!((connect.is_clean, connect.keep_alive_s, connect.client_id.as_str()), (false, 60, "Dev1"));
    assert_eq!(connect.user_name.as_deref(), Some("localhost/Dev1/?api-version=2019-10-01"));
    assert_eq!((connect.password.as_deref(), &connect.will), (Some(b"SAS".as_slice()), &None));
}

#[test]
fn a_will_comes_before_the_name() {
    let bytes = connect_with(b"MQTT", 4, 0xc0 | 0x2e, &[b"d", b"devices/d/messages/events/", b"bye", b"u", b"p"]);
    let Ok(Some(Packet::Connect(connect))) = read(&bytes) else { panic!() };
    let will = connect.will.unwrap();
    assert_eq!((will.topic.as_str(), &will.payload[..]), ("devices/d/messages/events/", b"bye".as_slice()));
    assert!(connect.is_clean && will.is_retained && will.qos == Qos::One);
    assert_eq!(connect.user_name.as_deref(), Some("u"));
}

#[test]
fn another_version_is_told_from_something_else() {
    assert_eq!(read(&connect_with(b"MQTT", 5, 2, &[b"d"])), Err(Bad::OtherVersion));
    assert_eq!(read(&connect_with(b"MQIsdp", 3, 2, &[b"d"])), Err(Bad::OtherVersion));
    assert_eq!(read(&connect_with(b"AMQP", 4, 2, &[b"d"])), Err(Bad::Malformed));
    assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(Bad::Malformed));
}

#[test]
fn flags_that_contradict_each_other_are_malformed() {
    for flags in [0x01, 0x40, 0x08, 0x20, 0xc0 | 0x04 | 0x18] {
        let bytes = connect_with(b"MQTT", 4, flags, &[b"d", b"t", b"p", b"u", b"p"]);
        assert_eq!(read(&bytes), Err(Bad::Malformed), "{flags:#x}");
    }
}

#[test]
fn a_message_has_an_id_unless_it_may_be_lost() {
    let Ok(Some(Packet::Publish(one))) = read(b"\x33\x07\0\x01t\0\x05{}") else { panic!() };
    assert_eq!((one.id, one.qos, one.is_retained, &one.payload[..]), (Some(5), Qos::One, true, b"{}".as_slice()));
    let Ok(Some(Packet::Publish(one))) = read(b"\x30\x05\0\x01t{}") else { panic!() };
    assert_eq!((one.id, one.qos), (None, Qos::Zero));
    for bytes in [
        b"\x32\x05\0\x01t\0\0".as_slice(), // id 0
        b"\x36\x05\0\x01t\0\x01",          // QoS 3
        b"\x38\x03\0\x01t",                // a duplicate that nobody can know
        b"\x30\x03\0\x01#",
        b"\x30\x02\0\0",
        b"\x30\x03\0\x01\xff",
        b"\x30\x03\0\x01\0",
    ] {
        assert_eq!(read(bytes), Err(Bad::Malformed), "{bytes:x?}");
    }
}

#[test]
fn lists_of_topics_have_an_end() {
    let subscribe = Packet::Subscribe { id: 1, filters: vec![("a/#".to_owned(), Qos::One)] };
    assert_eq!(read(b"\x82\x08\0\x01\0\x03a/#\x01"), Ok(Some(subscribe)));
    let unsubscribe = Packet::Unsubscribe { id: 1, filters: vec!["a".to_owned(), "b".to_owned()] };
    assert_eq!(read(b"\xa2\x08\0\x01\0\x01a\0\x01b"), Ok(Some(unsubscribe)));
    assert_eq!(read(b"\x82\x02\0\x01"), Err(Bad::Malformed));
    assert_eq!(read(b"\x82\x06\0\x01\0\x01a\x03"), Err(Bad::Malformed));
    let mut many = vec![0xa2, 0xc5, 0x01, 0, 1];
    many.extend(b"\0\x01a".repeat(65));
    assert_eq!(read(&many), Err(Bad::TooLarge));
}

#[test]
fn small_packets_are_read_and_what_only_servers_send_is_not() {
    assert_eq!(read(b"\xc0\0"), Ok(Some(Packet::PingReq)));
    assert_eq!(read(b"\xe0\0"), Ok(Some(Packet::Disconnect)));
    assert_eq!(read(b"\x40\x02\0\x07"), Ok(Some(Packet::PubAck(7))));
    for bytes in
        [b"\x20\x02\0\0".as_slice(), b"\x50\x02\0\x01", b"\x80\0", b"\xc1\0", b"\xc0\x01x", b"\x00\0", b"\xf0\0"]
    {
        assert_eq!(read(bytes), Err(Bad::Malformed), "{bytes:x?}");
    }
}

#[test]
fn a_packet_is_waited_for_only_when_it_is_not_too_large() {
    let mut held = BytesMut::from(b"\x30\x05\0\x01t".as_slice());
    assert_eq!(take(&mut held, 5), Ok(None));
    assert_eq!(take(&mut held, 4), Err(Bad::TooLarge));
    assert_eq!(read(b"\x30"), Ok(None));
    assert_eq!(read(b"\x30\xff\xff\xff"), Ok(None));
    assert_eq!(read(b"\x30\xff\xff\xff\xff"), Err(Bad::Malformed));
    assert_eq!(read(b"\x30\xff\xff\xff\x7f"), Err(Bad::TooLarge));
}

#[test]
fn packets_are_taken_one_by_one() {
    let mut held = BytesMut::from(b"\xc0\0\xe0\0\xc0".as_slice());
    assert_eq!(take(&mut held, MAX), Ok(Some(Packet::PingReq)));
    assert_eq!(take(&mut held, MAX), Ok(Some(Packet::Disconnect)));
    assert_eq!((take(&mut held, MAX), held.len()), (Ok(None), 1));
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_packet_a_wish_or_a_reason(first in prop::sample::select(vec![0x10u8, 0x30, 0x32, 0x34, 0x40, 0x82, 0xa2, 0xc0]),
        body in vec(any::<u8>(), 0..120)) {
        let mut held = BytesMut::from([first, u8::try_from(body.len()).unwrap()].as_slice());
        held.extend_from_slice(&body);
        let before = held.len();
        match take(&mut held, MAX) {
            Ok(Some(_)) => prop_assert!(held.is_empty()),
            Ok(None) => prop_assert!(false, "it was whole"),
            Err(_) => prop_assert_eq!(held.len(), before),
        }
        let _ = read(&body);
    }
}
