//! Frames and messages as they should be.

use amqp::frame;
use amqp::message::{Body, Message};
use amqp::performative::{
    Attach, Begin, Close, DeliveryState, Disposition, Error, Flow, Open, Performative, ReceiverSettles, Role,
    SenderSettles, Source, Target, Transfer,
};
use amqp::sasl::SaslFrame;
use amqp::value::{Fields, Value};
use bytes::{Bytes, BytesMut};

/// What most frames are.
pub(crate) fn hot() -> [Performative; 4] {
    [
        Performative::Transfer(Transfer {
            delivery_id: Some(700),
            delivery_tag: Some(Bytes::from_static(b"01234567")),
            message_format: Some(0),
            settled: Some(false),
            ..Transfer::default()
        }),
        Performative::Transfer(Transfer { state: Some(DeliveryState::Accepted), ..Transfer::default() }),
        Performative::Disposition(Disposition {
            role: Role::Receiver,
            first: 7,
            last: Some(70_000),
            settled: true,
            state: Some(DeliveryState::Accepted),
            batchable: false,
        }),
        Performative::Flow(Flow { handle: Some(1), link_credit: Some(1000), ..Flow::default() }),
    ]
}

/// A little of everything.
pub(crate) fn all() -> Vec<Vec<u8>> {
    let fields = Fields::default().with("list", Value::List(vec![Value::Null, 7u64.into(), "text".into()]));
    let error = Error { info: fields.clone(), ..Error::new("amqp:not-found", "it is not there") };
    let filter = Value::Described(Box::new((Value::Ulong(0x0000_468c_0000_0004), "amqp.annotation.x > '1'".into())));
    let attach = Attach {
        name: "link".into(),
        handle: 3,
        role: Role::Sender,
        snd_settle_mode: SenderSettles::Settled,
        rcv_settle_mode: ReceiverSettles::Second,
        source: Some(Source { filter: Fields::default().with("f", filter), ..Source::at("s") }),
        target: Some(Target::at("t")),
        initial_delivery_count: Some(0),
        max_message_size: Some(1 << 20),
        offered_capabilities: vec!["a".into(), "b".into()],
        desired_capabilities: vec![],
        properties: fields.clone(),
    };
    let array = Value::Array(vec![Value::Array(vec![1u32.into()]), Value::Array(vec![])]);
    let map = Value::Map(vec![("k".into(), array), (1u8.into(), Value::Uuid([7; 16]))]);
    let open = Open { container_id: "c".into(), properties: fields.clone(), ..Open::default() };
    let others = [
        Performative::Open(open),
        Performative::Begin(Begin { properties: fields, ..Begin::default() }),
        Performative::Attach(Box::new(attach)),
        Performative::Close(Close { error: Some(error) }),
    ];
    let mut samples: Vec<Vec<u8>> = Vec::new();
    let body =
        [Body::Data(vec![Bytes::from_static(b"abc"); 3]), Body::Sequence(vec![vec![map.clone()]]), Body::Value(map)];
    for body in body {
        let message = Message { application_properties: vec![("a".into(), "b".into())], body, ..Message::default() };
        samples.push(message.to_bytes().into());
    }
    let payload: Vec<u8> = samples[0].clone();
    for performative in others.into_iter().chain(hot()) {
        let mut out = BytesMut::new();
        frame::put_frame(&mut out, 0, &performative, &payload);
        samples.push(out.to_vec());
    }
    let mut out = BytesMut::new();
    frame::put_sasl(&mut out, &SaslFrame::Mechanisms(vec!["PLAIN".into(), "ANONYMOUS".into()]));
    samples.push(out.to_vec());
    samples
}
