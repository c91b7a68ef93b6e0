//! Values as the specification writes them (part 1.6).

use super::*;
use crate::value::Symbol;

fn symbol(word: &'static str) -> Value {
    Value::Symbol(Symbol::known(word))
}

fn described(descriptor: impl Into<Value>, value: impl Into<Value>) -> Value {
    Value::Described(Box::new((descriptor.into(), value.into())))
}

#[test]
fn each_constructor_means_what_the_specification_says() {
    let vectors = [
        ("40", Value::Null),
        ("41", Value::Bool(true)),
        ("42", Value::Bool(false)),
        ("50 ff", Value::Ubyte(255)),
        ("60 0102", Value::Ushort(258)),
        ("43", Value::Uint(0)),
        ("52 ff", Value::Uint(255)),
        ("70 00000100", Value::Uint(256)),
        ("44", Value::Ulong(0)),
        ("53 ff", Value::Ulong(255)),
        ("80 0000000000000100", Value::Ulong(256)),
        ("51 80", Value::Byte(-128)),
        ("61 ff00", Value::Short(-256)),
        ("54 80", Value::Int(-128)),
        ("71 ffffff7f", Value::Int(-129)),
        ("55 ff", Value::Long(-1)),
        ("81 0000000000000080", Value::Long(128)),
        ("72 3fc00000", Value::Float(1.5)),
        ("82 bff8000000000000", Value::Double(-1.5)),
        ("74 01020304", Value::Decimal32([1, 2, 3, 4])),
        ("84 0102030405060708", Value::Decimal64([1, 2, 3, 4, 5, 6, 7, 8])),
        ("94 01010101010101010101010101010101", Value::Decimal128([1; 16])),
        ("73 0001f600", Value::Char('\u{1f600}')),
        ("83 00000138a0c30400", Value::Timestamp(0x0138_a0c3_0400)),
        ("98 02020202020202020202020202020202", Value::Uuid([2; 16])),
        ("a0 03 010203", Value::Binary(Bytes::from_static(&[1, 2, 3]))),
        ("a1 06 \"gr\" c3bc \"n\" 21", Value::from("gr\u{fc}n!")),
        ("a3 03 \"abc\"", symbol("abc")),
        ("45", Value::List(vec![])),
        ("c0 03 02 41 40", Value::List(vec![Value::Bool(true), Value::Null])),
        ("c1 05 02 a1 01 \"k\" 43", Value::Map(vec![("k".into(), Value::Uint(0))])),
        ("e0 06 02 60 0001 0002", Value::Array(vec![Value::Ushort(1), Value::Ushort(2)])),
        ("e0 06 02 a3 01 \"a\" 01 \"b\"", Value::Array(vec![symbol("a"), symbol("b")])),
        ("e0 02 00 40", Value::Array(vec![])),
        ("00 53 24 45", described(0x24u64, Value::List(vec![]))),
    ];
    for (text, value) in vectors {
        assert_eq!(read(text).as_ref(), Ok(&value), "{text}");
        assert_eq!(written(&value), bytes(text), "{value:?}");
    }
}

#[test]
fn wider_constructors_than_needed_are_read_too() {
    let vectors = [
        ("56 01", Value::Bool(true)),
        ("56 00", Value::Bool(false)),
        ("70 00000001", Value::Uint(1)),
        ("80 0000000000000000", Value::Ulong(0)),
        ("71 ffffffff", Value::Int(-1)),
        ("81 0000000000000001", Value::Long(1)),
        ("b0 00000001 ff", Value::Binary(Bytes::from_static(&[255]))),
        ("b1 00000001 \"a\"", "a".into()),
        ("b3 00000001 \"a\"", symbol("a")),
        ("c0 01 00", Value::List(vec![])),
        ("d0 00000004 00000000", Value::List(vec![])),
        ("d0 00000005 00000001 40", Value::List(vec![Value::Null])),
        ("d1 00000006 00000002 43 41", Value::Map(vec![(Value::Uint(0), Value::Bool(true))])),
        ("f0 00000007 00000002 50 0102", Value::Array(vec![Value::Ubyte(1), Value::Ubyte(2)])),
        ("e0 02 03 45", Value::Array(vec![Value::List(vec![]); 3])),
        ("e0 04 02 56 0100", Value::Array(vec![Value::Bool(true), Value::Bool(false)])),
        ("00 80 0000000000000024 45", described(0x24u64, Value::List(vec![]))),
    ];
    for (text, value) in vectors {
        assert_eq!(read(text), Ok(value), "{text}");
    }
}

