//! What a reader can rely on without looking: where things are, what may use what, and how large a file gets.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest that a source file may be: past that it holds more than one idea.
const MOST_LINES: usize = 600;

/// What stands at the top, besides dot-files.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
    "tests",
    "ui-tests",
    "examples",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
    // Not the project's: built, and added by cargo when it packages.
    "target",
    "Cargo.toml.orig",
];

/// The layers with a closed list of what they may use of the crate, lowest first. Every other module of
/// `src/` belongs to the API and the services: they may use each other and all below, but not the broker.
const LAYERS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("fsm", &[]),
    // Any link, not the AMQP one: nothing of AMQP in it.
    ("link", &["fsm"]),
    ("proto", &["wire", "fsm"]),
    ("uri", &["wire", "fsm", "proto", "config"]),
    ("config", &["wire", "fsm", "proto", "uri"]),
    ("usage", &["wire", "name"]),
    ("driver", &["wire", "fsm", "proto", "config", "uri"]),
    ("error", &["wire", "fsm", "proto", "config", "uri", "driver", "usage"]),
    ("broker", &["wire", "fsm", "proto"]),
    ("peer", ON_BOTH),
    ("testkit", ON_BOTH),
];

/// Queues between brokers and the test kit stand on the client and the broker alike.
const ON_BOTH: &[&str] = &[
    "broker", "chan", "config", "confirm", "conn", "consumer", "delivery", "error", "exchange",
    "message", "proto", "queue", "sealed", "usage", "wire",
];

/// The services: they build on what every user has, so each name they take from the crate is a public one.
const SERVICES: &[&str] = &["service"];

/// Modules that are public, and those that services share.
const PUBLIC: &[&str] =
    &["capability", "exchange", "fsm", "link", "queue", "sealed", "service", "table", "wire"];

/// The layers that take time and randomness as arguments, and do no input or output.
const PURE: &[&str] = &["wire", "fsm", "proto"];

/// What a pure layer must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::io",
    "std::fs",
    "std::env",
    "std::thread",
    "Instant",
    "SystemTime",
    "RandomState",
];

#[test]
fn only_the_agreed_entries_stand_at_the_top() {
    let extra: Vec<_> = entries(root())
        .into_iter()
        .filter_map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert!(extra.is_empty(), "not agreed upon for the top level: {extra:?}");
}

#[test]
fn no_source_file_is_too_long() {
    complain("too long; split it by what it answers", sources("src"), |file, text| {
        let lines = text.lines().count();
        (lines > MOST_LINES)
            .then(|| format!("{file}: {lines} lines, at most {MOST_LINES}"))
            .into_iter()
            .collect()
    });
}

#[test]
fn nothing_is_left_open() {
    // Put together here, so that this file does not complain of itself.
    let marks = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    complain("left open", sources("."), |file, text| {
        lines_with(file, text, |line| marks.iter().any(|mark| line.contains(mark)))
    });
}

#[test]
fn no_path_of_a_machine_is_named() {
    let homes = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
    ];
    complain("a path that exists on one machine only", files("."), |file, text| {
        lines_with(file, text, |line| homes.iter().any(|home| begins_a_path(line, home)))
    });
}

#[test]
fn an_ignored_test_says_how_to_run_it() {
    let ignore = concat!("#[ig", "nore");
    let reasons = [" = \"needs RabbitMQ: run tests/run\"]", " = \"long: run tests/run --long\"]"];
    complain(
        "ignored without one of the two reasons that tests/run knows",
        sources("."),
        |file, text| {
            let unexplained = |line: &str| {
                line.trim_start()
                    .strip_prefix(ignore)
                    .is_some_and(|rest| !reasons.iter().any(|reason| rest.starts_with(reason)))
            };
            let mut found = lines_with(file, text, unexplained);
            if text.contains(reasons[1])
                && !text.contains("mod long {")
                && !file.ends_with("tidy.rs")
            {
                found.push(format!("{file}: a long test is found by its module: `mod long`"));
            }
            found
        },
    );
}

/// `tests/run` runs what is ignored, and rustdoc counts an ignored example to it.
#[test]
fn no_example_in_the_documentation_is_ignored() {
    let fence = concat!("``", "`ignore");
    complain(
        "an example that nothing compiles; use no_run, compile_fail or text",
        files("."),
        |file, text| lines_with(file, text, |line| line.contains(fence)),
    );
}

#[test]
fn layers_import_strictly_downward() {
    complain(
        "an import that does not go downward (LAYERS in tests/tidy.rs)",
        sources("src"),
        |file, text| {
            let Some(layer) = layer_of(file) else { return Vec::new() };
            let allowed = |name: &str| match LAYERS.iter().find(|(known, _)| *known == layer) {
                Some((_, below)) => name == layer || below.contains(&name),
                None => name != "broker",
            };
            let upward = uses_of_crate(&code_of(text)).into_iter().filter(|name| !allowed(name));
            upward.map(|name| format!("{file}: crate::{name}")).collect()
        },
    );
}

#[test]
fn services_use_the_public_api_alone() {
    complain(
        "more than the public API (SERVICES in tests/tidy.rs)",
        sources("src"),
        |file, text| {
            if !layer_of(file).is_some_and(|layer| SERVICES.contains(&layer)) {
                return Vec::new();
            }
            let public =
                |name: &str| name.starts_with(char::is_uppercase) || PUBLIC.contains(&name);
            let inner = uses_of_crate(&code_of(text)).into_iter().filter(|name| !public(name));
            inner.map(|name| format!("{file}: crate::{name}")).collect()
        },
    );
}

