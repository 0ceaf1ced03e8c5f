//! The crate from outside: another crate, with a manifest of its own, builds on it and runs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// It gets the versions that are locked here, and no feature that it did not ask for: no
/// dev-dependency of ours helps it. Its tests ask for the test kit.
#[test]
fn another_crate_builds_on_it_runs_and_tests_its_service_with_the_test_kit() {
    let copy = copied();
    // One after the other: what both need is built once.
    for command in ["run", "test"] {
        let output = Command::new(env!("CARGO"))
            .args([command, "--offline", "--quiet", "--manifest-path"])
            .arg(copy.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(copy.join("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .expect("cargo");
        let (text, errors) = (&output.stdout, &output.stderr);
        let said = [String::from_utf8_lossy(text), String::from_utf8_lossy(errors)].concat();
        assert!(output.status.success(), "{said}");
    }
}

/// Apart from our workspace.
fn copied() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
    for folder in ["src", "tests"] {
        fs::create_dir_all(copy.join(folder)).expect("a folder for the copy");
    }
    let manifest = fs::read_to_string(root.join("tests/outside/Cargo.toml")).expect("its manifest");
    let here = format!("path = {root:?}");
    let manifest = manifest.replace("path = \"../..\"", &here);
    assert!(manifest.contains(&here), "{manifest}");
    fs::write(copy.join("Cargo.toml"), manifest).expect("the copy's manifest");
    for file in ["src/main.rs", "src/lib.rs", "tests/service.rs"] {
        fs::copy(root.join("tests/outside").join(file), copy.join(file)).expect(file);
    }
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).expect("the versions");
    copy
}
