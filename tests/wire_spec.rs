//! The method table, properties and reply codes agree with the published spec, down to the bytes.
//!
//! `tests/spec/amqp-0-9-1.txt` is a transcription of RabbitMQ's machine-readable AMQP 0-9-1 spec,
//! made apart from the library's table.

use bytes::BytesMut;
use hopmq::wire::method::{FieldKind, Method, MethodId};
use hopmq::wire::{
    Decoder, FRAME_END, FrameKind, METHODS, MethodError, RawTable, ReplyCode, encode, properties,
};
use proptest::prelude::*;

const SPEC: &str = include_str!("spec/amqp-0-9-1.txt");

/// Fields that AMQP 0-9-1 reserves, by the names that older versions gave them. `basic.get-empty`
/// has had a cluster id.
const RESERVED: &[&str] =
    &["ticket", "capabilities", "insist", "known-hosts", "out-of-band", "channel-id", "cluster-id"];

/// A method as the spec has it.
#[derive(Clone, Debug)]
struct Row {
    id: MethodId,
    name: String,
    synchronous: bool,
    content: bool,
    fields: Vec<(&'static str, &'static str)>,
}

/// The spec's methods, but for the class `access`, which AMQP 0-9-1 removed and RabbitMQ keeps
/// for old clients alone.
fn rows() -> Vec<Row> {
    lines("method")
        .filter(|words| words[0] != "access")
        .map(|words| Row {
            id: MethodId { class: words[1].parse().unwrap(), method: words[3].parse().unwrap() },
            name: format!("{}.{}", words[0], words[2]),
            synchronous: words[4].contains('s'),
            content: words[4].contains('c'),
            fields: words[5..].iter().map(|field| field.split_once(':').unwrap()).collect(),
        })
        .collect()
}

fn lines(of: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let of = of.to_owned();
    SPEC.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(move |words| words.first() == Some(&&*of))
        .map(|words| words[1..].to_vec())
}

/// A field's name as Rust has it.
fn rust_name(name: &str) -> Option<String> {
    match name {
        "nowait" => Some("no_wait".into()),
        "type" => Some("kind".into()),
        reserved if RESERVED.contains(&reserved) => None,
        name => Some(name.replace('-', "_")),
    }
}

fn kind(domain: &str) -> FieldKind {
    match domain {
        "bit" => FieldKind::Bit,
        "octet" => FieldKind::Octet,
        "short" => FieldKind::Short,
        "long" => FieldKind::Long,
        "longlong" => FieldKind::LongLong,
        "shortstr" => FieldKind::ShortStr,
        "longstr" => FieldKind::LongStr,
        "table" => FieldKind::Table,
        other => panic!("{other} is no domain of a method's field"),
    }
}

#[test]
fn every_method_of_the_spec_is_in_the_table_and_no_other() {
    let mut ours: Vec<_> = METHODS.iter().map(|method| (method.id, method.name)).collect();
    let rows = rows();
    let mut theirs: Vec<_> = rows.iter().map(|row| (row.id, &*row.name)).collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 64);
}

#[test]
fn every_method_has_the_spec_s_fields_and_flags() {
    for row in rows() {
        let ours = METHODS.iter().find(|method| method.id == row.id).unwrap();
        assert_eq!(ours.content, row.content, "{}", row.name);
        assert_eq!(ours.is_synchronous(), row.synchronous, "{}", row.name);
        let fields: Vec<_> =
            ours.fields.iter().map(|field| (field.name.map(str::to_owned), field.kind)).collect();
        let expected: Vec<_> =
            row.fields.iter().map(|(name, domain)| (rust_name(name), kind(domain))).collect();
        assert_eq!(fields, expected, "{}", row.name);
        assert_eq!(row.id.name(), Some(&*row.name));
    }
}

#[test]
fn every_answer_is_its_question_s() {
    for method in METHODS {
        for answer in method.responses {
            let name = answer.name().unwrap();
            let ok = format!("{}-ok", method.name);
            assert!(name == ok || name == "basic.get-empty", "{} -> {name}", method.name);
        }
    }
}

#[test]
fn properties_have_the_spec_s_order() {
    let theirs: Vec<_> = lines("property").map(|words| words[0]).collect();
    let ours: Vec<_> = properties::PROPERTIES.iter().map(|(name, _)| *name).collect();
    assert_eq!(ours, theirs);
    let flags = properties::PROPERTIES.iter().map(|(_, flag)| *flag);
    // The first property has the highest bit (section 4.2.6.1).
    assert!(flags.eq((0..14).map(|at| 1 << (15 - at))));
}

#[test]
fn constants_are_the_spec_s() {
    let mut codes = 0;
    for words in lines("constant") {
        let (name, value) = (words[0], words[1].parse::<u16>().unwrap());
        match name {
            "FRAME-METHOD" => assert_eq!(u16::from(FrameKind::Method.octet()), value),
            "FRAME-HEADER" => assert_eq!(u16::from(FrameKind::Header.octet()), value),
            "FRAME-BODY" => assert_eq!(u16::from(FrameKind::Body.octet()), value),
            "FRAME-HEARTBEAT" => assert_eq!(u16::from(FrameKind::Heartbeat.octet()), value),
            "FRAME-END" => assert_eq!(u16::from(FRAME_END), value),
            // AMQP's own minimum is 4096; RabbitMQ's file has its own since 4.1.
            "FRAME-MIN-SIZE" => assert_eq!(value, 8192),
            _ => {
                codes += 1;
                let code = ReplyCode(value);
                assert_eq!(code.name(), Some(&*name.replace('-', "_")));
                assert_eq!(code.is_connection_error(), words.get(2) == Some(&"hard"), "{name}");
                assert_eq!(code.is_channel_error(), words.get(2) == Some(&"soft"), "{name}");
            }
        }
    }
    assert_eq!(codes, ReplyCode::ALL.len());
}

