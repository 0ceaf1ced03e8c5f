//! Field tables and properties: what was written is read, and nothing that a peer sends does harm.

use bytes::{Bytes, BytesMut};
use hopmq::wire::properties::RawProperties;
use hopmq::wire::{
    FieldTable, Headers, Properties, RawTable, ShortString, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX,
    TableError, Value,
};
use proptest::prelude::*;

fn scalar() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<u32>().prop_map(|bits| Value::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::F64(f64::from_bits(bits))),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        bytes().prop_map(Value::LongString),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
        bytes().prop_map(Value::ByteArray),
    ]
}

fn name() -> impl Strategy<Value = ShortString> {
    "\\PC{0,12}".prop_map(|name| ShortString::new(name).unwrap())
}

fn entries(value: impl Strategy<Value = Value>) -> impl Strategy<Value = FieldTable> {
    prop::collection::vec((name(), value), 0..6).prop_map(FieldTable::from_iter)
}

fn table() -> impl Strategy<Value = FieldTable> {
    entries(scalar().prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            entries(inner).prop_map(Value::Table),
        ]
    }))
}

fn properties() -> impl Strategy<Value = Properties> {
    let text = || prop::option::of(name());
    let texts = (text(), text(), text(), text(), text(), text(), text());
    let more = (text(), text(), prop::option::of(table()));
    let numbers = any::<(Option<u8>, Option<u8>, Option<u64>)>();
    (texts, more, numbers).prop_map(|(texts, more, numbers)| Properties {
        content_type: texts.0,
        content_encoding: texts.1,
        headers: more.2.map(Headers::from),
        delivery_mode: numbers.0,
        priority: numbers.1,
        correlation_id: texts.2,
        reply_to: texts.3,
        expiration: texts.4,
        message_id: texts.5,
        timestamp: numbers.2,
        kind: texts.6,
        user_id: more.0.clone(),
        app_id: more.1.clone(),
        cluster_id: more.0.filter(|_| more.1.is_some()),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn tables_round_trip(table in table()) {
        let content = table.encode();
        let raw = RawTable::new(&content);
        prop_assert_eq!(raw.decode(), Ok(table.clone()));
        prop_assert_eq!(raw.entries().count(), table.len());
        for (name, value) in table.iter() {
            prop_assert_eq!(raw.get(name.as_str()), Ok(Some(value.clone())));
        }
    }

    /// A table that ends early is refused, unless it ends behind an entry.
    #[test]
    fn a_truncated_table_is_refused(table in table()) {
        let content = table.encode();
        let mut whole = 0;
        for len in 0..content.len() {
            match RawTable::new(&content[..len]).decode() {
                Ok(shorter) => {
                    prop_assert_eq!(shorter.len(), whole);
                    whole += 1;
                }
                Err(TableError::Truncated { at }) => prop_assert!(at < len),
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
        prop_assert_eq!(whole, table.len());
    }

    /// Whatever a peer sends: a typed error, or a table that survives being written again.
    #[test]
    fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(likely_octet(), 0..400)) {
        let raw = RawTable::new(&bytes);
        if let Ok(table) = raw.decode() {
            prop_assert!(table.len() <= bytes.len());
            prop_assert_eq!(RawTable::new(&table.encode()).decode(), Ok(table));
        }
        let shown = format!("{raw:?}");
        prop_assert!(!shown.is_empty());
        prop_assert!(raw.entries().count() <= bytes.len());
    }

    #[test]
    fn properties_round_trip(properties in properties()) {
        let mut encoded = BytesMut::from(&b"before"[..]);
        properties.encode(&mut encoded);
        let encoded = encoded.freeze().slice(6..);
        prop_assert_eq!(encoded.len(), properties.encoded_len());
        prop_assert_eq!(RawProperties::decode(&encoded), Ok(properties.as_raw()));
        for len in 0..encoded.len() {
            prop_assert!(Properties::validate(&encoded[..len]).is_err());
        }
        prop_assert_eq!(Properties::decode(encoded), Ok(properties));
    }

    #[test]
    fn arbitrary_properties_are_harmless(flags: u16, list: Vec<u8>) {
        let encoded = Bytes::from([&(flags & !3).to_be_bytes()[..], &list].concat());
        let decoded = Properties::decode(encoded.clone());
        prop_assert_eq!(decoded.map(drop), Properties::validate(&encoded));
    }
}

/// Octets of which tables are made, so that arbitrary bytes get past the first entry.
fn likely_octet() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(&b"tbBsuIilfdDSATFVx\0\0\0\0\x01\x02\x05"[..]), any::<u8>()]
}

/// Every set of properties, not only those that chance brings.
#[test]
fn every_set_of_properties_round_trips() {
    let text = |text: &'static str| ShortString::from_static(text).ok();
    for set in 0..1u16 << 14 {
        let flags = set << 2;
        let has = |bit: u8| flags & 1 << bit != 0;
        let properties = Properties {
            content_type: text("ct").filter(|_| has(15)),
            content_encoding: text("ce").filter(|_| has(14)),
            headers: has(13).then(|| Headers::from_bytes(Bytes::from_static(b"\x01hV"))),
            delivery_mode: has(12).then_some(2),
            priority: has(11).then_some(9),
            correlation_id: text("ci").filter(|_| has(10)),
            reply_to: text("rt").filter(|_| has(9)),
            expiration: text("ex").filter(|_| has(8)),
            message_id: text("mi").filter(|_| has(7)),
            timestamp: has(6).then_some(u64::MAX),
            kind: text("ty").filter(|_| has(5)),
            user_id: text("ui").filter(|_| has(4)),
            app_id: text("ai").filter(|_| has(3)),
            cluster_id: text("cl").filter(|_| has(2)),
        };
        let mut encoded = BytesMut::new();
        properties.encode(&mut encoded);
        assert_eq!(encoded[..2], flags.to_be_bytes());
        assert_eq!(Properties::decode(encoded.freeze()), Ok(properties));
    }
}

/// The content of a table of tables within each other, each with one entry, `depth` in all.
fn nested(depth: usize) -> Bytes {
    let entry = |level: usize| {
        let len = (level as u32) * 6;
        [&[0, b'F'][..], &len.to_be_bytes()].concat()
    };
    (0..depth - 1).rev().flat_map(entry).collect()
}

/// Scenario 31: an honest broker passes on headers nested 15,000 deep.
#[test]
fn a_message_with_bottomless_headers_can_still_be_carried() {
    let content = nested(15_000);
    assert_eq!(content.len(), 14_999 * 6);
    let properties =
        Properties { headers: Some(Headers::from_bytes(content.clone())), ..Default::default() };
    let mut encoded = BytesMut::new();
    properties.encode(&mut encoded);
    let encoded = encoded.freeze();
    assert_eq!(Properties::validate(&encoded), Ok(()));
    let carried = Properties::decode(encoded.clone()).unwrap();
    let headers = carried.headers.unwrap();
    assert_eq!(headers.decode(), Err(TableError::TooDeep { max: 32 }));
    assert_eq!(headers.get("retries"), Ok(None));
    assert_eq!(headers.as_bytes(), &content);
    // A slice of what arrived, not a copy.
    assert!(encoded.as_ptr_range().contains(&headers.as_bytes().as_ptr()));
}

#[test]
fn depth_is_taken_up_to_its_limit() {
    assert!(RawTable::new(&nested(TABLE_DEPTH_MAX)).decode().is_ok());
    assert_eq!(
        RawTable::new(&nested(TABLE_DEPTH_MAX + 1)).decode(),
        Err(TableError::TooDeep { max: 32 })
    );
}

/// A table within takes six bytes on the wire and many more decoded: their number has a bound.
#[test]
fn breadth_is_taken_up_to_its_limit() {
    let empty_tables = |count| b"\x00F\0\0\0\0".repeat(count);
    let most = empty_tables(TABLE_ENTRIES_MAX);
    assert_eq!(RawTable::new(&most).decode().unwrap().len(), TABLE_ENTRIES_MAX);
    let one_more = empty_tables(TABLE_ENTRIES_MAX + 1);
    assert_eq!(RawTable::new(&one_more).decode(), Err(TableError::TooManyEntries { max: 16_384 }));
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    for tag in *b"SxAF" {
        let lying = [0, tag, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
        assert_eq!(RawTable::new(&lying).decode(), Err(TableError::Truncated { at: 0 }));
    }
}
