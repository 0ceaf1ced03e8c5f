//! HopMQ beside its peers: `bench compare` starts a broker that costs nothing and one process per
//! measurement, and writes tables and a chart. See `run`, which builds and calls it.

mod broker;
mod compare;
mod frames;
mod job;
mod meter;
mod options;
mod os;
mod peers;
mod report;

use std::{
    io::{self, Write},
    net::TcpListener,
    process::ExitCode,
};

use crate::{
    job::{Failure, Job, Workload},
    meter::Meter,
    options::Options,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["broker", core] => serve(core),
        ["client", peer, workload, port, size, count, core, probing] => {
            measure(peer, workload, [port, size, count], core, *probing == "probe")
        }
        ["compare", "--help" | "-h", ..] => {
            println!("{}", options::USAGE);
            Ok(())
        }
        ["compare", ..] => compare(&arguments[1..]),
        _ => Err("use tests/bench/run".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints its port, then serves until it is killed.
fn serve(core: &str) -> Result<(), Failure> {
    os::raise_file_limit();
    os::pin(core.parse()?)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    io::stdout().flush()?;
    broker::serve(&listener)?;
    Ok(())
}

/// Does one job, and prints what it cost.
fn measure(
    peer: &str,
    workload: &str,
    [port, size, count]: [&str; 3],
    core: &str,
    probing: bool,
) -> Result<(), Failure> {
    os::raise_file_limit();
    if let Ok(core) = core.parse() {
        os::pin(core)?;
    }
    let peer = peers::named(peer).ok_or("no such peer")?;
    let workload = Workload::named(workload).ok_or("no such workload")?;
    let job = Job { port: port.parse()?, workload, size: size.parse()?, count: count.parse()? };
    // Before any thread is started: those that follow are counted too.
    let mut meter = Meter::new(job.count, probing);
    peer.run(&job, &mut meter)?;
    println!("{}", meter.finish().to_line());
    Ok(())
}

fn compare(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    let comparison = compare::compare(&options)?;
    report::write(&options, &comparison)
}
