//! HopMQ's codec agrees with pamqp's, byte for byte, in both directions: every method with every
//! combination of its bits, every set of properties, every type of a table's values.
//!
//! `agree.py` shows what pamqp wrote or read; here is shown what HopMQ read or wrote. Python is taken
//! from `HOPMQ_TEST_PYTHON`, which `tests/run` sets to one that has pamqp.
//!
//! Where the two differ, and who is right:
//!
//! | What | pamqp | HopMQ |
//! |---|---|---|
//! | class `access` | knows it in older versions | no: AMQP 0-9-1 removed it |
//! | `basic.get-ok` and other delivery tags | signed | unsigned, as the spec has them |
//! | reserved strings, as in `channel.open` | "0" | empty; nobody reads them |
//! | a property that is an empty string | left out | written: it is present and empty |
//! | a timestamp after the year 2106 | taken for milliseconds | seconds |
//! | a decimal's value | written as signed, read as unsigned | unsigned |
//! | integers in a table | the narrowest tag that fits | the tag of the value's type |
//! | floats in a table | always `f` | `f` or `d`, by the value's type |
//! | names in a table | sorted, cut at 128 bytes | in their order, up to 255 bytes |
//! | tags `L` and `\0` in a table | read | refused: RabbitMQ does not know them |

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use bytes::BytesMut;
use hopmq::wire::{
    ContentHeader, Decoder, FieldTable, FrameKind, METHODS, Method, RawTable, ShortString, Value,
    encode,
    method::{FieldKind, MethodSpec},
    properties::{PROPERTIES, RawProperties},
};

#[test]
fn what_pamqp_writes_hopmq_reads_and_writes_again() {
    let mut pamqp = agree("write", Stdio::null());
    let lines = BufReader::new(pamqp.stdout.take().expect("piped")).lines();
    let mut counts = [0; 4];
    for line in lines {
        let line = line.expect("a line");
        let (octets, text) = line.split_once('\t').expect("a frame and what is in it");
        let frame = unhex(octets);
        let (kind, channel, payload) = parts(&frame);
        assert_eq!(shown(kind, channel, payload), text, "{octets}");
        assert_eq!(hex(&again(kind, channel, payload)), octets, "{text}");
        counts[kind as usize] += 1;
    }
    assert!(pamqp.wait().expect("it ends").success());
    // Methods, sets of properties, bodies, heartbeats.
    assert!(counts[0] > METHODS.len() * 2, "{counts:?}");
    assert_eq!(counts[1..], [1 << PROPERTIES.len(), 3, 1]);
}

#[test]
fn what_hopmq_writes_pamqp_reads_and_writes_again() {
    let mut frames: Vec<BytesMut> = METHODS.iter().flat_map(methods).collect();
    frames.extend((0..1 << PROPERTIES.len()).map(properties));
    let mut others = BytesMut::new();
    encode::body(&mut others, 9, &[0xCE; 100], 4096);
    frames.push(others.split());
    encode::heartbeat(&mut others);
    frames.push(others);

    let mut pamqp = agree("read", Stdio::piped());
    let mut questions = pamqp.stdin.take().expect("piped");
    let asked: String = frames.iter().map(|frame| hex(frame) + "\n").collect();
    // From another thread: the answers come while the questions go.
    let asking = std::thread::spawn(move || questions.write_all(asked.as_bytes()));
    let mut answers = BufReader::new(pamqp.stdout.take().expect("piped")).lines();
    for frame in &frames {
        let line = answers.next().expect("an answer").expect("a line");
        let (octets, text) = line.split_once('\t').expect("a frame and what is in it");
        let (kind, channel, payload) = parts(frame);
        assert_eq!(text, shown(kind, channel, payload), "{}", hex(frame));
        assert_eq!(octets, hex(frame), "{text}");
    }
    asking.join().expect("no panic").expect("all was asked");
    assert!(pamqp.wait().expect("it ends").success());
}

