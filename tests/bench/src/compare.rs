//! Runs everything in interleaved rounds: a neighbour's noise then hits all peers alike.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
};

use crate::{
    job::{Failure, Peer, Workload},
    meter::Measured,
    options::{Cell, Options},
};

/// What all peers gave in one cell.
pub struct Row {
    pub cell: Cell,
    pub columns: Vec<Column>,
}

/// What one peer gave in one cell: a measurement per round, and one with counters.
pub struct Column {
    pub peer: &'static dyn Peer,
    count: u64,
    pub rounds: Vec<Measured>,
    pub probe: Option<Measured>,
}

/// A broker in a process of its own, killed when this is dropped.
struct Broker {
    process: Child,
    port: u16,
}

/// Where things run: the broker on the first core, the client on the second.
struct Stage {
    apart: Broker,
    /// Shares the client's core, for round trips: what counts there is not how fast two cores wake
    /// each other.
    together: Broker,
    client_core: usize,
    rabbitmq: Option<u16>,
}

pub fn compare(options: &Options) -> Result<Vec<Row>, Failure> {
    let cores = thread::available_parallelism()?.get();
    let client_core = usize::from(cores > 1);
    let stage = Stage {
        apart: Broker::start(0)?,
        together: Broker::start(client_core)?,
        client_core,
        rabbitmq: options.rabbitmq,
    };
    let mut rows = calibrate(options, &stage)?;
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for Row { cell, columns } in &mut rows {
            for column in columns {
                column.rounds.push(stage.measure(column.peer, *cell, column.count, false)?);
            }
        }
    }
    if options.probe {
        eprintln!("counting allocations and system calls");
        for Row { cell, columns } in &mut rows {
            for column in columns {
                let count = (column.count / 4).max(first_count(*cell).min(column.count));
                column.probe = Some(stage.measure(column.peer, *cell, count, true)?);
            }
        }
    }
    Ok(rows)
}

/// Finds for each peer how many messages fill the time of one measurement.
fn calibrate(options: &Options, stage: &Stage) -> Result<Vec<Row>, Failure> {
    eprintln!("calibrating {} rows", options.cells.len());
    let mut rows = Vec::new();
    for cell in &options.cells {
        let mut columns = Vec::new();
        for peer in &options.peers {
            if !peer.offers(cell.workload) {
                continue;
            }
            let mut count = first_count(*cell);
            // Memory is weighed with a fixed number; the other two have a bound.
            let most = match cell.workload {
                Workload::OpenChannel => 2000,
                Workload::Connect => 5000,
                _ => 100_000_000,
            };
            if !cell.workload.is_memory() {
                let first = stage.measure(*peer, *cell, count, false)?;
                let wanted = first.per_second() * options.seconds;
                count = (wanted as u64).clamp(count / 2, most);
            }
            columns.push(Column { peer: *peer, count, rounds: Vec::new(), probe: None });
        }
        rows.push(Row { cell: *cell, columns });
    }
    Ok(rows)
}

/// Enough to find out how long a message takes.
fn first_count(cell: Cell) -> u64 {
    match cell.workload {
        Workload::Connect => 20,
        Workload::IdleConnection => 100,
        Workload::OpenChannel | Workload::IdleChannel => 1000,
        Workload::Stall => 1,
        Workload::RoundTrip => 1000,
        Workload::Rpc | Workload::RpcPlain => 200,
        _ if cell.size >= 1024 * 1024 => 20,
        _ if cell.size >= 64 * 1024 => 200,
        _ => 6400,
    }
}

impl Stage {
    /// Starts a client's process, and waits for what it says.
    fn measure(
        &self,
        peer: &dyn Peer,
        cell: Cell,
        count: u64,
        probing: bool,
    ) -> Result<Measured, Failure> {
        let port = match cell.workload {
            Workload::RoundTrip => self.together.port,
            workload if workload.on_rabbitmq() => self.rabbitmq.ok_or("no RabbitMQ")?,
            _ => self.apart.port,
        };
        let core = if peer.pinned() { self.client_core.to_string() } else { "any".to_owned() };
        let output = Command::new(env::current_exe()?)
            .args(["client", peer.name(), cell.workload.name()])
            .args([port.to_string(), cell.size.to_string(), count.to_string(), core])
            .arg(if probing { "probe" } else { "time" })
            .stderr(Stdio::inherit())
            .output()?;
        let line = String::from_utf8_lossy(&output.stdout);
        let what = || format!("{} {} {} ({count})", peer.name(), cell.workload, cell.size);
        if !output.status.success() {
            return Err(format!("{}: {}", what(), output.status).into());
        }
        line.trim().parse().map_err(|error| format!("{}: {error}", what()).into())
    }
}

impl Broker {
    fn start(core: usize) -> Result<Self, Failure> {
        let mut process = Command::new(env::current_exe()?)
            .args(["broker", &core.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        Ok(Broker { process, port: line.trim().parse()? })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
