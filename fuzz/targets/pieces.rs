//! What clients say at each door, ready to be written.

use amqp::frame::{self, Protocol};
use amqp::message::{Body, Message, MessageId, Properties};
use amqp::performative::{
    Attach, Begin, DeliveryState, Detach, Disposition, Flow, Open, Performative, Role, Source, Target, Transfer,
};
use amqp::value::{Fields, Value};
use bytes::{Bytes, BytesMut};

pub const HUB: &str = "hub1.azure-devices.net";
pub const SCOPE: &str = "0ne00AAAA01";
pub const DEVICE: &str = "eui-70b3d57ed0051234";
/// The key of Microsoft's documentation; the tokens below are signed with what it gives to this device.
pub const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
/// Ten minutes before the tokens run out.
pub const NOW_MS: i64 = 1_767_225_000_000;
const HUB_TOKEN: &str = "SharedAccessSignature sr=hub1.azure-devices.net%2Fdevices%2Feui-70b3d57ed0051234&sig=4B%2FeemnGnMa6addnfxVfd0uOb1eNZxSHijtsjNKpThg%3D&se=1767225600";
const DPS_TOKEN: &str = "SharedAccessSignature sr=0ne00AAAA01%2Fregistrations%2Feui-70b3d57ed0051234&sig=yy%2BqHbveEuVRpmj2TJsvlqkDE1pX3UkCS%2B3c8c78p54%3D&se=1767225600&skn=registration";

pub struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    pub fn of(door: u8) -> Self {
        Self(match door {
            0 => http(),
            1 => amqp(),
            _ => mqtt(),
        })
    }

    pub fn get(&self, at: usize) -> &[u8] {
        &self.0[at % self.0.len()]
    }
}

