//! The clients that take part, one file each.

use std::mem;

use tokio::runtime::Runtime;

use crate::{
    job::{Failure, Job, Peer},
    meter::Meter,
};

#[cfg(feature = "peers")]
mod amqprs;
mod hopmq;
#[cfg(feature = "peers")]
mod lapin;
#[cfg(librabbitmq)]
mod librabbitmq;
mod raw;

/// All of them: first the limit, then HopMQ, then the others.
pub const ALL: &[&dyn Peer] = &[
    &raw::Raw,
    &hopmq::HopMq { threads: 1 },
    &hopmq::HopMq { threads: 2 },
    &hopmq::HopMqPublishAll,
    #[cfg(librabbitmq)]
    &librabbitmq::LibRabbitMq,
    #[cfg(feature = "peers")]
    &amqprs::Amqprs,
    #[cfg(feature = "peers")]
    &lapin::Lapin { pipelined: true },
    #[cfg(feature = "peers")]
    &lapin::Lapin { pipelined: false },
];

/// The peers that HopMQ is compared with as Rust libraries.
pub const RUST: &[&str] = &["amqprs", "lapin-pipelined", "lapin"];

pub fn named(name: &str) -> Option<&'static dyn Peer> {
    ALL.iter().copied().find(|peer| peer.name() == name)
}

/// A version as this crate's lock file has it.
fn locked(package: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let rest = lock.split_once(&entry).map_or("?\"", |(_, rest)| rest);
    rest.split('"').next().unwrap_or("?").to_owned()
}

/// Runs the job of an asynchronous client, on this thread alone.
fn run_alone<F>(
    job: &Job,
    meter: &mut Meter,
    work: impl FnOnce(Job, Meter) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = (Result<(), Failure>, Meter)> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    run_on(&runtime, job, meter, work)
}

/// Runs it in a task, as what a service does for its requests runs, and not beside the tasks: tokio
/// asks the system for news before each look at the future that it blocks on.
fn run_on<F>(
    runtime: &Runtime,
    job: &Job,
    meter: &mut Meter,
    work: impl FnOnce(Job, Meter) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = (Result<(), Failure>, Meter)> + Send + 'static,
{
    let own = mem::replace(meter, Meter::new(0, false));
    let (result, own) = runtime.block_on(runtime.spawn(work(job.clone(), own)))?;
    *meter = own;
    result
}
