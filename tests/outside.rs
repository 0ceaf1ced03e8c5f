//! The crate from outside: another crate, with a manifest of its own, builds on it and runs.

use std::{env, fs, path::Path, process::Command};

/// It gets the versions that are locked here, and no feature that it did not ask for: no
/// dev-dependency of ours helps it.
#[test]
fn another_crate_builds_on_it_and_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    fs::create_dir_all(copy.join("src")).expect("a folder for the copy");
    let manifest = fs::read_to_string(root.join("tests/outside/Cargo.toml")).expect("its manifest");
    let here = format!("path = {root:?}");
    let manifest = manifest.replace("path = \"../..\"", &here);
    assert!(manifest.contains(&here), "{manifest}");
    fs::write(copy.join("Cargo.toml"), manifest).expect("the copy's manifest");
    fs::copy(root.join("tests/outside/src/main.rs"), copy.join("src/main.rs"))
        .expect("the program");
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).expect("the versions");

    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet", "--manifest-path"])
        .arg(copy.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(copy.join("target"))
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
