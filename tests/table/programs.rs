//! Each illegal pair of the table stands as a program under `ui-tests/matrix` that `tests/ui.rs`
//! shows not to compile, and each legal one as a call under `ui-tests/legal` that does.

use std::collections::BTreeSet;

use hopmq::table::Legality;

use super::{TABLES, called, files, read, root};

fn program(handle: &str, state: &str, operation: &str) -> String {
    format!("{}_{}_{operation}.rs", called(handle), state.to_lowercase())
}

#[test]
fn every_illegal_pair_has_its_program_and_every_program_its_pair() {
    let mut illegal = BTreeSet::new();
    for table in TABLES {
        let before = illegal.len();
        for (state, operation, legality) in table.pairs() {
            if legality == Legality::Illegal {
                illegal.insert(program(table.handle, state, operation.name));
            }
        }
        let (states, operations) = (table.states.len(), table.operations.len());
        let (pairs, illegal) = (table.pairs().count(), illegal.len() - before);
        assert_eq!(states * operations, pairs);
        println!(
            "{}: {states} states x {operations} operations = {} legal + {illegal} illegal",
            table.handle,
            pairs - illegal,
        );
    }
    for file in &illegal {
        println!("  ui-tests/matrix/{file}");
    }
    let there: BTreeSet<_> = files("ui-tests/matrix")
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|file| Some(file.file_name()?.to_str()?.to_owned()))
        .collect();
    let missing: Vec<_> = illegal.difference(&there).collect();
    let too_many: Vec<_> = there.difference(&illegal).collect();
    assert!(
        missing.is_empty() && too_many.is_empty(),
        "missing: {missing:?}, too many: {too_many:?}"
    );
}

/// A program's only fault is the call that it is named after.
#[test]
fn every_program_makes_the_call_that_it_is_named_after() {
    for table in TABLES {
        for (state, operation, legality) in table.pairs() {
            if legality == Legality::Illegal {
                let file = program(table.handle, state, operation.name);
                let text = read(&root().join("ui-tests/matrix").join(&file));
                let (handle, variable) = (table.handle, called(table.handle));
                let taken = format!("{variable}: {handle}<{state}>");
                let call = format!("let _ = {variable}.{}(", operation.name);
                assert!(text.contains(&taken) && text.contains(&call), "{file}:\n{text}");
                assert_eq!(text.matches("let ").count(), 1, "{file}:\n{text}");
            }
        }
    }
}

#[test]
fn every_legal_pair_has_its_call() {
    for table in TABLES {
        let variable = called(table.handle);
        for (state, operation, legality) in table.pairs() {
            if legality == Legality::Illegal {
                continue;
            }
            let file = format!("ui-tests/legal/{variable}_{}.rs", state.to_lowercase());
            let call = format!("{variable}.{}(", operation.name);
            assert!(read(&root().join(&file)).contains(&call), "{file}: no {call}");
        }
    }
}

/// The advice is the same through `&` and `Arc`: of both there is a program for each state that
/// lacks a capability, and for each transition where it is illegal.
#[test]
fn what_is_illegal_is_asked_for_through_references_and_arcs() {
    for table in TABLES {
        for (state, operation, legality) in table.pairs() {
            if legality != Legality::Illegal {
                continue;
            }
            let transition = operation.legal.iter().any(|(from, to)| from != to);
            let others = table.operations.iter().filter(|other| {
                other.name == operation.name
                    || (!transition && other.capability == operation.capability)
            });
            let files: Vec<_> =
                others.map(|other| program(table.handle, state, other.name)).collect();
            for receiver in ["ref", "arc"] {
                let found = files.iter().any(|file| {
                    let file = file.replace(".rs", &format!("_{receiver}.stderr"));
                    root().join("ui-tests/receivers").join(file).exists()
                });
                assert!(found, "ui-tests/receivers: none of {files:?}, {receiver}");
            }
        }
    }
}

/// What each error must tell: what was found, what is needed and, where there is a way, the call.
#[test]
fn every_error_says_what_was_found_what_is_needed_and_what_to_write() {
    for folder in ["ui-tests/matrix", "ui-tests/receivers"] {
        for file in files(folder) {
            if file.extension().is_some_and(|extension| extension == "stderr") {
                let text = read(&file);
                let says =
                    |what: &str| assert!(text.contains(what), "{}: no {what}", file.display());
                says(" this is a `");
                says(" needs a");
                says("= note: ");
                says("write `");
            }
        }
    }
}