/// Tags that pamqp reads but never writes.
#[test]
fn every_tag_of_a_table_is_read_alike() {
    let table: FieldTable = [
        ("b", Value::I8(-5)),
        ("b_", Value::U8(250)),
        ("d", Value::F64(0.1)),
        ("f", Value::F32(-2.5)),
        ("i", Value::I32(-70_000)),
        ("i_", Value::U32(7)),
        ("l", Value::I64(7)),
        ("s", Value::I16(-7)),
        ("u", Value::U16(7)),
    ]
    .map(|(name, value)| (short(name), value))
    .into_iter()
    .collect();
    let mut frame = BytesMut::new();
    let arguments = table.encode();
    let arguments = RawTable::new(&arguments);
    encode::any_method(
        &mut frame,
        1,
        &hopmq::wire::method::queue::Declare { arguments, ..Default::default() }.into(),
    );
    let mut pamqp = agree("read", Stdio::piped());
    let mut question = pamqp.stdin.take().expect("piped");
    question.write_all((hex(&frame) + "\n").as_bytes()).expect("it was asked");
    drop(question);
    let output = pamqp.wait_with_output().expect("it ends");
    let line = String::from_utf8(output.stdout).expect("text");
    let (kind, channel, payload) = parts(&frame);
    assert_eq!(line.trim().split_once('\t').expect("an answer").1, shown(kind, channel, payload));
}

fn agree(mode: &str, stdin: Stdio) -> Child {
    let python = std::env::var("HOPMQ_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/agree.py");
    Command::new(&python)
        .args([script, mode])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python}, which must have pamqp: {error}"))
}

fn parts(frame: &[u8]) -> (FrameKind, u16, &[u8]) {
    let (mut decoder, mut at) = (Decoder::new(131_072), 0);
    let found = decoder.next(frame, &mut at).expect("a frame").expect("a whole frame");
    assert_eq!(at, frame.len(), "one frame");
    (found.kind, found.channel, &frame[found.payload])
}

/// What is in a frame, as `agree.py` shows it.
fn shown(kind: FrameKind, channel: u16, payload: &[u8]) -> String {
    match kind {
        FrameKind::Heartbeat => format!("{channel} heartbeat"),
        FrameKind::Body => format!("{channel} body {}", hex(payload)),
        FrameKind::Header => {
            let header = ContentHeader::decode(payload).expect("a content header");
            let properties = RawProperties::decode(header.properties).expect("properties");
            format!("{channel} header {} {}", header.body_size, fields(&properties))
        }
        FrameKind::Method => {
            let method = Method::decode(payload).expect("a method");
            let id = method.id();
            format!("{channel} method {}.{} {}", id.class, id.method, fields(&method))
        }
    }
}

/// The fields of a struct, without the width of the numbers in its tables.
fn fields(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    let Some((_, text)) = text.split_once(" { ") else { return String::new() };
    let mut text = text.trim_end_matches(')').trim_end_matches(" }").to_owned();
    for int in ["I8(", "U8(", "I16(", "U16(", "I32(", "U32(", "I64("] {
        text = text.replace(int, "Int(");
    }
    text.replace("F32(", "Float(").replace("F64(", "Float(")
}

/// The frame, written again from what was read in it. Tables are taken apart and put together.
fn again(kind: FrameKind, channel: u16, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    match kind {
        FrameKind::Heartbeat => encode::heartbeat(&mut out),
        FrameKind::Body => encode::body(&mut out, channel, payload, 131_072),
        FrameKind::Header => {
            let header = ContentHeader::decode(payload).expect("a content header");
            let raw = RawProperties::decode(header.properties).expect("properties");
            let table = raw.headers.map(|table| table.decode().expect("a table").encode());
            let raw = RawProperties { headers: table.as_deref().map(RawTable::new), ..raw };
            let mut properties = BytesMut::new();
            raw.encode(&mut properties);
            encode::content_header(&mut out, channel, header.body_size, &properties);
        }
        FrameKind::Method => {
            let mut method = Method::decode(payload).expect("a method");
            let table =
                table_of(&mut method).map(|table| table.decode().expect("a table").encode());
            if let (Some(slot), Some(table)) = (table_of(&mut method), &table) {
                *slot = RawTable::new(table);
                encode::any_method(&mut out, channel, &method);
            } else {
                encode::any_method(&mut out, channel, &method);
            }
        }
    }
    out
}

fn table_of<'m, 'a>(method: &'m mut Method<'a>) -> Option<&'m mut RawTable<'a>> {
    Some(match method {
        Method::ConnectionStart(start) => &mut start.server_properties,
        Method::ConnectionStartOk(start_ok) => &mut start_ok.client_properties,
        Method::ExchangeDeclare(declare) => &mut declare.arguments,
        Method::ExchangeBind(bind) => &mut bind.arguments,
        Method::ExchangeUnbind(unbind) => &mut unbind.arguments,
        Method::QueueDeclare(declare) => &mut declare.arguments,
        Method::QueueBind(bind) => &mut bind.arguments,
        Method::QueueUnbind(unbind) => &mut unbind.arguments,
        Method::BasicConsume(consume) => &mut consume.arguments,
        _ => return None,
    })
}

