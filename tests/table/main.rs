//! The table of states and operations (`hopmq::table`) against everything that must agree with it:
//! the capability traits, the methods' signatures, the programs that must not compile, the machine
//! that runs, the specification, and the diagrams.

mod capabilities;
mod channel;
mod diagrams;
mod machine;
mod never;
mod programs;
mod signatures;

use std::{
    fs,
    path::{Path, PathBuf},
};

use hopmq::table::{BROKER, CHAN, CONN, MESSAGE_QUEUE, Table};

/// Every handle with states.
const TABLES: [Table; 4] = [CONN, CHAN, BROKER, MESSAGE_QUEUE];

/// What a handle is called where it is a variable or a file's name: by the last word of its type.
fn called(handle: &str) -> String {
    let last = handle.rfind(char::is_uppercase).unwrap_or_default();
    handle[last..].to_lowercase()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder of the project, without those of its folders.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares with what was reviewed; `UPDATE_SNAPSHOTS=1 cargo test --test table` writes it anew, and
/// the difference is then to be read.
fn check(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, text).expect("a writable snapshot");
    }
    let reviewed = fs::read_to_string(&file).unwrap_or_default();
    assert!(reviewed == text, "{path} has changed; with UPDATE_SNAPSHOTS=1 it is written anew");
}
