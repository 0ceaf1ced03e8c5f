//! The diagrams in the documentation are those of the table.

use std::fmt::Write;

use hopmq::table::{Legality, Table};

use super::{TABLES, called, check, read, root};

#[test]
fn the_diagrams_are_current() {
    for table in TABLES {
        let name = called(table.handle);
        check(&format!("src/table/{name}.txt"), &text(&table));
        check(&format!("src/table/{name}.svg"), &svg(&table));
    }
}

#[test]
fn the_readme_shows_them() {
    let readme = read(&root().join("README.md"));
    for table in TABLES {
        let name = called(table.handle);
        assert!(readme.contains(&text(&table)), "README.md does not show src/table/{name}.txt");
    }
}

/// As drawings: by a link in the README, where a site shows the repository's files, and within the
/// documentation, which has no files beside it: the client's on the front page.
#[test]
fn the_drawings_are_shown_too() {
    let readme = read(&root().join("README.md"));
    for table in TABLES {
        let name = called(table.handle);
        let link = format!("](src/table/{name}.svg)");
        assert!(readme.contains(&link), "README.md does not show src/table/{name}.svg");
        let page = match table.handle {
            "Broker" => "src/broker/mod.rs",
            "MessageQueue" => "src/peer/queue.rs",
            _ => "src/lib.rs",
        };
        let page = read(&root().join(page));
        assert!(page.contains(&format!("table/{name}.svg\")")), "{name}.svg is not shown");
    }
}

/// The operations of a state that lead to another one, or to itself.
fn leading(table: &Table, from: &str, to: &str) -> Vec<&'static str> {
    let operations = table.operations.iter();
    let legal = operations.filter(|operation| match operation.in_state(from) {
        Some(Legality::Legal { to: leads }) => leads == to,
        _ => false,
    });
    legal.map(|operation| operation.name).collect()
}

/// Each state with what leads on from it, and with what can be done in it.
fn text(table: &Table) -> String {
    let mut out = String::new();
    for from in table.states {
        writeln!(out, "{}<{from}>", table.handle).unwrap();
        for to in table.states.iter().filter(|to| *to != from) {
            let names = leading(table, from, to);
            if !names.is_empty() {
                writeln!(out, "  {} -> {}<{to}>", names.join(", "), table.handle).unwrap();
            }
        }
        for line in wrapped(&leading(table, from, from), 90) {
            writeln!(out, "  {line}").unwrap();
        }
    }
    out
}

/// Names with commas between them, in lines of at most so many characters.
fn wrapped(names: &[&str], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let name = if at + 1 < names.len() { format!("{name},") } else { (*name).to_owned() };
        match lines.last_mut() {
            Some(line) if line.len() + 1 + name.len() <= width => {
                line.push(' ');
                line.push_str(&name);
            }
            _ => lines.push(name),
        }
    }
    lines
}

/// The width of a state's column.
const COLUMN: usize = 200;
/// The height of a line of words, and of an arrow.
const LINE: usize = 16;
const ROW: usize = 26;
/// The height of the boxes with what is above and below them.
const TOP: usize = 44;

/// States side by side, each with what can be done in it and its line downward, and below one
/// another the transitions between them. Without a blank line, so that it can stand in Markdown,
/// and in the colour of its surroundings.
fn svg(table: &Table) -> String {
    let stays: Vec<_> =
        table.states.iter().map(|state| wrapped(&leading(table, state, state), 26)).collect();
    let arrows: Vec<_> = pairs(table.states.len())
        .map(|(from, to)| (from, to, leading(table, table.states[from], table.states[to])))
        .filter(|(_, _, names)| !names.is_empty())
        .collect();
    let words = TOP + LINE * stays.iter().map(Vec::len).max().unwrap_or_default();
    let (width, height) = (COLUMN * table.states.len(), words + ROW * (arrows.len() + 1));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"100%\" \
         role=\"img\" aria-label=\"{0} states\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"currentColor\" stroke=\"none\">\n<title>{0}: states, what can be done in them, and \
         what leads from one to another</title>\n",
        table.handle
    );
    for (at, (state, stays)) in table.states.iter().zip(&stays).enumerate() {
        column(&mut out, table.handle, state, at, stays, height);
    }
    for (row, (from, to, names)) in arrows.iter().enumerate() {
        arrow(&mut out, *from, *to, words + ROW * (row + 1) - 6, &names.join(", "));
    }
    out.push_str("</svg>\n");
    out
}

/// Every two different states.
fn pairs(states: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..states).flat_map(move |from| (0..states).map(move |to| (from, to))).filter(|(a, b)| a != b)
}

fn column(out: &mut String, handle: &str, state: &str, at: usize, stays: &[String], height: usize) {
    let (x, left, width) = (centre(at), COLUMN * at + 8, COLUMN - 16);
    writeln!(
        out,
        "<rect x=\"{left}\" y=\"8\" width=\"{width}\" height=\"24\" rx=\"6\" fill=\"none\" \
         stroke=\"currentColor\"/><text x=\"{x}\" y=\"24\" text-anchor=\"middle\" \
         font-weight=\"bold\">{handle}&lt;{state}&gt;</text>"
    )
    .unwrap();
    let mut y = TOP;
    for line in stays {
        y += LINE;
        let text_at = y - 6;
        writeln!(out, "<text x=\"{x}\" y=\"{text_at}\" text-anchor=\"middle\">{line}</text>")
            .unwrap();
    }
    let from = if stays.is_empty() { 32 } else { y };
    writeln!(
        out,
        "<path d=\"M{x} {from}V{height}\" fill=\"none\" stroke=\"currentColor\" \
         stroke-opacity=\"0.25\"/>"
    )
    .unwrap();
}

fn arrow(out: &mut String, from: usize, to: usize, y: usize, label: &str) {
    let (start, end) = (centre(from), centre(to));
    let back = if to > from { -8 } else { 8 };
    // Words stand between the first two lines of the way, where nothing crosses them.
    let text = if to > from { start + COLUMN / 2 } else { start - COLUMN / 2 };
    writeln!(
        out,
        "<circle cx=\"{start}\" cy=\"{y}\" r=\"2.5\"/><path d=\"M{start} {y}H{end}\" fill=\"none\" \
         stroke=\"currentColor\"/><path d=\"M{end} {y}l{back} -3.5v7z\"/><text x=\"{text}\" \
         y=\"{}\" text-anchor=\"middle\">{label}</text>",
        y - 4
    )
    .unwrap();
}

fn centre(at: usize) -> usize {
    COLUMN * at + COLUMN / 2
}
