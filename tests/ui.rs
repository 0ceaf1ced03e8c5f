//! The wrong program does not compile, and the compiler says what to write instead.
//!
//! Every program under `ui-tests/` but those in `legal` must fail, with exactly the error beside it.
//! Errors read differently from one Rust to the next, so they are compared on the one that they
//! were written with; on any other the programs must only fail. After a change that was meant,
//! `TRYBUILD=overwrite cargo test --test ui` writes the errors anew; the difference is then to be
//! read. Nothing else ever writes them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use trybuild::TestCases;

/// The Rust whose errors stand beside the programs.
const WRITTEN_WITH: &str = "1.95.";

/// Each illegal pair of state and operation; the same through `&` and `Arc`; uses after a move;
/// functions for any mode; what must not be dropped unseen, as a call without its `.await`, or used before it; links;
/// queues between brokers; services.
const FOLDERS: &[&str] =
    &["matrix", "receivers", "moves", "bounds", "unused", "unawaited", "link", "peer", "service"];

/// Where the programs are that only have to fail; set for [`fails_in_any_way`] by the test below.
const COPIES: &str = "HOPMQ_TEST_UI_COPIES";

/// The legal twins: they compile as a part of this test.
#[allow(dead_code)]
#[path = "../ui-tests/legal"]
mod legal {
    mod any_mode;
    mod broker_draining;
    mod broker_listening;
    mod broker_stopped;
    mod broker_unbound;
    mod chan_closed;
    mod chan_confirming;
    mod chan_open;
    mod chan_transactional;
    mod conn_connected;
    mod conn_disconnected;
    mod queue_closed;
    mod queue_open;
}

#[test]
fn wrong_programs_fail_and_say_what_to_write() {
    if env::var_os(COPIES).is_some() {
        return;
    }
    let version = rustc();
    if version.starts_with(WRITTEN_WITH) {
        return compile_fail(&root().join("ui-tests"));
    }
    println!(
        "rustc {version}: errors are compared on {WRITTEN_WITH}x; here programs must only fail"
    );
    let copies = copy_programs();
    // A program without an error beside it fails in whatever way when errors are being written:
    // into the copies, by a process of its own, since its environment says so.
    let status = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "fails_in_any_way", "--nocapture"])
        .env(COPIES, copies)
        .env("TRYBUILD", "overwrite")
        .status()
        .expect("this test again");
    assert!(status.success(), "a wrong program compiled: see above");
}

/// Does nothing by itself.
#[test]
fn fails_in_any_way() {
    if let Some(copies) = env::var_os(COPIES) {
        compile_fail(Path::new(&copies));
    }
}

#[test]
fn every_program_has_its_error_and_every_error_its_program() {
    for folder in FOLDERS {
        for file in files(&root().join("ui-tests").join(folder)) {
            let other = match file.extension().and_then(|extension| extension.to_str()) {
                Some("rs") => file.with_extension("stderr"),
                Some("stderr") => file.with_extension("rs"),
                _ => panic!("{}: neither a program nor an error", file.display()),
            };
            assert!(other.exists(), "{} is missing", other.display());
        }
    }
}

/// One error each: whoever reads it looks at one place.
#[test]
fn each_error_is_one() {
    for folder in FOLDERS {
        for file in files(&root().join("ui-tests").join(folder)) {
            if file.extension().is_some_and(|extension| extension == "stderr") {
                let text = fs::read_to_string(&file).expect("an error");
                let errors = text.lines().filter(|line| line.starts_with("error")).count();
                assert_eq!(errors, 1, "{}:\n{text}", file.display());
            }
        }
    }
}

/// The error that the README shows is the compiler's, as far as it says what is wrong and what to do.
#[test]
fn the_readme_shows_what_the_compiler_says() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let error = root().join("ui-tests/matrix/chan_open_publish.stderr");
    let error = fs::read_to_string(error).expect("an error");
    let speaks =
        |line: &&str| line.starts_with("error[") || line.trim_start().starts_with("= note");
    let shown: Vec<_> = readme.lines().filter(speaks).map(str::trim).collect();
    assert!(shown.len() > 1, "no error in README.md");
    for line in shown {
        assert!(error.contains(line), "README.md shows what the compiler does not say: {line}");
    }
}

fn compile_fail(programs: &Path) {
    let cases = TestCases::new();
    for folder in FOLDERS {
        cases.compile_fail(programs.join(folder).join("*.rs"));
    }
}

/// The programs without their errors, apart from the project's.
fn copy_programs() -> PathBuf {
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui-tests");
    // From an earlier run, if there was one.
    let _ = fs::remove_dir_all(&copies);
    for folder in FOLDERS {
        let to = copies.join(folder);
        fs::create_dir_all(&to).expect("a folder for the copies");
        for file in files(&root().join("ui-tests").join(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                let name = file.file_name().expect("a file's name");
                fs::copy(&file, to.join(name)).expect("a copy");
            }
        }
    }
    copies
}

/// The version of the Rust that compiles the programs.
fn rustc() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split(' ').nth(1).expect("`rustc 1.2.3 (..)`").to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
