//! Each row of kind `type` as a program that does not compile, in the compiler's own words.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test --test misuse programs`, and read
//! the difference.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The compiler whose words are checked in. Others only have to refuse the programs.
const PINNED: &str = "rustc 1.95.";

const PROGRAMS: &str = "ui-tests/misuse";

/// Where the copies are that another compiler has to refuse.
const COPIES: &str = "HOPMQ_MISUSE_COPIES";

#[test]
fn programs_that_misuse_a_broker_do_not_compile() {
    if env::var_os(COPIES).is_some() {
        return;
    }
    if is_pinned() {
        trybuild::TestCases::new().compile_fail(format!("{PROGRAMS}/*.rs"));
        return;
    }
    // Overwriting accepts every message, and still fails for a program that compiles.
    let copies = copy_programs();
    let refused = Command::new(env::current_exe().unwrap())
        .args(["--exact", "programs::another_compiler_refuses_them_too"])
        .env(COPIES, copies)
        .env("TRYBUILD", "overwrite")
        .status()
        .unwrap();
    assert!(refused.success(), "a program compiles that must not");
}

#[test]
fn another_compiler_refuses_them_too() {
    if let Ok(copies) = env::var(COPIES) {
        trybuild::TestCases::new().compile_fail(format!("{copies}/*.rs"));
    }
}

fn is_pinned() -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8_lossy(&version.stdout).starts_with(PINNED)
}

fn copy_programs() -> PathBuf {
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("misuse");
    fs::create_dir_all(&copies).unwrap();
    for program in fs::read_dir(PROGRAMS).unwrap() {
        let program = program.unwrap().path();
        if program.extension().is_some_and(|extension| extension == "rs") {
            fs::copy(&program, copies.join(program.file_name().unwrap())).unwrap();
        }
    }
    copies
}
