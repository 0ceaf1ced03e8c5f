//! What is measured: workloads, and the one trait that every client implements to take part.

use std::{env, error::Error, fmt};

use crate::meter::Meter;

/// Why a client could not do its job.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One way to use a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Workload {
    /// Publish, nobody confirms.
    Publish,
    /// Publish with at most [`WINDOW`] unconfirmed messages, confirmed in batches.
    Confirm,
    /// The same, and the broker confirms every message on its own.
    ConfirmSingly,
    /// Publish, await the confirm, publish the next: client and broker on one core.
    RoundTrip,
    /// Consume with automatic acks.
    Consume,
    /// Consume and ack each delivery, with a prefetch of [`WINDOW`].
    ConsumeAck,
    /// So many tasks as [`tasks`] says, with a channel each, publish and await the confirm.
    Tasks,
    /// Connect and close.
    Connect,
    /// Open a channel.
    OpenChannel,
    /// Memory per connection that does nothing.
    IdleConnection,
    /// Memory per channel that does nothing.
    IdleChannel,
    /// Peak memory while the broker floods a consumer that takes nothing.
    Stall,
    /// On RabbitMQ: as `Confirm`.
    RabbitConfirm,
    /// On RabbitMQ: one connection publishes with confirms, one consumes and acks.
    EndToEnd,
    /// On RabbitMQ: requests and answers over direct reply-to. Requests are acked when they are
    /// answered, and both are confirmed.
    Rpc,
    /// The same without acks and confirms, where a client can do so.
    RpcPlain,
}

/// How many messages are unconfirmed, or unsettled, at most.
pub const WINDOW: u16 = 1000;

/// Tasks of [`Workload::Tasks`]; `run --tasks` tells all processes.
pub fn task_count() -> u16 {
    env::var("HOPMQ_BENCH_TASKS").ok().and_then(|tasks| tasks.parse().ok()).unwrap_or(64)
}

/// How long a consumer takes nothing in [`Workload::Stall`], in milliseconds.
pub const STALL_MS: u64 = 500;

impl Workload {
    pub const ALL: &[Workload] = &[
        Workload::Publish,
        Workload::Confirm,
        Workload::ConfirmSingly,
        Workload::RoundTrip,
        Workload::Consume,
        Workload::ConsumeAck,
        Workload::Tasks,
        Workload::Connect,
        Workload::OpenChannel,
        Workload::IdleConnection,
        Workload::IdleChannel,
        Workload::Stall,
        Workload::RabbitConfirm,
        Workload::EndToEnd,
        Workload::Rpc,
        Workload::RpcPlain,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Publish => "publish",
            Workload::Confirm => "confirm",
            Workload::ConfirmSingly => "confirm-singly",
            Workload::RoundTrip => "round-trip",
            Workload::Consume => "consume",
            Workload::ConsumeAck => "consume-ack",
            Workload::Tasks => "tasks",
            Workload::Connect => "connect",
            Workload::OpenChannel => "open-channel",
            Workload::IdleConnection => "idle-connection",
            Workload::IdleChannel => "idle-channel",
            Workload::Stall => "stall",
            Workload::RabbitConfirm => "rabbitmq-confirm",
            Workload::EndToEnd => "rabbitmq-end-to-end",
            Workload::Rpc => "rabbitmq-rpc",
            Workload::RpcPlain => "rabbitmq-rpc-plain",
        }
    }

    /// The name in the report.
    pub fn title(self) -> String {
        let title = match self {
            Workload::Publish => "publish",
            Workload::Confirm => "publish + confirm, window 1000",
            Workload::ConfirmSingly => "the same, confirmed one by one",
            Workload::RoundTrip => "publish + confirm one at a time, one core",
            Workload::Consume => "consume, automatic ack",
            Workload::ConsumeAck => "consume + ack each",
            Workload::Tasks => {
                return format!("{} tasks, a channel each, publish + confirm", task_count());
            }
            Workload::Connect => "connect and close",
            Workload::OpenChannel => "open a channel",
            Workload::IdleConnection => "idle connection",
            Workload::IdleChannel => "idle channel",
            Workload::Stall => "flood at a stalled consumer",
            Workload::RabbitConfirm => "RabbitMQ: publish + confirm, window 1000",
            Workload::EndToEnd => "RabbitMQ: end to end, confirms and acks",
            Workload::Rpc => "RabbitMQ: RPC over direct reply-to, confirmed and acked",
            Workload::RpcPlain => "RabbitMQ: the same RPC, only HopMQ confirms and acks",
        };
        title.to_owned()
    }

    pub fn named(name: &str) -> Option<Self> {
        Workload::ALL.iter().copied().find(|workload| workload.name() == name)
    }

    /// Whether it needs a real broker.
    pub fn on_rabbitmq(self) -> bool {
        matches!(
            self,
            Workload::RabbitConfirm | Workload::EndToEnd | Workload::Rpc | Workload::RpcPlain
        )
    }

    /// Whether it measures memory, not time.
    pub fn is_memory(self) -> bool {
        matches!(self, Workload::IdleConnection | Workload::IdleChannel | Workload::Stall)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one process does once.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the broker listens on 127.0.0.1.
    pub port: u16,
    pub workload: Workload,
    /// Bytes of a message's body.
    pub size: usize,
    /// Messages, connections or channels.
    pub count: u64,
}

impl Job {
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    pub fn body(&self) -> Vec<u8> {
        vec![b'x'; self.size]
    }

    /// The queue from which the broker that costs nothing delivers what this job consumes. A stalled
    /// consumer faces a flood without end.
    pub fn flood(&self) -> String {
        let count = if self.workload == Workload::Stall { u64::MAX } else { self.count };
        format!("flood.{count}.{}", self.size)
    }

    /// Declaring it succeeds only when the broker has seen every publish of this job: a barrier.
    pub fn expect_published(&self) -> String {
        format!("expect.published.{}", self.count)
    }

    /// Declaring it succeeds only when the broker has seen every delivery settled: a barrier.
    pub fn expect_settled(&self) -> String {
        format!("expect.settled.{}", self.count)
    }

    pub fn per_task(&self) -> u64 {
        (self.count / u64::from(task_count())).max(1)
    }
}

/// Declaring this queue makes the broker that costs nothing confirm every publish on its own.
pub const CONFIRM_SINGLY: &str = "confirm.singly";

/// The queue of the jobs on RabbitMQ.
pub const QUEUE: &str = "hopmq-bench";

/// A client library that takes part.
pub trait Peer: Sync {
    /// Its name on the command line and in the report.
    fn name(&self) -> &'static str;

    /// Which version it is.
    fn version(&self) -> String;

    /// Whether it can do this at all.
    fn offers(&self, workload: Workload) -> bool;

    /// Whether its process is bound to one core.
    fn pinned(&self) -> bool {
        true
    }

    /// Does the job; the meter runs from `start` to `stop`.
    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure>;
}
