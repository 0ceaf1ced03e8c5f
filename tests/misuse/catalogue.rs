//! The table in the documentation, and what keeps it true.

use std::path::Path;

/// A row of the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    /// What a broker answers.
    pub(crate) answer: String,
    /// The versions of RabbitMQ that answer otherwise, and how: `3, 4: accepted`.
    differs: String,
    /// The program, or the test.
    place: String,
}

/// How a mistake is kept from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Type,
    Value,
    Runtime,
}

/// The rows of the table in the documentation.
pub(crate) fn rows() -> Vec<Row> {
    let page = include_str!("../../src/guide/misuse.md");
    page.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").map(str::trim).collect();
    let number = cells.first()?.parse().ok()?;
    let [_, _, kind, answer, differs, _, place] = cells.as_slice() else {
        panic!("not seven cells: {line}");
    };
    let kind = match *kind {
        "type" => Kind::Type,
        "value" => Kind::Value,
        "runtime" => Kind::Runtime,
        other => panic!("{other} is no kind: {line}"),
    };
    let place = place.trim_end_matches('|').trim().trim_matches('`').to_owned();
    let (answer, differs) = ((*answer).to_owned(), (*differs).to_owned());
    Some(Row { number, kind, answer, differs, place })
}

impl Row {
    /// What RabbitMQ answers in this version, e.g. `4.0.5`.
    pub(crate) fn answer_of(&self, version: &str) -> &str {
        match self.differs.split_once(": ") {
            Some((versions, answer)) if versions.split(", ").any(|old| is_of(version, old)) => {
                answer
            }
            _ => &self.answer,
        }
    }
}

fn is_of(version: &str, older: &str) -> bool {
    version.strip_prefix(older).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[test]
fn every_row_is_there_with_its_files() {
    let rows = rows();
    let numbers: Vec<u8> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    let count = |kind| rows.iter().filter(|row| row.kind == kind).count();
    let counts = (count(Kind::Type), count(Kind::Value), count(Kind::Runtime));
    println!("{} by type, {} by value, {} at run time", counts.0, counts.1, counts.2);
    assert_eq!(counts, (42, 5, 3));

    let missing: Vec<String> =
        rows.iter().flat_map(places).filter(|place| !Path::new(place).is_file()).collect();
    assert!(missing.is_empty(), "not there: {missing:?}");
    for row in rows.iter().filter(|row| row.kind == Kind::Type) {
        assert!(row.place.starts_with(&format!("row{:02}_", row.number)), "{row:?}");
    }
}

/// No program without a row, and one legal twin for each row. Where a row covers several calls it
/// has a program for each.
#[test]
fn every_program_has_its_row() {
    let rows = rows();
    let is_row = |name: &str| {
        let by_type = rows.iter().filter(|row| row.kind == Kind::Type);
        by_type.map(|row| row.number).any(|number| name.starts_with(&format!("row{number:02}_")))
    };
    for folder in ["ui-tests/misuse", "ui-tests/misuse-legal"] {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(is_row(&name), "{folder}/{name}");
            assert!(path.with_extension("rs").is_file(), "{folder}/{name} without its program");
        }
    }
    assert_eq!(std::fs::read_dir("ui-tests/misuse-legal").unwrap().count(), 42);
}

/// What a row has to stand on.
fn places(row: &Row) -> Vec<String> {
    match row.kind {
        Kind::Type => {
            let program = row.place.trim_end_matches(".rs");
            vec![
                format!("ui-tests/misuse/{program}.rs"),
                format!("ui-tests/misuse/{program}.stderr"),
                format!("ui-tests/misuse-legal/{program}.rs"),
            ]
        }
        _ => vec![row.place.clone()],
    }
}