/// A method with every combination of its bits, the other fields set.
fn methods(spec: &MethodSpec) -> Vec<BytesMut> {
    let is_bit = |kind: FieldKind| kind == FieldKind::Bit;
    let bits =
        spec.fields.iter().filter(|field| is_bit(field.kind) && field.name.is_some()).count();
    (0..1_u16 << bits).map(|flags| method(spec, flags)).collect()
}

fn method(spec: &MethodSpec, flags: u16) -> BytesMut {
    let mut payload = [spec.id.class.to_be_bytes(), spec.id.method.to_be_bytes()].concat();
    let table = sorted_table();
    let mut used = 0;
    for field in spec.fields {
        let known = field.name.is_some();
        if field.kind != FieldKind::Bit && used > 0 {
            payload.push(flags as u8);
            used = 0;
        }
        match field.kind {
            FieldKind::Bit => used += 1,
            FieldKind::Octet => payload.push(if known { 200 } else { 0 }),
            FieldKind::Short => payload.extend(if known { 60_000_u16 } else { 0 }.to_be_bytes()),
            FieldKind::Long => payload.extend(4_000_000_000_u32.to_be_bytes()),
            // The highest that pamqp can write again.
            FieldKind::LongLong => payload.extend((u64::MAX / 2).to_be_bytes()),
            FieldKind::ShortStr if known => payload.extend(b"\x05short"),
            FieldKind::ShortStr => payload.push(0),
            FieldKind::LongStr if known => payload.extend(b"\0\0\0\x04long"),
            FieldKind::LongStr => payload.extend([0; 4]),
            FieldKind::Table => {
                payload.extend((table.len() as u32).to_be_bytes());
                payload.extend(&table);
            }
            other => unreachable!("{other:?}"),
        }
    }
    if used > 0 {
        payload.push(flags as u8);
    }
    let mut out = BytesMut::new();
    encode::any_method(&mut out, 3, &Method::decode(&payload).expect(spec.name));
    out
}

/// As pamqp would write it: sorted, and each integer under the narrowest tag.
fn sorted_table() -> Vec<u8> {
    let within = FieldTable::from_iter([(short("x"), Value::I8(1))]);
    let array = vec![Value::Void, Value::LongString("one".into()), Value::Table(within.clone())];
    let entries = [
        ("a", Value::Array(array)),
        ("b", Value::Bool(true)),
        ("d", Value::Decimal { scale: 3, value: 12_345 }),
        ("f", Value::F32(0.5)),
        ("i1", Value::I8(-128)),
        ("i2", Value::I16(-129)),
        ("i3", Value::U16(65_535)),
        ("i4", Value::I32(65_536)),
        ("i5", Value::U32(u32::MAX)),
        ("i6", Value::I64(i64::MIN)),
        ("s", Value::LongString("text".into())),
        ("t", Value::Timestamp(u64::from(u32::MAX))),
        ("v", Value::Void),
        ("x", Value::ByteArray(vec![0, 1, 254, 255].into())),
        ("z", Value::Table(within)),
    ];
    FieldTable::from_iter(entries.map(|(name, value)| (short(name), value))).encode().to_vec()
}

/// A content header with the properties of which the bits are set.
fn properties(set: u16) -> BytesMut {
    let table = sorted_table();
    let has = |bit: u16| set & 1 << bit != 0;
    let text = |bit: u16, text: &'static str| {
        has(bit).then(|| hopmq::wire::ShortStr::new(text).expect("a short text"))
    };
    let raw = RawProperties {
        content_type: text(0, "application/json"),
        content_encoding: text(1, "identity"),
        headers: has(2).then(|| RawTable::new(&table)),
        delivery_mode: has(3).then_some(1),
        priority: has(4).then_some(255),
        correlation_id: text(5, "correlation"),
        reply_to: text(6, "reply"),
        expiration: text(7, "0"),
        message_id: text(8, "id"),
        timestamp: has(9).then_some(1_767_323_045),
        kind: text(10, "kind"),
        user_id: text(11, "user"),
        app_id: text(12, "app"),
        cluster_id: text(13, "cluster"),
    };
    let (mut properties, mut out) = (BytesMut::new(), BytesMut::new());
    raw.encode(&mut properties);
    encode::content_header(&mut out, 5, u64::from(set) << 40, &properties);
    out
}

fn short(text: &str) -> ShortString {
    ShortString::new(text).expect("a short text")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}