/// The specification's own examples (figures of part 1.2 and 1.3).
#[test]
fn the_specifications_examples_are_read() {
    let url = "00 a1 03 \"URL\" a1 1e \"http://example.org/hello-world\"";
    assert_eq!(read(url), Ok(described("URL", "http://example.org/hello-world")));
    let book = "00 a3 11 \"example:book:list\" c0 40 03 a1 15 \"AMQP for & by Dummies\" \
                e0 25 02 a1 0e \"Rob J. Godfrey\" 13 \"Rafael H. Schloming\" 40";
    let authors = Value::Array(vec!["Rob J. Godfrey".into(), "Rafael H. Schloming".into()]);
    let fields = Value::List(vec!["AMQP for & by Dummies".into(), authors, Value::Null]);
    let value = described(Symbol::known("example:book:list"), fields);
    assert_eq!(read(book).as_ref(), Ok(&value));
    assert_eq!(written(&value), bytes(book));
}

#[test]
fn elements_of_an_array_share_their_descriptors() {
    let text = "e0 0a 02 00 53 07 00 53 08 50 0102";
    let value = Value::Array(vec![described(7u64, described(8u64, 1u8)), described(7u64, described(8u64, 2u8))]);
    assert_eq!(read(text).as_ref(), Ok(&value));
    assert_eq!(written(&value), bytes(text));
}

#[test]
fn values_that_cannot_be_an_array_are_written_as_a_list() {
    let mixed = vec![Value::Uint(1), Value::Ulong(1)];
    assert_eq!(written(&Value::Array(mixed.clone())), written(&Value::List(mixed)));
    let mixed = vec![described(1u64, 1u8), described(2u64, 1u8)];
    assert_eq!(written(&Value::Array(mixed.clone())), written(&Value::List(mixed)));
}

#[test]
fn a_long_constructor_is_taken_from_256_bytes_or_elements_on() {
    let longest_short = Value::List(vec![Value::Null; 254]);
    assert_eq!(written(&longest_short)[..3], [0xc0, 255, 254]);
    let shortest_long = Value::List(vec![Value::Null; 255]);
    assert_eq!(written(&shortest_long)[..9], [0xd0, 0, 0, 1, 3, 0, 0, 0, 255]);
    assert_eq!(written(&Value::from("x".repeat(255)))[..2], [0xa1, 255]);
    assert_eq!(written(&Value::from("x".repeat(256)))[..5], [0xb1, 0, 0, 1, 0]);
}

#[test]
fn what_is_no_value_is_told_apart() {
    let vectors = [
        ("", DecodeError::Short),
        ("70 0000", DecodeError::Short),
        ("a0 02 00", DecodeError::Short),
        ("c0 00", DecodeError::Short),
        ("c0 02 02 40", DecodeError::Short),
        ("d0 00000002 0000", DecodeError::Short),
        ("57", DecodeError::Code(0x57)),
        ("3f", DecodeError::Code(0x3f)),
        ("a2 00", DecodeError::Code(0xa2)),
        ("ff", DecodeError::Code(0xff)),
        ("e0 03 01 01 01", DecodeError::Code(0x01)),
        ("56 02", DecodeError::Invalid("boolean")),
        ("73 0000d800", DecodeError::Invalid("char")),
        ("a1 01 ff", DecodeError::Invalid("string")),
        ("c1 02 01 40", DecodeError::Invalid("map")),
        ("c0 03 01 40 40", DecodeError::Invalid("list")),
        ("e0 03 00 50 01", DecodeError::Invalid("array")),
        ("00 45 40", DecodeError::Type("descriptor")),
        ("00 00 53 01 53 01 40", DecodeError::Type("descriptor")),
        ("c0 03 01 a0 01 ff", DecodeError::Short),
    ];
    for (text, error) in vectors {
        assert_eq!(read(text), Err(error), "{text}");
    }
}

#[test]
fn values_nest_as_deep_as_the_bound_and_no_deeper() {
    let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    let read = |value: &Value| Decoder::new(&written(value)).value();
    assert_eq!(read(&nested(DEPTH_MAX)), Ok(nested(DEPTH_MAX)));
    assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(DecodeError::Bound(Bound::Depth)));
}

#[test]
fn values_are_as_many_as_the_bound_and_no_more() {
    let read = |value: &Value| Decoder::new(&written(value)).value().map(drop);
    assert_eq!(read(&Value::List(vec![Value::Null; VALUES_MAX])), Ok(()));
    assert_eq!(read(&Value::List(vec![Value::Null; VALUES_MAX + 1])), Err(DecodeError::Bound(Bound::Values)));
}

#[test]
fn a_value_is_as_large_as_the_bound_of_values_says() {
    assert_eq!(size_of::<Value>(), 40);
}
