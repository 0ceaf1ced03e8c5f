//! Draws any machine's table: as text, Mermaid, DOT (Graphviz) and SVG.
//!
//! What is drawn is the table that the machine runs on, so a drawing cannot be out of date: a test
//! compares it with the one that was reviewed.

use std::fmt::Write;

use super::{Behaviour, Label, Node, On, Row, Table};

/// The whole table, state by state: every event with all that may come of it.
///
/// ```
/// use hopmq::fsm::diagram;
/// use hopmq::fsm::supervisor::Keeper;
///
/// let text = diagram::text::<Keeper>();
/// assert!(text.contains("connect -> Connecting"));
/// ```
#[must_use]
pub fn text<B: Behaviour>() -> String {
    let table = B::TABLE;
    let mut out = format!("{}, begins in {}\n", B::NAME, table.initial.name());
    for node in table.nodes {
        line(&mut out, format_args!("\n{}{}", node.state.name(), traits(&table, node)));
        for row in node.rows {
            let results = results(node, row).join(", ");
            line(&mut out, format_args!("  {} -> {results}", event(row)));
        }
    }
    out
}

/// A Mermaid state diagram.
#[must_use]
pub fn mermaid<B: Behaviour>() -> String {
    let mut out = format!("stateDiagram-v2\n  [*] --> {}\n", B::TABLE.initial.name());
    for arrow in arrows::<B>() {
        // A colon ends the name of a state, a semicolon the line.
        let label = arrow.label("<br/>").replace([':', ';'], " ");
        line(&mut out, format_args!("  {} --> {} : {label}", arrow.from.name(), arrow.to.name()));
    }
    for (state, what) in ends::<B>() {
        line(&mut out, format_args!("  {} --> [*] : {what}", state.name()));
    }
    out
}

/// A graph for Graphviz's `dot`.
#[must_use]
pub fn dot<B: Behaviour>() -> String {
    let mut out = format!("digraph {} {{\n", quoted(B::NAME));
    out.push_str("  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n  \"\" [shape=point];\n");
    line(&mut out, format_args!("  \"\" -> {};", quoted(B::TABLE.initial.name())));
    for arrow in arrows::<B>() {
        let (from, to) = (quoted(arrow.from.name()), quoted(arrow.to.name()));
        line(&mut out, format_args!("  {from} -> {to} [label={}];", quoted(&arrow.label("\n"))));
    }
    for (state, what) in ends::<B>() {
        line(&mut out, format_args!("  {} [xlabel={}];", quoted(state.name()), quoted(&what)));
    }
    out.push_str("}\n");
    out
}

/// A drawing that needs no tool: states side by side, each with its line downward, and below one
/// another the arrows between them, so that none crosses another's words.
///
/// It holds no blank line, so that it can stand in Markdown, and takes the colour of its
/// surroundings.
#[must_use]
pub fn svg<B: Behaviour>() -> String {
    let arrows = arrows::<B>();
    let height = TOP + ROW * (to_u32(arrows.len()) + 1);
    let width = COLUMN * to_u32(B::State::ALL.len()) + COLUMN / 2;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"100%\" \
         role=\"img\" aria-label=\"{} states\" font-family=\"sans-serif\" font-size=\"11\" \
         fill=\"currentColor\" stroke=\"none\">\n",
        escaped(B::NAME)
    );
    line(&mut out, format_args!("<title>{}</title>", escaped(B::NAME)));
    for state in B::State::ALL {
        column(&mut out, *state, *state == B::TABLE.initial, height);
    }
    for (at, arrow) in arrows.iter().enumerate() {
        draw(&mut out, arrow, TOP + ROW * (to_u32(at) + 1));
    }
    out.push_str("</svg>\n");
    out
}

/// The width of a state's column in an SVG.
const COLUMN: u32 = 140;
/// The height of one arrow's row.
const ROW: u32 = 26;
/// The height of the states' boxes with what is above and below them.
const TOP: u32 = 44;

/// All that leads from one state to another.
struct Arrow<S> {
    from: S,
    to: S,
    labels: Vec<String>,
}

impl<S> Arrow<S> {
    fn label(&self, between: &str) -> String {
        self.labels.join(between)
    }
}

