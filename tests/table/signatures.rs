//! The methods' signatures ask for the capabilities that the table names: a method that is missing
//! in the table, or one that is there for a single state only, fails here.

use std::{collections::BTreeSet, path::Path};

use super::{TABLES, files, read};

#[test]
fn every_method_asks_for_what_the_table_says() {
    for table in TABLES {
        let found: BTreeSet<_> = methods(table.handle).into_iter().collect();
        let operations = table.operations.iter();
        let expected: BTreeSet<_> = operations
            .map(|operation| (operation.name.to_owned(), operation.capability.to_owned()))
            .collect();
        let missing: Vec<_> = found.difference(&expected).collect();
        let too_many: Vec<_> = expected.difference(&found).collect();
        assert!(
            missing.is_empty() && too_many.is_empty(),
            "{}: missing in the table: {missing:?}; only in the table: {too_many:?}",
            table.handle
        );
    }
}

/// Of a method that one state has and another has not, rustc says no more than "no method named".
#[test]
fn no_method_belongs_to_one_state_alone() {
    for table in TABLES {
        for state in table.states {
            let block = format!("impl {}<{state}> {{", table.handle);
            for text in sources() {
                for (at, _) in text.match_indices(&block) {
                    for method in signatures(block_at(&text, at)) {
                        assert!(
                            !(method.starts_with("pub fn") && method.contains("self")),
                            "{block} {method}"
                        );
                    }
                }
            }
        }
    }
}

/// Every public method with the capability that its `Self` must have; those that ask for none are
/// legal in every state, and hidden ones are signposts for what is never legal.
fn methods(handle: &str) -> Vec<(String, String)> {
    let states = match handle {
        "MessageQueue" => "QueueState".to_owned(),
        handle => format!("{handle}State"),
    };
    let block = format!("impl<S: {states}> {handle}<S> {{");
    let mut found = Vec::new();
    for text in sources() {
        for (at, _) in text.match_indices(&block) {
            if text[..at].ends_with("#[doc(hidden)]\n") {
                continue;
            }
            for signature in signatures(block_at(&text, at)) {
                let Some(rest) = signature.strip_prefix("pub fn ") else { continue };
                let Some((_, bound)) = signature.split_once("Self: ") else { continue };
                found.push((identifier(rest), identifier(bound)));
            }
        }
    }
    assert!(!found.is_empty(), "no methods of {handle}");
    found
}

/// What stands in a block, which ends with a brace at the start of a line.
fn block_at(text: &str, at: usize) -> &str {
    let block = &text[at..];
    &block[..block.find("\n}").expect("the block's end")]
}

/// Everything from `fn` up to its body, comments left out, in one line each.
fn signatures(block: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in block.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        if line.starts_with("pub") && line.contains("fn ") {
            open = Some(String::new());
        }
        if let Some(signature) = &mut open {
            signature.push_str(line);
            signature.push(' ');
            if line.ends_with('{') {
                found.extend(open.take());
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The texts of the typestate API: everything right under `src`, and in the folders of its modules.
fn sources() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec!["src".to_owned()];
    while let Some(folder) = folders.pop() {
        for file in files(&folder) {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if file.is_dir() {
                folders.push(format!("{folder}/{name}"));
            } else if Path::new(name).extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&file));
            }
        }
    }
    found
}

#[test]
fn the_search_sees_through_what_it_meets() {
    let text = "impl<S> X<S> {\n    /// Says.\n    pub fn one(self) -> Y // why\n    where\n        Self: CanOne,\n    {\n        f()\n    }\n\n    pub(crate) fn two(&self) {\n    }\n}\n";
    let found = signatures(block_at(text, 0));
    assert_eq!(
        found,
        ["pub fn one(self) -> Y where Self: CanOne, { ", "pub(crate) fn two(&self) { "]
    );
}
