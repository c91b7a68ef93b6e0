use super::*;

fn with(properties: &[(&str, &str)]) -> Message {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Message { properties: properties.collect(), ..Message::default() }
}

#[test]
fn a_message_of_64_kib_with_its_properties_is_the_largest() {
    let message = |bytes: usize| Message { body: vec![0; bytes].into(), ..with(&[("k", "v")]) };
    assert!(message(MESSAGE_BYTES_MAX - 2).checked().is_ok());
    let refusal = message(MESSAGE_BYTES_MAX - 1).checked().unwrap_err();
    assert_eq!((refusal.status, refusal.code, refusal.name.as_str()), (413, 413_001, "MessageTooLarge"));
}

#[test]
fn iothub_ack_is_an_order_and_ack_a_property_like_others() {
    let message = with(&[("iothub-ack", "Full"), ("ack", "negative")]).checked().unwrap();
    assert_eq!((message.ack, message.properties.len()), (Ack::Full, 1));
    assert_eq!(with(&[("iothub-ack", "perhaps")]).checked().unwrap_err().code, 400_004);
    assert_eq!(with(&[("", "v")]).checked().unwrap_err().code, 400_004);
    assert_eq!(
        Message { message_id: Some("a b".to_owned()), ..Message::default() }.checked().unwrap_err().code,
        400_004
    );
}

#[test]
fn without_a_word_a_message_lasts_an_hour_and_never_longer_than_two_days() {
    let at = |expiry_ms| Message { expiry_ms, ..Message::default() }.expires_ms(1_000, Rules::default().ttl_ms);
    assert_eq!(at(None), 3_601_000);
    assert_eq!(at(Some(2_000)), 2_000);
    assert_eq!(at(Some(i64::MAX)), 172_801_000);
}

#[test]
fn the_journal_gives_a_message_back_as_it_was() {
    let message = Message {
        user_id: Some(Bytes::from_static(&[0, 255])),
        body: Bytes::from_static(b"\x00\xFFhello"),
        ack: Ack::Negative,
        expiry_ms: Some(-1),
        ..with(&[("k", "v")])
    };
    for message in [message, Message::default()] {
        let line = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
    }
}
