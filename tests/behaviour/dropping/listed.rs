//! No public future is missing among those that are dropped: they are read from the listing of the public API.

use std::{collections::BTreeSet, fs, path::Path};

use super::{POLLED, brokers, events, kits, links, peers, pools, rpc, services, streams};

/// Futures that nobody can make.
const NEVER_MADE: &[(&str, &str)] =
    &[("NeedsPrefetch", "its bound holds for no type: it is what says that a prefetch is needed")];

/// Parts of the library with types of the same names as others.
const PARTS: &[&str] = &["broker", "link", "peer", "service", "testkit"];

#[test]
fn every_public_future_is_dropped_at_each_point() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        super::all().await;
        brokers::all().await;
        events::all().await;
        kits::all().await;
        links::all().await;
        peers::all().await;
        pools::all().await;
        rpc::all().await;
        services::all().await;
        streams::all().await;
    });
    let polled = POLLED.lock().expect("unpoisoned").iter().map(|name| plain(name)).collect();
    let listed = listed();
    assert!(listed.len() > 80, "the listing is not understood: {listed:#?}");
    let missing: Vec<_> = listed.iter().filter(|future| !future.is_among(&polled)).collect();
    assert!(missing.is_empty(), "never polled and dropped: {missing:#?}\namong {polled:#?}");
}

/// A future of the public API.
#[derive(Debug)]
struct Future {
    /// As in `peer`, where the type is not at the top.
    part: Option<String>,
    type_name: String,
    /// Where the future is not the type itself, but made by a method without a name of its own.
    method: Option<String>,
}

impl Future {
    /// Whether it is one of these types of the compiler's naming.
    fn is_among(&self, polled: &BTreeSet<String>) -> bool {
        let wanted = match &self.method {
            Some(method) => format!("::{}::{method}", self.type_name),
            None => format!("::{}", self.type_name),
        };
        polled.iter().any(|name| {
            let name = name.strip_suffix("::{{closure}}").unwrap_or(name);
            let part = name.split("::").nth(1).filter(|part| PARTS.contains(part));
            name.ends_with(&wanted) && part == self.part.as_deref()
        })
    }
}

/// Every type that is a future or becomes one, every asynchronous function, and every `next` of a stream.
fn listed() -> Vec<Future> {
    let listing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public-api.txt");
    let listing = fs::read_to_string(listing).expect("the listing");
    let mut futures = Vec::new();
    for item in listing.split("\n\n") {
        let Some((title, lines)) = item.split_once('\n') else { continue };
        let Some(path) = title.strip_prefix("struct ").or(title.strip_prefix("enum ")) else {
            continue;
        };
        let (part, type_name) = match path.rsplit_once("::") {
            Some((part, name)) => (part.split("::").next().map(str::to_owned), name),
            None => (None, path),
        };
        if NEVER_MADE.iter().any(|(never, _)| *never == path) {
            continue;
        }
        let mut add = |method: Option<&str>| {
            let (part, type_name) = (part.clone(), type_name.to_owned());
            futures.push(Future { part, type_name, method: method.map(str::to_owned) });
        };
        for line in lines.lines().map(str::trim) {
            let traits = line.strip_prefix("impl: ").unwrap_or_default();
            if traits.split(", ").any(|one| matches!(one, "Future" | "IntoFuture"))
                || implements(line)
            {
                // `Next` is seen in the `next` of each stream.
                if type_name != "Next" {
                    add(None);
                }
            }
            let waits = line.starts_with("pub async fn ") || line.contains("-> Next<'_, ");
            if let Some((head, _)) = line.split_once('(').filter(|_| waits) {
                add(head.split('<').next().and_then(|head| head.split(' ').next_back()));
            }
        }
    }
    futures
}

/// Whether the line says `impl<T> Future for Type<T>`.
fn implements(line: &str) -> bool {
    line.starts_with("impl") && (line.contains(" Future for ") || line.contains(" IntoFuture for "))
}

/// The compiler's name of a type without the arguments of generics. The future of a stream's next item is named as
/// its method is.
fn plain(name: &str) -> String {
    let next = name.strip_prefix("hopmq::consumer::Next<").and_then(|rest| rest.strip_suffix('>'));
    if let Some(stream) = next {
        return format!("{}::next", plain(stream.trim_start_matches("'_, ")));
    }
    let mut depth = 0_usize;
    let mut plain = String::new();
    for piece in name.chars() {
        match piece {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            piece if depth == 0 => plain.push(piece),
            _ => {}
        }
    }
    plain.replace("::::", "::")
}
