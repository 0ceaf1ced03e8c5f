//! The public API, as a listing in the repository: whoever changes it sees what he changes.
//!
//! It is read from the documentation that rustdoc writes, which has seen through macros and
//! re-exports. After a change that was meant, `HOPMQ_WRITE_API=1 cargo test --test public_api`
//! writes `tests/public-api.txt` anew; the difference is then to be read: a line that is gone or
//! different breaks somebody's program.

use std::{env, fmt::Write, fs, path::Path, process::Command};

/// The Rust whose rustdoc the listing was written with; others arrange their pages differently.
const WRITTEN_WITH: &str = "rustc 1.95.";

const LISTING: &str = "tests/public-api.txt";

#[test]
fn the_listing_is_current() {
    if !rustc_version().starts_with(WRITTEN_WITH) {
        println!("the public API is compared on {WRITTEN_WITH}x only");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let current = listing(&document(root));
    assert!(current.lines().count() > 1000, "rustdoc's pages are not understood:\n{current}");
    let file = root.join(LISTING);
    if env::var_os("HOPMQ_WRITE_API").is_some() {
        fs::write(&file, &current).expect("the listing is written");
    }
    let listed = fs::read_to_string(&file).unwrap_or_default();
    let gone = listed.lines().filter(|line| !current.lines().any(|other| other == *line));
    let new = current.lines().filter(|line| !listed.lines().any(|other| other == *line));
    let lines = gone.map(|line| format!("- {line}")).chain(new.map(|line| format!("+ {line}")));
    let lines: Vec<_> = lines.collect();
    assert!(
        listed == current,
        "{LISTING} is not current; if the change is meant, see the top of this file:\n{}",
        lines.join("\n")
    );
}

/// Types that are not shared: they hold callbacks that are called through `&mut` alone, so that
/// these may change what they hold, or the futures of a user's handlers, which need not be `Sync`.
const LACKING: &[(&str, &str)] = &[
    ("struct fsm::Hooks", "Sync"),
    ("struct link::Settings", "Sync"),
    ("struct service::Run", "Sync"),
];

/// Every public type can be sent to, and shared with, another thread or task, and moved
/// while it is polled.
#[test]
fn every_type_is_send_and_sync_and_unpin() {
    let listed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTING));
    let listed = listed.expect("the listing");
    let (mut checked, mut lacking) = (0, Vec::new());
    for item in listed.split("\n\n") {
        let Some((title, rest)) = item.split_once('\n') else { continue };
        if !title.starts_with("struct ") && !title.starts_with("enum ") {
            continue;
        }
        for marker in ["Send", "Sync", "Unpin"] {
            let plain = rest.lines().any(|line| {
                let traits = line.strip_prefix("    auto: ").unwrap_or_default();
                traits.split(", ").any(|known| known == marker)
            });
            // With bounds on its parameters.
            let bounded = rest.contains(&format!("> {marker} for "));
            if !plain && !bounded {
                lacking.push((title, marker));
            }
        }
        checked += 1;
    }
    assert_eq!(lacking, LACKING);
    assert!(checked > 150, "only {checked} types were found");
}

/// Where rustdoc wrote its pages.
fn document(root: &Path) -> std::path::PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let output = Command::new(env!("CARGO"))
        .args(["doc", "--no-deps", "--all-features", "--locked", "--offline", "--target-dir"])
        .arg(target)
        .current_dir(root)
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("doc/hopmq")
}

/// One paragraph for each item, in the order of their paths.
fn listing(pages: &Path) -> String {
    let read = |name: &str| {
        fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let mut listing = String::from("# hopmq, all features. Written by tests/public_api.rs.\n");
    let index = read("index.html");
    for line in between(&index, "<code>pub use ", "</code>") {
        writeln!(listing, "pub use {}", text(line)).expect("a string");
    }
    let all = read("all.html");
    let links = between(&all, "<li><a href=\"", "\"");
    let mut items: Vec<&str> = links.filter(|link| link.ends_with(".html")).collect();
    items.sort_unstable();
    for item in items {
        listing.push_str(&paragraph(item, &read(item)));
    }
    listing
}

/// `queue/struct.Queue.html` as `struct queue::Queue` and what is indented below it.
fn paragraph(item: &str, page: &str) -> String {
    let path = item.strip_suffix(".html").unwrap_or(item);
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let (kind, name) = file.split_once('.').unwrap_or(("", file));
    let folder = if folder.is_empty() { String::new() } else { folder.replace('/', "::") + "::" };
    let mut lines = format!("\n{kind} {folder}{name}\n");

    // What every type has is no news, and who implements a trait stands with the type.
    let ends = ["id=\"blanket-implementations\"", "id=\"implementors\"", "id=\"foreign-impls\""];
    let end = ends.iter().filter_map(|end| page.find(end)).min().unwrap_or(page.len());
    let page = &page[..end];
    for declaration in between(page, "<pre class=\"rust item-decl\"><code>", "</code></pre>") {
        lines.push_str(&format!("    {}\n", text(declaration)));
    }
    let auto_at = page.find("id=\"synthetic-implementations\"").unwrap_or(page.len());
    let traits_at = page.find("id=\"trait-implementations\"").unwrap_or(auto_at);
    let deref_at = page.find("id=\"deref-methods-").unwrap_or(traits_at);
    for header in between(&page[..deref_at.min(traits_at)], "class=\"code-header\">", "</h") {
        lines.push_str(&format!("    {}\n", text(header)));
    }
    for (label, part) in [("", &page[traits_at..auto_at]), ("auto: ", &page[auto_at..])] {
        let headers = between(part, "<h3 class=\"code-header\">", "</h3>").map(text);
        // These two are the compiler's own.
        let headers = headers.filter(|header| !header.contains("Freeze for "));
        let headers = headers.filter(|header| !header.contains("UnsafeUnpin for "));
        // Those without parameters stand on one line. (A type that is re-exported under another
        // name has its own in its headers.)
        let headers: Vec<_> = headers.collect();
        let short = |header: &str| match header.strip_prefix("impl ")?.rsplit_once(" for ")? {
            (known, of) if of == name || !header.contains('<') => Some(known.to_owned()),
            _ => None,
        };
        let long = headers.iter().filter(|header| short(header).is_none());
        let short: Vec<_> = headers.iter().filter_map(|header| short(header)).collect();
        if !short.is_empty() {
            let label = if label.is_empty() { "impl: " } else { label };
            lines.push_str(&format!("    {label}{}\n", short.join(", ")));
        }
        for header in long {
            lines.push_str(&format!("    {header}\n"));
        }
    }
    lines
}

/// What stands between two marks, again and again.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(from).skip(1).filter_map(move |rest| rest.split_once(to).map(|(found, _)| found))
}

/// The text of a piece of HTML, on one line.
fn text(html: &str) -> String {
    let mut plain = String::new();
    for piece in html.split('<') {
        if piece.starts_with("div class=\"where\"") || piece.starts_with("span class=\"where") {
            plain.push(' ');
        }
        plain.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    let plain = plain
        .replace('\u{a0}', " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&nbsp;", " ")
        .replace("&amp;", "&");
    let words: Vec<_> = plain.split_whitespace().collect();
    // The mark leads to notable traits.
    words.join(" ").replace(" ⓘ", "")
}

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc");
    String::from_utf8(output.stdout).expect("a version")
}