/// Writes one run of bits as the spec says: from the lowest bit of each octet on.
fn flush(bits: &mut Vec<bool>, payload: &mut Vec<u8>) {
    for octet in bits.chunks(8) {
        payload.push(octet.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit)));
    }
    bits.clear();
}

/// The payload of a method from arbitrary values, by the spec alone; reserved fields are zero.
fn payload(row: &Row, seeds: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut payload = [row.id.class.to_be_bytes(), row.id.method.to_be_bytes()].concat();
    let mut bits = Vec::new();
    for ((name, domain), (number, bytes)) in row.fields.iter().zip(seeds) {
        let (number, bytes) =
            if RESERVED.contains(name) { (0, &[][..]) } else { (*number, &bytes[..]) };
        if *domain != "bit" {
            flush(&mut bits, &mut payload);
        }
        match *domain {
            "bit" => bits.push(number % 2 == 1),
            "octet" => payload.push(number as u8),
            "short" => payload.extend((number as u16).to_be_bytes()),
            "long" => payload.extend((number as u32).to_be_bytes()),
            "longlong" => payload.extend(number.to_be_bytes()),
            "shortstr" => {
                let bytes = &bytes[..bytes.len().min(255)];
                payload.push(bytes.len() as u8);
                payload.extend(bytes);
            }
            _ => {
                payload.extend((bytes.len() as u32).to_be_bytes());
                payload.extend(bytes);
            }
        }
    }
    flush(&mut bits, &mut payload);
    payload
}

fn any_row() -> impl Strategy<Value = (Row, Vec<(u64, Vec<u8>)>)> {
    let seed = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..300));
    // No method has more fields than exchange.declare.
    (prop::sample::select(rows()), prop::collection::vec(seed, 9))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// What the spec says is what is read, and what is written is what was read.
    #[test]
    fn every_method_round_trips((row, seeds) in any_row(), channel: u16) {
        let payload = payload(&row, &seeds);
        let method = Method::decode(&payload).unwrap();
        prop_assert_eq!(method.id(), row.id);
        prop_assert_eq!(method.name(), row.name);
        prop_assert_eq!(method.has_content(), row.content);
        prop_assert_eq!(method.arguments_len() + 4, payload.len());
        let mut encoded = BytesMut::new();
        method.encode(&mut encoded);
        prop_assert_eq!(&encoded[..], &payload[..]);

        encoded.clear();
        encode::any_method(&mut encoded, channel, &method);
        let frame = Decoder::new(1 << 20).next(&encoded, &mut 0).unwrap().unwrap();
        prop_assert_eq!((frame.kind, frame.channel, frame.ends), (FrameKind::Method, channel, true));
        prop_assert_eq!(&encoded[frame.payload], &payload[..]);
    }

    /// A method that ends early is refused wherever it ends, and so is one that ends late.
    #[test]
    fn every_method_has_one_length((row, seeds) in any_row()) {
        let payload = payload(&row, &seeds);
        for len in 4..payload.len() {
            let expected = Err(MethodError::Truncated { id: row.id, len });
            prop_assert_eq!(Method::decode(&payload[..len]), expected);
        }
        let longer = [&payload[..], &[0]].concat();
        let expected = Err(MethodError::Trailing { id: row.id, extra: 1 });
        prop_assert_eq!(Method::decode(&longer), expected);
    }

    /// Whatever a peer sends as a method: a typed error or a method that can be shown and written.
    #[test]
    fn arbitrary_arguments_are_harmless(row in prop::sample::select(rows()), tail: Vec<u8>) {
        let mut payload = [row.id.class.to_be_bytes(), row.id.method.to_be_bytes()].concat();
        payload.extend(tail);
        if let Ok(method) = Method::decode(&payload) {
            let shown = format!("{method:?}");
            prop_assert!(!shown.is_empty());
            let mut encoded = BytesMut::new();
            method.encode(&mut encoded);
            prop_assert_eq!(Method::decode(&encoded), Ok(method));
        }
    }
}

#[test]
fn rabbitmq_s_extensions_are_there() {
    for name in [
        "confirm.select",
        "basic.nack",
        "exchange.bind",
        "exchange.unbind-ok",
        "connection.blocked",
        "connection.unblocked",
        "connection.update-secret",
    ] {
        assert!(METHODS.iter().any(|method| method.name == name), "{name}");
    }
}

/// A table deeper than any decoder takes is no reason to refuse the method that carries it.
#[test]
fn a_hostile_table_does_not_spoil_its_method() {
    let table = b"\x01t?".repeat(1000);
    let mut payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00".to_vec();
    payload.extend((table.len() as u32).to_be_bytes());
    payload.extend(&table);
    let Ok(Method::QueueDeclare(declare)) = Method::decode(&payload) else {
        panic!("queue.declare was expected")
    };
    assert_eq!(declare.arguments, RawTable::new(&table));
    assert!(declare.arguments.decode().is_err());
}
