//! A bar chart of CPU per message, on a logarithmic scale: one group per workload, one bar per peer.

use std::fmt::Write;

use crate::{
    compare::Row,
    meter::Measured,
    options::Options,
    report::{short, statistics::median, title},
};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 300.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;
const TOP: f64 = 64.0;

/// One colour per peer, told apart also without colours by the order of the bars.
const COLOURS: &[(&str, &str)] = &[
    ("raw", "#b8b8b8"),
    ("hopmq", "#d9480f"),
    ("hopmq-2-threads", "#f4a582"),
    ("hopmq-publish-all", "#fd8d3c"),
    ("librabbitmq", "#5b8c5a"),
    ("amqprs", "#4c78a8"),
    ("lapin-pipelined", "#9d7bb0"),
    ("lapin", "#5f4b73"),
];

pub fn svg(options: &Options, rows: &[Row]) -> String {
    let groups: Vec<_> = rows
        .iter()
        .filter(|row| !row.cell.workload.is_memory())
        .map(|row| (title(row), bars(row)))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let values = || groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, value)| *value));
    let least = values().fold(f64::INFINITY, f64::min).log10().floor();
    let most = values().fold(0.0, f64::max).log10().ceil();
    let x = |value: f64| {
        LEFT + (value.log10() - least) / (most - least).max(1.0) * (WIDTH - LEFT - RIGHT)
    };
    let count: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = TOP + count as f64 * BAR + groups.len() as f64 * GAP + 24.0;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"14\">CPU of the client per message, microseconds, \
         logarithmic: shorter is better</text>\n"
    );
    legend(&mut svg, options);
    for power in least as i32..=most as i32 {
        let value = 10_f64.powi(power);
        let at = x(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#ddd\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\" fill=\"#666\">{value}</text>",
            height - 20.0,
            height - 7.0
        );
    }
    let mut y = TOP + GAP / 2.0;
    for (title, bars) in &groups {
        let middle = y + bars.len() as f64 * BAR / 2.0 + 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{title}</text>",
            LEFT - 8.0
        );
        for (peer, value) in bars {
            let (end, text) = (x(*value), y + BAR - 2.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{text:.1}\" font-size=\"9\">{}</text>",
                (end - LEFT).max(1.0),
                BAR - 1.5,
                colour(peer),
                end + 4.0,
                short(*value)
            );
            y += BAR;
        }
        y += GAP;
    }
    svg.push_str("</svg>\n");
    svg
}

fn bars(row: &Row) -> Vec<(&'static str, f64)> {
    let columns = row.columns.iter();
    columns
        .filter_map(|column| {
            let cost = median(column.rounds.iter().map(Measured::cpu_us))?;
            Some((column.peer.name(), cost))
        })
        .filter(|(_, cost)| *cost > 0.0)
        .collect()
}

fn legend(svg: &mut String, options: &Options) {
    let mut x = 10.0;
    for peer in &options.peers {
        let name = format!("{} {}", peer.name(), peer.version());
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"30\" width=\"10\" height=\"10\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"39\">{}</text>",
            colour(peer.name()),
            x + 14.0,
            name.trim_end()
        );
        x += 30.0 + name.len() as f64 * 6.0;
    }
}

fn colour(peer: &str) -> &'static str {
    COLOURS.iter().find(|(name, _)| *name == peer).map_or("#000", |(_, colour)| colour)
}
