//! The lazy walk over a table agrees with its decoding, and neither goes too deep.

use arbitrary::Unstructured;
use hopmq::wire::{
    FieldTable, RawTable, ShortString, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, TableError, Value,
};

use crate::{
    grammar::{self, Drawn},
    memory,
};

pub fn run(input: &[u8]) {
    let _ = play(&mut Unstructured::new(input));
}

fn play(from: &mut Unstructured<'_>) -> Drawn<()> {
    let mut content = Vec::new();
    match from.arbitrary::<u8>()? {
        0..=99 => content.extend_from_slice(from.bytes(from.len())?),
        levels @ 100..=139 => nest(from, levels - 100, &mut content)?,
        _ => {
            while !from.is_empty() {
                grammar::table(from, 6, &mut content)?;
            }
        }
    }
    check(&content);
    Ok(())
}

/// A table within tables and arrays: depths at which decoding must stop.
fn nest(from: &mut Unstructured<'_>, levels: u8, content: &mut Vec<u8>) -> Drawn<()> {
    let mut is_table = true;
    grammar::table(from, 0, content)?;
    for _ in 0..levels {
        let within_table = from.arbitrary::<u8>()? & 1 == 0;
        let mut outer = Vec::new();
        outer.extend_from_slice(if within_table { b"\x01n" } else { b"" });
        outer.push(if is_table { b'F' } else { b'A' });
        outer.extend((content.len() as u32).to_be_bytes());
        outer.append(content);
        *content = outer;
        is_table = within_table;
    }
    if !is_table {
        let len = content.len() as u32;
        content.splice(..0, [&b"\x01nA"[..], &len.to_be_bytes()].concat());
    }
    Ok(())
}

fn check(content: &[u8]) {
    let raw = RawTable::new(content);
    let (decoded, peak) = memory::peak(|| raw.decode());
    assert!(peak <= 4096 + 80 * content.len(), "{peak} octets for {}", content.len());
    let walked: Result<Vec<(ShortString, Value)>, TableError> = raw
        .entries()
        .map(|entry| {
            let (name, value) = entry?;
            Ok((ShortString::from_short_lossy(name), value.decode()?))
        })
        .collect();
    match (&decoded, &walked) {
        (Ok(table), Ok(walked)) => {
            assert!(table.iter().eq(walked.iter().map(|(name, value)| (name, value))));
        }
        // The bound on entries holds for a whole decoding, not for each value of a walk.
        (Err(TableError::TooManyEntries { .. }), _) => {}
        (decoded, walked) => assert_eq!(decoded.as_ref().err(), walked.as_ref().err()),
    }
    assert!(raw.entries().count() <= content.len());
    assert!(!format!("{raw:?}").is_empty());
    if let Ok(table) = decoded {
        check_decoded(raw, &table);
    }
}

fn check_decoded(raw: RawTable<'_>, table: &FieldTable) {
    let (depth, entries) = (depth(table), count(table));
    assert!(depth <= TABLE_DEPTH_MAX && entries <= TABLE_ENTRIES_MAX, "{depth}, {entries}");
    let encoded = table.encode();
    assert_eq!(RawTable::new(&encoded).decode().as_ref(), Ok(table));
    for (name, _) in table.iter().take(8) {
        // Names that are not UTF-8 are shown with replacements, and found under no text.
        if !name.as_str().contains('\u{fffd}') {
            let found = raw.get(name.as_str());
            assert_eq!(found.as_ref().map(Option::as_ref), Ok(table.get(name.as_str())));
            let range = raw.entry_range(name.as_str()).expect("it was found").expect("there");
            let cut = [&raw.as_bytes()[..range.start], &raw.as_bytes()[range.end..]].concat();
            let shorter = RawTable::new(&cut).decode().expect("the others are whole");
            assert_eq!(shorter.len() + 1, table.len());
        }
    }
}

fn depth(table: &FieldTable) -> usize {
    1 + table.iter().map(|(_, value)| depth_of(value)).max().unwrap_or(0)
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::Table(table) => depth(table),
        Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
        _ => 0,
    }
}

fn count(table: &FieldTable) -> usize {
    table.iter().map(|(_, value)| 1 + count_in(value)).sum()
}

fn count_in(value: &Value) -> usize {
    match value {
        Value::Table(table) => count(table),
        Value::Array(values) => values.iter().map(|value| 1 + count_in(value)).sum(),
        _ => 0,
    }
}
