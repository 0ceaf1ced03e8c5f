//! The command line of `tests/bench/run`.

use std::path::PathBuf;

use crate::{
    job::{Failure, Peer, Workload},
    peers,
};

/// A workload with a size: one row of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub workload: Workload,
    pub size: usize,
}

pub struct Options {
    pub cells: Vec<Cell>,
    pub peers: Vec<&'static dyn Peer>,
    pub rounds: usize,
    /// How long one measurement takes, about.
    pub seconds: f64,
    /// Whether allocations and system calls are counted in a pass of their own.
    pub probe: bool,
    /// The port of a RabbitMQ node on this machine.
    pub rabbitmq: Option<u16>,
    /// Where tables and chart go; else only to standard output.
    pub folder: Option<PathBuf>,
    /// The command that the report names.
    pub command: String,
}

pub const USAGE: &str = "\
usage: tests/bench/run [OPTION...]
  --quick              short runs, few rounds, nothing over 64 KiB: under a minute, for development
  --only A,B           these workloads: publish, confirm, confirm-singly, round-trip, consume, consume-ack, tasks,
                       connect, open-channel, idle-connection, idle-channel, stall,
                       rabbitmq-confirm, rabbitmq-end-to-end, rabbitmq-rpc, rabbitmq-rpc-plain
  --peers A,B          these peers: raw, hopmq, hopmq-2-threads, hopmq-publish-all, librabbitmq, amqprs, lapin-pipelined, lapin
  --size N,M           these body sizes: 16, 1024, 65536, 1048576
  --tasks N            tasks of the workload of that name (64), to see how cost grows with them
  --rounds N           interleaved rounds (5)
  --seconds S          length of one measurement (0.5)
  --no-probe           do not count allocations and system calls
  --rabbitmq           start a RabbitMQ node and measure on it too
  --rabbitmq-port N    the same on a node that runs on this machine, with user guest
  --out FOLDER         write results.md and results.svg there";

const SIZES: &[usize] = &[16, 1024, 64 * 1024, 1024 * 1024];

impl Options {
    pub fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Options {
            cells: Vec::new(),
            peers: peers::ALL.to_vec(),
            rounds: 5,
            seconds: 0.5,
            probe: true,
            rabbitmq: None,
            folder: None,
            command: format!("tests/bench/run {}", arguments.join(" ")).trim_end().to_owned(),
        };
        let (mut workloads, mut sizes) = (Workload::ALL.to_vec(), SIZES.to_vec());
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument}: no value"));
            match argument.as_str() {
                "--quick" => {
                    (options.rounds, options.seconds) = (2, 0.05);
                    sizes.retain(|size| *size <= 64 * 1024);
                }
                "--only" => workloads = listed(value()?, Workload::named)?,
                "--peers" => options.peers = listed(value()?, peers::named)?,
                "--size" => sizes = listed(value()?, |size| size.parse().ok())?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--no-probe" => options.probe = false,
                "--rabbitmq-port" => options.rabbitmq = Some(value()?.parse()?),
                "--out" => options.folder = Some(value()?.into()),
                _ => return Err(format!("{argument}: unknown\n{USAGE}").into()),
            }
        }
        workloads.retain(|workload| options.rabbitmq.is_some() || !workload.on_rabbitmq());
        options.cells = workloads.iter().flat_map(|workload| cells(*workload, &sizes)).collect();
        Ok(options)
    }
}

fn listed<T>(names: &str, named: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    let named = |name: &str| named(name).ok_or_else(|| format!("{name}: unknown\n{USAGE}").into());
    names.split(',').map(named).collect()
}

/// The sizes with which a workload says something, of those that are wanted.
fn cells(workload: Workload, wanted: &[usize]) -> Vec<Cell> {
    let sizes: &[usize] = match workload {
        Workload::Publish | Workload::Confirm | Workload::Consume | Workload::ConsumeAck => {
            return wanted.iter().map(|size| Cell { workload, size: *size }).collect();
        }
        Workload::Tasks => &[16, 1024],
        Workload::EndToEnd => &[16, 1024, 64 * 1024],
        Workload::RoundTrip | Workload::Stall => &[16],
        Workload::Rpc | Workload::RpcPlain => &[16],
        Workload::ConfirmSingly | Workload::RabbitConfirm => &[16],
        Workload::Connect | Workload::OpenChannel => &[0],
        Workload::IdleConnection | Workload::IdleChannel => &[0],
    };
    let fits = |size: &&usize| **size == 0 || wanted.contains(size);
    sizes.iter().filter(fits).map(|size| Cell { workload, size: *size }).collect()
}