/// The steps of the table, those between the same two states together.
fn arrows<B: Behaviour>() -> Vec<Arrow<B::State>> {
    let mut arrows: Vec<Arrow<B::State>> = Vec::new();
    for step in B::TABLE.steps() {
        let on = step.on.map_or("failure", On::name);
        let label = match step.guard {
            Some(guard) => format!("{on} [{guard}]"),
            None => on.to_owned(),
        };
        match arrows.iter_mut().find(|arrow| arrow.from == step.from && arrow.to == step.to) {
            Some(arrow) if arrow.labels.contains(&label) => {}
            Some(arrow) => arrow.labels.push(label),
            None => arrows.push(Arrow { from: step.from, to: step.to, labels: vec![label] }),
        }
    }
    arrows
}

/// The states that may end the machine, and by what.
fn ends<B: Behaviour>() -> impl Iterator<Item = (B::State, String)> {
    B::TABLE.nodes.iter().filter_map(|node| {
        let ends: Vec<_> = node.rows.iter().filter(|row| row.finalizes).map(event).collect();
        (!ends.is_empty()).then(|| (node.state, ends.join(", ")))
    })
}

fn event<B: Behaviour>(row: &Row<B>) -> String {
    match &row.guard {
        Some(guard) => format!("{} [{}]", row.on.name(), guard.name),
        None => row.on.name().to_owned(),
    }
}

/// All that may come of a row.
fn results<B: Behaviour>(node: &Node<B>, row: &Row<B>) -> Vec<&'static str> {
    let mut results: Vec<_> = row.to.iter().map(|to| to.name()).collect();
    if row.completes {
        results.push(node.successor.map_or("stay", Label::name));
    }
    let rest = [
        (row.settles, "settled"),
        (row.pends, "pending"),
        (row.finalizes, "end"),
        (row.ignores, "ignored"),
    ];
    results.extend(rest.into_iter().filter(|(may, _)| *may).map(|(_, name)| name));
    results
}

/// What the table says of a state as a whole.
fn traits<B: Behaviour>(table: &Table<B>, node: &Node<B>) -> String {
    let mut out = String::new();
    if let Some(time) = node.deadline {
        out.push_str(&format!(", within {time:?}"));
    }
    if let Some(state) = node.fallback.or(table.fallback) {
        out.push_str(&format!(", failing to {}", state.name()));
    }
    out
}

/// A state's box and the line down from it.
fn column<S: Label>(out: &mut String, state: S, initial: bool, height: u32) {
    let (x, left, width) = (centre(state), centre(state) - COLUMN / 2 + 8, COLUMN - 16);
    let stroke = if initial { 2 } else { 1 };
    line(
        out,
        format_args!(
            "<rect x=\"{left}\" y=\"8\" width=\"{width}\" height=\"24\" rx=\"6\" fill=\"none\" \
             stroke=\"currentColor\" stroke-width=\"{stroke}\"/>\
             <text x=\"{x}\" y=\"24\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\
             <path d=\"M{x} 32V{height}\" fill=\"none\" stroke=\"currentColor\" \
             stroke-opacity=\"0.25\"/>",
            escaped(state.name())
        ),
    );
}

/// An arrow at the height `y`, its words on it; one to the same state is a loop.
fn draw<S: Label>(out: &mut String, arrow: &Arrow<S>, y: u32) {
    let (from, to) = (centre(arrow.from), centre(arrow.to));
    let label = escaped(&arrow.label(", "));
    let (path, tip, text) = if from == to {
        let path = format!("M{from} {}h14v8h-14", y - 8);
        (path, tip(from, y, 1), format!("x=\"{}\" y=\"{y}\"", from + 20))
    } else {
        let side = if to > from { -1 } else { 1 };
        let middle = u32::midpoint(from, to);
        let text = format!("x=\"{middle}\" y=\"{}\" text-anchor=\"middle\"", y - 4);
        (format!("M{from} {y}H{to}"), tip(to, y, side), text)
    };
    line(
        out,
        format_args!(
            "<circle cx=\"{from}\" cy=\"{}\" r=\"2.5\"/><path d=\"{path}\" fill=\"none\" \
             stroke=\"currentColor\"/><path d=\"{tip}\"/><text {text}>{label}</text>",
            if from == to { y - 8 } else { y }
        ),
    );
}

/// The tip of an arrow at `x`, coming from the left (-1) or the right (1).
fn tip(x: u32, y: u32, side: i32) -> String {
    format!("M{x} {y}l{} -3.5v7z", 8 * side)
}

fn centre<S: Label>(state: S) -> u32 {
    COLUMN * to_u32(state.index()) + COLUMN / 2
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX / COLUMN)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}
