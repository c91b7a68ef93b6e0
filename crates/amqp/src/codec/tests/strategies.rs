//! Anything that can be said.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::performative::*;
use crate::sasl::{Init, Outcome, SaslFrame};
use crate::value::{Fields, Symbol, Value};

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-zA-Z0-9:/$ \u{e9}\u{1f600}]{0,12}", 1 => "[a-z]{250,260}"]
}

pub(crate) fn symbol() -> impl Strategy<Value = Symbol> {
    prop_oneof![8 => "[a-z:-]{1,12}", 1 => "[a-z]{250,260}"].prop_map(Symbol::from)
}

pub(crate) fn binary() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..16), 1 => vec(any::<u8>(), 250..260)].prop_map(Bytes::from)
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u8>().prop_map(Value::Ubyte),
        any::<u16>().prop_map(Value::Ushort),
        prop_oneof![0..300u32, any::<u32>()].prop_map(Value::Uint),
        prop_oneof![0..300u64, any::<u64>()].prop_map(Value::Ulong),
        any::<i8>().prop_map(Value::Byte),
        any::<i16>().prop_map(Value::Short),
        prop_oneof![-300..300i32, any::<i32>()].prop_map(Value::Int),
        prop_oneof![-300..300i64, any::<i64>()].prop_map(Value::Long),
        prop::num::f32::NORMAL.prop_map(Value::Float),
        prop::num::f64::NORMAL.prop_map(Value::Double),
        any::<[u8; 4]>().prop_map(Value::Decimal32),
        any::<[u8; 8]>().prop_map(Value::Decimal64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
        any::<char>().prop_map(Value::Char),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        binary().prop_map(Value::Binary),
        text().prop_map(Value::String),
        symbol().prop_map(Value::Symbol),
    ]
}

fn descriptor() -> impl Strategy<Value = Value> {
    prop_oneof![any::<u64>().prop_map(Value::Ulong), symbol().prop_map(Value::Symbol)]
}

fn described(descriptor: &Value, value: Value) -> Value {
    Value::Described(Box::new((descriptor.clone(), value)))
}

/// Values of one type, of those whose constructors differ in kind.
fn alike(inner: BoxedStrategy<Value>) -> BoxedStrategy<Vec<Value>> {
    let pair = (inner.clone(), inner.clone());
    let plain = prop_oneof![
        vec(Just(Value::Null), 0..4),
        vec(any::<bool>().prop_map(Value::Bool), 0..4),
        vec(any::<u32>().prop_map(Value::Uint), 0..4),
        vec(any::<i64>().prop_map(Value::Long), 0..4),
        vec(any::<[u8; 16]>().prop_map(Value::Uuid), 0..4),
        vec(binary().prop_map(Value::Binary), 0..4),
        vec(text().prop_map(Value::String), 0..4),
        vec(symbol().prop_map(Value::Symbol), 0..4),
    ]
    .boxed();
    let compound = prop_oneof![
        vec(vec(inner, 0..3).prop_map(Value::List), 0..4),
        vec(vec(pair, 0..3).prop_map(Value::Map), 0..4),
        vec(plain.clone().prop_map(Value::Array), 0..4),
    ];
    let undescribed = prop_oneof![plain, compound].boxed();
    let described = (descriptor(), descriptor(), undescribed.clone()).prop_map(|(outer, inner, values)| {
        values.into_iter().map(|value| described(&outer, described(&inner, value))).collect()
    });
    prop_oneof![3 => undescribed, 1 => described].boxed()
}

pub(crate) fn value() -> BoxedStrategy<Value> {
    plain()
        .prop_recursive(4, 32, 4, |inner| {
            let pair = (inner.clone(), inner.clone());
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::List),
                vec(pair, 0..4).prop_map(Value::Map),
                (descriptor(), inner.clone()).prop_map(|(descriptor, value)| described(&descriptor, value)),
                alike(inner.boxed()).prop_map(Value::Array),
            ]
        })
        .boxed()
}

pub(crate) fn fields() -> impl Strategy<Value = Fields> {
    vec((symbol(), value()), 0..3).prop_map(Fields)
}

fn symbols() -> impl Strategy<Value = Vec<Symbol>> {
    vec(symbol(), 0..3)
}

pub(crate) fn error() -> impl Strategy<Value = Error> {
    (symbol(), of(text()), fields()).prop_map(|(condition, description, info)| Error { condition, description, info })
}

fn state() -> BoxedStrategy<DeliveryState> {
    let unknown = prop_oneof![Just(Value::Ulong(0x34)), Just(Value::Symbol("amqp:transactional-state:list".into()))];
    prop_oneof![
        (any::<u32>(), any::<u64>())
            .prop_map(|(section_number, section_offset)| DeliveryState::Received { section_number, section_offset }),
        Just(DeliveryState::Accepted),
        of(error()).prop_map(DeliveryState::Rejected),
        Just(DeliveryState::Released),
        (any::<bool>(), any::<bool>(), fields()).prop_map(
            |(delivery_failed, undeliverable_here, message_annotations)| DeliveryState::Modified {
                delivery_failed,
                undeliverable_here,
                message_annotations
            }
        ),
        (unknown, value()).prop_map(|(unknown, value)| DeliveryState::Other(described(&unknown, value))),
    ]
    .boxed()
}

fn source() -> impl Strategy<Value = Source> {
    let first = (of(text()), any::<u32>(), of(symbol()), any::<u32>(), any::<bool>());
    let second = (of(symbol()), fields(), of(state().prop_map(Box::new)), symbols(), symbols());
    (first, second).prop_map(|(first, second)| Source {
        address: first.0,
        durable: first.1,
        expiry_policy: first.2,
        timeout: first.3,
        dynamic: first.4,
        distribution_mode: second.0,
        filter: second.1,
        default_outcome: second.2,
        outcomes: second.3,
        capabilities: second.4,
    })
}

