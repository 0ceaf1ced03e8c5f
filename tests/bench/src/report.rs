//! What came out, as Markdown and as a chart.

mod chart;
mod statistics;

use std::{fmt::Write, fs, path::Path, process::Command};

use crate::{
    compare::{Column, Row},
    job::Failure,
    meter::Measured,
    options::Options,
    peers,
    report::statistics::{Spread, median},
};

pub fn write(options: &Options, rows: &[Row]) -> Result<(), Failure> {
    let text = markdown(options, rows);
    println!("{text}");
    if let Some(folder) = &options.folder {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("results.md"), &text)?;
        fs::write(folder.join("results.svg"), chart::svg(options, rows))?;
        eprintln!("written: results.md and results.svg in {}", folder.display());
    }
    Ok(())
}

fn markdown(options: &Options, rows: &[Row]) -> String {
    let mut text = head(options);
    cpu(&mut text, options, rows);
    table(
        &mut text,
        options,
        "Messages per second, in thousands",
        rows.iter().filter(|row| !row.cell.workload.is_memory()),
        |column| {
            let rates = column.rounds.iter().map(|round| round.per_second() / 1000.0);
            Some(short(median(rates)?))
        },
    );
    table(
        &mut text,
        options,
        "Latency of one operation, microseconds: median / 99th percentile",
        rows.iter(),
        |column| {
            let of = |value: fn(&Measured) -> Option<u64>| {
                median(column.rounds.iter().filter_map(value).map(|ns| ns as f64 / 1000.0))
            };
            let (p50, p99) = (of(|round| round.p50_ns)?, of(|round| round.p99_ns)?);
            Some(format!("{} / {}", short(p50), short(p99)))
        },
    );
    table(
        &mut text,
        options,
        "Memory, kB: of an idle connection or channel, growth before a stalled consumer, else the peak",
        rows.iter(),
        |column| {
            let of = |round: &Measured| match round.grown_bytes {
                Some(bytes) => bytes as f64 / 1000.0 / round.count as f64,
                None => round.peak_bytes as f64 / 1000.0,
            };
            Some(short(median(column.rounds.iter().map(of))?))
        },
    );
    let timed = || rows.iter().filter(|row| !row.cell.workload.is_memory());
    table(&mut text, options, "Allocations per message", timed(), |column| {
        let probe = column.probe?;
        Some(short(probe.allocations? as f64 / probe.count as f64))
    });
    table(&mut text, options, "System calls per message", timed(), |column| {
        let probe = column.probe?;
        Some(short(probe.system_calls? as f64 / probe.count as f64))
    });
    text
}

fn head(options: &Options) -> String {
    let versions: Vec<_> = options
        .peers
        .iter()
        .filter(|peer| !peer.version().is_empty())
        .map(|peer| format!("{} {}", peer.name(), peer.version()))
        .collect();
    format!(
        "# What a message costs\n\n\
         Made by `{}`: {} interleaved rounds of {} s each, the median; ± is half the range. The client is bound to \
         one core and the broker to another. `raw` writes and reads pre-encoded frames in large blocks: \
         the limit of the socket. Asynchronous clients run in a task of a runtime, and not beside its tasks.\n\n{}\n\n{}\n",
        options.command,
        options.rounds,
        options.seconds,
        machine(),
        versions.join(", ")
    )
}

fn machine() -> String {
    let file = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    format!(
        "{model}, {} cores, Linux {}, {}",
        cpus.matches("model name").count(),
        file("/proc/sys/kernel/osrelease").trim(),
        rustc.unwrap_or_default()
    )
}

/// The table that counts: with HopMQ's ratio to the limit and to its rivals, each round for itself.
fn cpu(text: &mut String, options: &Options, rows: &[Row]) {
    let _ = write!(text, "\n## CPU of the client's process per message, microseconds\n\n| |");
    for peer in &options.peers {
        let _ = write!(text, " {} |", peer.name());
    }
    let _ = writeln!(
        text,
        " hopmq : raw | hopmq : best Rust peer | hopmq : librabbitmq | raw : best Rust peer |"
    );
    let _ = writeln!(text, "|---|{}", "---|".repeat(options.peers.len() + 4));
    for row in rows.iter().filter(|row| !row.cell.workload.is_memory()) {
        let _ = write!(text, "| {} |", title(row));
        for peer in &options.peers {
            let spread = column(row, peer.name())
                .and_then(|column| Spread::of(column.rounds.iter().map(Measured::cpu_us)));
            let _ = match spread {
                Some(spread) => {
                    write!(text, " {} ±{:.0}% |", short(spread.median), spread.percent())
                }
                None => write!(text, " |"),
            };
        }
        let of_hopmq =
            [&["raw"][..], peers::RUST, &["librabbitmq"]].map(|rivals| ratio(row, rivals));
        // What no client can be below.
        for ratio in of_hopmq.into_iter().chain([ratio_of("raw", row, peers::RUST)]) {
            let _ = match ratio {
                Some(ratio) => write!(text, " {} |", short(ratio)),
                None => write!(text, " |"),
            };
        }
        text.push('\n');
    }
}

/// HopMQ's cost by that of the cheapest of these, round by round, the median.
pub fn ratio(row: &Row, rivals: &[&str]) -> Option<f64> {
    ratio_of("hopmq", row, rivals)
}

fn ratio_of(peer: &str, row: &Row, rivals: &[&str]) -> Option<f64> {
    let own = column(row, peer)?;
    let rivals: Vec<_> = rivals.iter().filter_map(|rival| column(row, rival)).collect();
    let best = |round: usize| {
        rivals
            .iter()
            .filter_map(|rival| rival.rounds.get(round).map(Measured::cpu_us))
            .min_by(f64::total_cmp)
    };
    let ratios = own.rounds.iter().enumerate();
    median(ratios.filter_map(|(round, own)| Some(own.cpu_us() / best(round)?)))
}

fn column<'a>(row: &'a Row, peer: &str) -> Option<&'a Column> {
    row.columns.iter().find(|column| column.peer.name() == peer)
}

/// One line per row in which anybody has a value.
fn table<'a>(
    text: &mut String,
    options: &Options,
    title_of_table: &str,
    rows: impl Iterator<Item = &'a Row>,
    value: impl Fn(&Column) -> Option<String>,
) {
    let mut lines = String::new();
    for row in rows {
        let of = |name| column(row, name).and_then(&value);
        let values: Vec<_> = options.peers.iter().map(|peer| of(peer.name())).collect();
        if values.iter().any(Option::is_some) {
            let _ = write!(lines, "| {} |", title(row));
            for value in values {
                let _ = write!(lines, " {} |", value.unwrap_or_default());
            }
            lines.push('\n');
        }
    }
    if lines.is_empty() {
        return;
    }
    let _ = write!(text, "\n## {title_of_table}\n\n| |");
    for peer in &options.peers {
        let _ = write!(text, " {} |", peer.name());
    }
    let _ = writeln!(text, "\n|---|{}\n{}", "---|".repeat(options.peers.len()), lines.trim_end());
}

pub fn title(row: &Row) -> String {
    let size = match row.cell.size {
        0 => return row.cell.workload.title(),
        size if size >= 1024 * 1024 => format!("{} MiB", size / 1024 / 1024),
        size if size >= 1024 => format!("{} KiB", size / 1024),
        size => format!("{size} B"),
    };
    format!("{}, {size}", row.cell.workload.title())
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value < 0.00095 => format!("{value:.4}"),
        value if value < 0.995 => format!("{value:.3}"),
        value if value < 9.95 => format!("{value:.2}"),
        value if value < 99.5 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
