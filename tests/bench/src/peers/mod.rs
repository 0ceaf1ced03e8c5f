//! The clients that take part, one file each.

use crate::job::Peer;

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
fn block_on<T>(job: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(job)
}