fn target() -> impl Strategy<Value = Target> {
    (of(text()), any::<u32>(), of(symbol()), any::<u32>(), any::<bool>(), symbols()).prop_map(
        |(address, durable, expiry_policy, timeout, dynamic, capabilities)| Target {
            address,
            durable,
            expiry_policy,
            timeout,
            dynamic,
            capabilities,
        },
    )
}

fn open() -> impl Strategy<Value = Open> {
    (text(), of(text()), any::<u32>(), any::<u16>(), of(any::<u32>()), symbols(), symbols(), fields()).prop_map(|it| {
        Open {
            container_id: it.0,
            hostname: it.1,
            max_frame_size: it.2,
            channel_max: it.3,
            idle_time_out: it.4,
            offered_capabilities: it.5,
            desired_capabilities: it.6,
            properties: it.7,
        }
    })
}

fn begin() -> impl Strategy<Value = Begin> {
    let numbers = (of(any::<u16>()), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (numbers, symbols(), symbols(), fields()).prop_map(|(numbers, offered, desired, properties)| Begin {
        remote_channel: numbers.0,
        next_outgoing_id: numbers.1,
        incoming_window: numbers.2,
        outgoing_window: numbers.3,
        handle_max: numbers.4,
        offered_capabilities: offered,
        desired_capabilities: desired,
        properties,
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Sender), Just(Role::Receiver)]
}

fn receiver_settles() -> impl Strategy<Value = ReceiverSettles> {
    prop_oneof![Just(ReceiverSettles::First), Just(ReceiverSettles::Second)]
}

fn attach() -> impl Strategy<Value = Attach> {
    let sender_settles =
        prop_oneof![Just(SenderSettles::Unsettled), Just(SenderSettles::Settled), Just(SenderSettles::Mixed)];
    let first = (text(), any::<u32>(), role(), sender_settles, receiver_settles(), of(source()), of(target()));
    let second = (of(any::<u32>()), of(any::<u64>()), symbols(), symbols(), fields());
    (first, second).prop_map(|(first, second)| Attach {
        name: first.0,
        handle: first.1,
        role: first.2,
        snd_settle_mode: first.3,
        rcv_settle_mode: first.4,
        source: first.5,
        target: first.6,
        initial_delivery_count: second.0,
        max_message_size: second.1,
        offered_capabilities: second.2,
        desired_capabilities: second.3,
        properties: second.4,
    })
}

fn flow() -> impl Strategy<Value = Flow> {
    let session = (of(any::<u32>()), any::<u32>(), any::<u32>(), any::<u32>());
    let link = (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()), of(any::<u32>()));
    (session, link, any::<bool>(), any::<bool>(), fields()).prop_map(|(session, link, drain, echo, properties)| Flow {
        next_incoming_id: session.0,
        incoming_window: session.1,
        next_outgoing_id: session.2,
        outgoing_window: session.3,
        handle: link.0,
        delivery_count: link.1,
        link_credit: link.2,
        available: link.3,
        drain,
        echo,
        properties,
    })
}

fn transfer() -> impl Strategy<Value = Transfer> {
    let first = (any::<u32>(), of(any::<u32>()), of(binary()), of(any::<u32>()), of(any::<bool>()), any::<bool>());
    let second = (of(receiver_settles()), of(state()), any::<bool>(), any::<bool>(), any::<bool>());
    (first, second).prop_map(|(first, second)| Transfer {
        handle: first.0,
        delivery_id: first.1,
        delivery_tag: first.2,
        message_format: first.3,
        settled: first.4,
        more: first.5,
        rcv_settle_mode: second.0,
        state: second.1,
        resume: second.2,
        aborted: second.3,
        batchable: second.4,
    })
}

fn disposition() -> impl Strategy<Value = Disposition> {
    (role(), any::<u32>(), of(any::<u32>()), any::<bool>(), of(state()), any::<bool>()).prop_map(
        |(role, first, last, settled, state, batchable)| Disposition { role, first, last, settled, state, batchable },
    )
}

pub(crate) fn performative() -> impl Strategy<Value = Performative> {
    prop_oneof![
        open().prop_map(Performative::Open),
        begin().prop_map(Performative::Begin),
        attach().prop_map(|attach| Performative::Attach(Box::new(attach))),
        flow().prop_map(Performative::Flow),
        transfer().prop_map(Performative::Transfer),
        disposition().prop_map(Performative::Disposition),
        (any::<u32>(), any::<bool>(), of(error())).prop_map(|(handle, closed, error)| Performative::Detach(Detach {
            handle,
            closed,
            error
        })),
        of(error()).prop_map(|error| Performative::End(End { error })),
        of(error()).prop_map(|error| Performative::Close(Close { error })),
    ]
}

pub(crate) fn sasl() -> impl Strategy<Value = SaslFrame> {
    let outcome = prop_oneof![
        Just(Outcome::Ok),
        Just(Outcome::Auth),
        Just(Outcome::Sys),
        Just(Outcome::SysPerm),
        Just(Outcome::SysTemp)
    ];
    prop_oneof![
        symbols().prop_map(SaslFrame::Mechanisms),
        (symbol(), of(binary()), of(text())).prop_map(|(mechanism, initial_response, hostname)| {
            SaslFrame::Init(Init { mechanism, initial_response, hostname })
        }),
        binary().prop_map(SaslFrame::Challenge),
        binary().prop_map(SaslFrame::Response),
        (outcome, of(binary())).prop_map(|(outcome, data)| SaslFrame::Outcome(outcome, data)),
    ]
}