fn http() -> Vec<Vec<u8>> {
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        let (length, query) = (body.len(), "api-version=2021-04-12");
        format!("{method} {path}?{query} HTTP/1.1\r\nHost: {HUB}\r\nAuthorization: {token}\r\niothub-app-Port: 1\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let device = |rest: &str| format!("/devices/{DEVICE}{rest}");
    let registration = |rest: &str| format!("/{SCOPE}/registrations/{DEVICE}{rest}");
    vec![
        ask("POST", &device("/messages/events"), HUB_TOKEN, r#"{"t":21.5}"#),
        b"Content-Type: application/vnd.microsoft.iothub.json\r\n".to_vec(),
        ask("POST", &device("/messages/events"), HUB_TOKEN, r#"[{"body":"eyJ0IjoxfQ==","properties":{"iothub-app-k":"v"}}]"#),
        ask("GET", &device("/messages/devicebound"), HUB_TOKEN, ""),
        ask("DELETE", &device("/messages/devicebound/00000000-0000-4000-a000-000000000000"), HUB_TOKEN, ""),
        ask("PUT", &registration("/register"), DPS_TOKEN, r#"{"registrationId":"eui-70b3d57ed0051234","payload":{"modelId":"dtmi:a;1"}}"#),
        ask("GET", &registration("/operations/5.0"), DPS_TOKEN, "{}"),
        ask("POST", &registration(""), DPS_TOKEN, "{}"),
        ask("GET", "/devices", HUB_TOKEN, ""),
        ask("POST", "/devices/query", HUB_TOKEN, r#"{"query":"SELECT * FROM devices WHERE tags.a = 'b'"}"#),
        ask("PATCH", &format!("/twins/{DEVICE}"), HUB_TOKEN, r#"{"properties":{"desired":{"a":{"b":null}}}}"#),
        ask("POST", &format!("/twins/{DEVICE}/methods"), HUB_TOKEN, r#"{"methodName":"reboot","payload":{}}"#),
        b"GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n".to_vec(),
        b"GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".to_vec(),
        // A masked binary message with a header of AMQP in it: the mask is zero.
        [&[0x82, 0x88, 0, 0, 0, 0][..], b"AMQP\x00\x01\x00\x00"].concat(),
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        b"\r\n\r\n".to_vec(),
    ]
}

fn frame(channel: u16, performative: &Performative, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame::put_frame(&mut out, channel, performative, payload);
    out.to_vec()
}

fn attach(handle: u32, sends: bool, address: &str) -> Vec<u8> {
    let terms = Attach {
        name: format!("link-{handle}"),
        handle,
        role: if sends { Role::Sender } else { Role::Receiver },
        snd_settle_mode: Default::default(),
        rcv_settle_mode: Default::default(),
        source: Some(Source::at(address)),
        target: Some(Target::at(address)),
        initial_delivery_count: Some(0),
        max_message_size: None,
        offered_capabilities: Vec::new(),
        desired_capabilities: Vec::new(),
        properties: Fields::default().with("com.microsoft:channel-correlation-id", "methods:1"),
    };
    frame(0, &Performative::Attach(Box::new(terms)), b"")
}

fn transfer(handle: u32, id: u32, message: &Message) -> Vec<u8> {
    let transfer = Transfer {
        handle,
        delivery_id: Some(id),
        delivery_tag: Some(Bytes::copy_from_slice(&id.to_be_bytes())),
        message_format: Some(0),
        ..Transfer::default()
    };
    frame(0, &Performative::Transfer(transfer), &message.to_bytes())
}

fn put_token(token: &str) -> Message {
    let text = |name: &str, value: &str| (name.to_owned(), Value::from(value));
    Message {
        properties: Properties { message_id: Some(MessageId::Ulong(1)), ..Properties::default() },
        application_properties: vec![
            text("operation", "put-token"),
            text("type", "servicebus.windows.net:sastoken"),
            text("name", HUB),
        ],
        body: Body::Value(token.into()),
        ..Message::default()
    }
}

fn amqp() -> Vec<Vec<u8>> {
    let mut header = BytesMut::new();
    frame::put_header(&mut header, Protocol::Amqp);
    let mut sasl = BytesMut::new();
    frame::put_header(&mut sasl, Protocol::Sasl);
    let data = |text: &'static str| Message { body: Body::Data(vec![text.into()]), ..Message::default() };
    let twin = Message {
        message_annotations: Fields::default().with("operation", "PATCH").with("resource", "/properties/reported"),
        properties: Properties { correlation_id: Some(MessageId::String("1".to_owned())), ..Properties::default() },
        ..data(r#"{"a":{"b":1}}"#)
    };
    let device = |rest: &str| format!("/devices/{DEVICE}{rest}");
    let open = Open { hostname: Some(HUB.to_owned()), ..Open::default() };
    let flow = |handle| Flow { handle: Some(handle), link_credit: Some(10), ..Flow::default() };
    let settle = Disposition {
        role: Role::Receiver,
        first: 0,
        last: Some(3),
        settled: true,
        state: Some(DeliveryState::Released),
        batchable: false,
    };
    vec![
        header.to_vec(),
        sasl.to_vec(),
        frame(0, &Performative::Open(open), b""),
        frame(0, &Performative::Begin(Begin { incoming_window: 100, outgoing_window: 100, ..Begin::default() }), b""),
        [attach(0, true, "$cbs"), attach(1, false, "$cbs"), transfer(0, 0, &put_token(HUB_TOKEN))].concat(),
        attach(2, true, &device("/messages/events")),
        attach(3, false, &device("/messages/devicebound")),
        [attach(4, true, &device("/methods/devicebound")), attach(5, false, &device("/methods/devicebound"))].concat(),
        [attach(6, true, &device("/twin")), attach(7, false, &device("/twin"))].concat(),
        attach(8, true, "/messages/devicebound"),
        attach(9, false, "/messages/serviceBound/feedback"),
        attach(10, false, "hub1/ConsumerGroups/$Default/Partitions/0"),
        attach(11, true, "hub1/$management"),
        transfer(2, 1, &data(r#"{"t":21.5}"#)),
        transfer(6, 2, &twin),
        frame(0, &Performative::Flow(flow(3)), b""),
        frame(0, &Performative::Flow(flow(7)), b""),
        frame(0, &Performative::Disposition(settle), b""),
        frame(0, &Performative::Detach(Detach { handle: 2, closed: true, error: None }), b""),
    ]
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let rest = parts.concat();
    let length = rest.len();
    let length = if length < 128 { vec![length as u8] } else { vec![(length % 128) as u8 | 128, (length / 128) as u8] };
    [&[first][..], &length, &rest].concat()
}

fn mqtt() -> Vec<Vec<u8>> {
    let user = format!("{HUB}/{DEVICE}/?api-version=2021-04-12");
    let registration = format!("{SCOPE}/registrations/{DEVICE}/api-version=2019-03-31");
    let connect = |user: &str, token: &str| {
        packet(0x10, &[&text("MQTT"), &[4, 0xc0, 0, 60], &text(DEVICE), &text(user), &text(token)])
    };
    let subscribe = |topic: &str| packet(0x82, &[&[0, 1], &text(topic), &[1]]);
    let publish = |topic: &str, body: &str| packet(0x32, &[&text(topic), &[0, 2], body.as_bytes()]);
    vec![
        connect(&user, HUB_TOKEN),
        connect(&registration, DPS_TOKEN),
        subscribe(&format!("devices/{DEVICE}/messages/devicebound/#")),
        subscribe("$iothub/methods/POST/#"),
        subscribe("$iothub/twin/res/#"),
        subscribe("$iothub/twin/PATCH/properties/desired/#"),
        subscribe("$dps/registrations/res/#"),
        publish(&format!("devices/{DEVICE}/messages/events/%24.mid=1&%24.ct=application%2Fjson&k=v"), r#"{"t":21.5}"#),
        publish("$iothub/twin/GET/?$rid=1", " "),
        publish("$iothub/twin/PATCH/properties/reported/?$rid=2", r#"{"a":{"b":null}}"#),
        publish("$iothub/methods/res/200/?$rid=1", "{}"),
        publish("$dps/registrations/PUT/iotdps-register/?$rid=1", r#"{"registrationId":"eui-70b3d57ed0051234"}"#),
        publish("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1&operationId=5.0", " "),
        packet(0x40, &[&[0, 1]]),
        packet(0xa2, &[&[0, 3], &text("$iothub/twin/res/#")]),
        packet(0xc0, &[]),
        packet(0xe0, &[]),
    ]
}
