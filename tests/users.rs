//! How to test that *your* program cannot be written wrong, shown on `examples/ordered_setup`.
//!
//! In a crate of your own:
//!
//! 1. `cargo add --dev trybuild`
//! 2. Write one wrong program per file into `ui-tests/`, each with one mistake, as in
//!    `ui-tests/users`. A program may take what it needs as arguments of a function that nobody
//!    calls: it is compiled, not run. Uses after a move need a file of their own, since the
//!    compiler does not look for them where types are wrong.
//! 3. Write this test with your folder, and run `TRYBUILD=overwrite cargo test --test users` once:
//!    it writes the compiler's answer beside each program. Read them. From then on the test fails
//!    when a wrong program compiles, or when its error says something else.
//! 4. Pin the toolchain of that test: errors read differently from one Rust to the next.

use std::process::Command;

/// The Rust whose errors stand beside the programs.
const WRITTEN_WITH: &str = "rustc 1.95.";

#[test]
fn wrong_start_ups_do_not_compile() {
    let cases = trybuild::TestCases::new();
    // The right one does.
    cases.pass("examples/ordered_setup/main.rs");
    if rustc_version().starts_with(WRITTEN_WITH) {
        cases.compile_fail("ui-tests/users/*.rs");
    } else {
        println!("the errors of wrong programs are compared on {WRITTEN_WITH}x only");
    }
}

fn rustc_version() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc");
    String::from_utf8(output.stdout).expect("a version")
}