/// What keeps any link alive is tested on links that are not AMQP's.
#[test]
fn the_machine_and_links_are_tested_without_amqp() {
    for folder in ["tests/fsm", "tests/fsm-bench", "tests/link", "tests/nats", "ui-tests/link"] {
        complain("more than fsm and link", sources(folder), |file, text| {
            lines_with(file, &code_of(text), |line| {
                let uses =
                    line.match_indices("hopmq::").map(|(at, found)| &line[at + found.len()..]);
                uses.map(identifier).any(|name| !["fsm", "link"].contains(&name))
            })
        });
    }
}

#[test]
fn pure_layers_stay_pure() {
    complain(
        "a clock, a socket, a task or chance in a pure layer",
        sources("src"),
        |file, text| {
            if !layer_of(file).is_some_and(|layer| PURE.contains(&layer)) {
                return Vec::new();
            }
            lines_with(file, &code_of(text), |line| IMPURE.iter().any(|name| names(line, name)))
        },
    );
}

#[test]
fn the_minimum_rust_version_is_one() {
    let value_of = |file: &str, key: &str| {
        let text = fs::read_to_string(root().join(file)).expect(file);
        let line = text.lines().find(|line| line.starts_with(key)).expect(key).to_owned();
        line.split('"').nth(1).expect("a string").to_owned()
    };
    assert_eq!(value_of("Cargo.toml", "rust-version"), value_of("clippy.toml", "msrv"));
}

/// The rules above find what they look for: each helper on a text that it must see through.
#[test]
fn the_rules_have_teeth() {
    let text = "use crate::wire::Decoder;\nuse crate::{fsm, proto::{self, Thing}, Error};\n// crate::comment\n\
                fn f() { $crate::driver::go(); my_crate::no(); crate::a_macro!() }\n\
                use crate::__hidden_macro as nice;";
    assert_eq!(uses_of_crate(&code_of(text)), ["wire", "fsm", "proto", "Error", "driver"]);
    assert_eq!(layer_of("src/wire/frame.rs"), Some("wire"));
    assert_eq!(layer_of("src/uri.rs"), Some("uri"));
    assert_eq!(layer_of("src/lib.rs"), None);
    assert!(names("use tokio::net;", "tokio") && !names("let tokios = 1;", "tokio"));
    assert!(begins_a_path("see '/x/y'", "/x/") && !begins_a_path("a/x/y", "/x/"));
    assert!(sources("src").len() > 5 && files(".").iter().any(|file| file == "tests/run"));
}

// --- looking at text ---

/// The text without its comments. A `//` within a string ends the line too, which no rule here minds.
fn code_of(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// What follows `crate::` anywhere in the code, the first segments of a `{group}` one by one. Macros are left
/// out, called or re-exported (`__name`): they live at the crate's root wherever they are defined.
fn uses_of_crate(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads_of_group(group)),
            None => {
                let name = identifier(rest);
                if !rest[name.len()..].starts_with('!') && !name.starts_with("__") {
                    found.push(name.to_owned());
                }
            }
        }
    }
    found
}

/// The first segments within `{a, b::{c, d}, e}`, given what follows the opening brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut top = String::new();
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            '{' => depth += 1,
            _ if depth == 0 => top.push(c),
            _ => {}
        }
    }
    let heads = top.split(',').map(|part| identifier(part.trim_start()));
    heads.filter(|head| !head.is_empty() && *head != "self").map(str::to_owned).collect()
}

fn identifier(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// The top-level module that a file of `src/` belongs to; none for lib.rs, which re-exports from all.
fn layer_of(file: &str) -> Option<&str> {
    let within = file.strip_prefix("src/")?;
    let first = within.split('/').next()?;
    let layer = first.strip_suffix(".rs").unwrap_or(first);
    (layer != "lib").then_some(layer)
}

/// Whether the line holds the name as a whole word.
fn names(line: &str, name: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name)
        .any(|(at, _)| !line[..at].ends_with(word) && !line[at + name.len()..].starts_with(word))
}

/// Whether an absolute path in the line begins with the prefix; a part of a longer path or address does not count.
fn begins_a_path(line: &str, prefix: &str) -> bool {
    let within = |c: char| c.is_alphanumeric() || "._-*}/".contains(c);
    line.match_indices(prefix).any(|(at, _)| !line[..at].ends_with(within))
}

fn lines_with(file: &str, text: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let numbered = text.lines().enumerate().filter(|(_, line)| wrong(line));
    numbered.map(|(number, line)| format!("{file}:{}: {}", number + 1, line.trim())).collect()
}

// --- looking at files ---

fn complain(what: &str, files: Vec<String>, rule: impl Fn(&str, &str) -> Vec<String>) {
    let read = |file: &String| {
        fs::read(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let wrong: Vec<_> =
        files.iter().flat_map(|file| rule(file, &String::from_utf8_lossy(&read(file)))).collect();
    assert!(wrong.is_empty(), "{what}:\n  {}\n", wrong.join("\n  "));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files under a folder of the project.
fn sources(folder: &str) -> Vec<String> {
    files(folder).into_iter().filter(|file| file.ends_with(".rs")).collect()
}

/// All files under a folder, with `/` and from the project's root on; what is built and what git keeps left out.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path.file_name().unwrap_or_default();
            if name == "target" || name == ".git" || name == "corpus" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let parts = path.strip_prefix(root()).expect("under the root").components();
                let parts = parts.map(|part| part.as_os_str().to_string_lossy().into_owned());
                found.push(parts.filter(|part| part != ".").collect::<Vec<_>>().join("/"));
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("a readable entry").path()).collect()
}
