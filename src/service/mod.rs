//! What a service needs around the client: typed messages, workers and publishers.
//!
//! Thin layers over the public API, with the feature `service`, which brings no dependency; the codec
//! [`Json`] is the feature `json`, middleware the feature `tower`.
//!
//! | Question | Answer |
//! |---|---|
//! | What is in a message, and in what format? | [`Message<T>`](Message); [`Codec`]: [`Json`], [`Text`], [`Raw`], one's own |
//! | How is a queue served? | a [`Handler`] in a [`Worker`]: how many at once, in what order, how long |
//! | What if a message cannot be processed? | [`OnFailure`]: [`Retry`] after delays and park, requeue, or reject |
//! | What if it cannot even be read? | [`Undecodable`] |
//! | What if it comes twice? | [`Once`] |
//! | A loop of one's own? | [`Job`], the typestate of processing that a worker uses |
//! | How is a message sent at least once? | [`Publisher`] |
//! | And in one transaction with what it tells? | an [`Outbox`] in one's own store, and a [`Relay`] |
//! | How are questions asked and answered? | [`Caller`] and [`CallServer`] |
//! | Connections and channels for many? | `pool`, with the feature `pool` |
//! | Middleware: limits, timeouts, one's own layers? | `Tower` and `HandlerService`, with the feature `tower` |
//! | Which trace does it belong to? | [`TraceContext`], in its headers: by itself with the feature `opentelemetry` |
//! | How is all of it configured? | [`Settings`]: in code, from a file (feature `serde`), from the environment |
//! | How is it doing? | [`health`]; `metrics`, with the feature `metrics` |
//!
//! # From one end to the other
//!
//! ```text
//! Publisher --> exchange --> orders ----------> Worker --> handler: Ok, acked
//!                              ^                   |
//!                              |    failed         v
//!                              +--- orders.retry.10000     (expires, is dead-lettered back)
//!                                                  |
//!                                   failed every time, permanently, or not to be decoded
//!                                                  v
//!                                   orders.parked          (whole, with its history in headers)
//! ```
//!
//! A message is in one of these queues at every moment: its copy is confirmed before it is acked. So
//! it may be there twice for a moment, and twice for good when the process ends between the two;
//! that is what ids are for.
//!
//! A parked message is put back by whoever has mended what was wrong: its headers
//! [`x-hopmq-exchange`](history::EXCHANGE) and [`x-hopmq-routing-key`](history::ROUTING_KEY) say
//! where it came from, [`x-hopmq-failures`](history::FAILURES) what happened.
//!
//! # Spans
//!
//! Publishing and processing are `tracing` spans with the names and attributes of OpenTelemetry's
//! [conventions for RabbitMQ](https://opentelemetry.io/docs/specs/semconv/messaging/rabbitmq/):
//! `publish {exchange}` and `process {queue}` as `otel.name`, `messaging.system`,
//! `messaging.operation.name` and `.type`, `messaging.destination.name`,
//! `messaging.rabbitmq.destination.routing_key`, `messaging.rabbitmq.message.delivery_tag`,
//! `messaging.message.id`, `.conversation_id` and `.body.size`, and `error.type`.
//!
//! With the feature `opentelemetry`, and a layer of
//! [`tracing-opentelemetry`](https://docs.rs/tracing-opentelemetry) to record them, a trace goes
//! through messages: [`Publisher`], [`Caller`] and [`Message::to_bytes`] write the W3C headers
//! [`traceparent`](TRACEPARENT) and [`tracestate`](TRACESTATE), [`Worker`] and [`CallServer`] make
//! what they process a child of what they find there. A handler that publishes goes on with it:
//!
//! ```text
//! request                         in one program
//! └─ publish orders
//!    └─ process orders            in another
//!       └─ publish mails
//! ```
//!
//! In a loop of one's own: `TraceContext::of_span` and `TraceContext::set_parent_of`.

mod call;
mod caught;
mod codec;
mod failure;
pub mod health;
pub mod history;
mod id;
mod job;
mod message;
mod meter;
#[cfg(feature = "metrics")]
pub mod metrics;
mod once;
mod outbox;
#[cfg(feature = "pool")]
pub mod pool;
mod publisher;
mod retry;
mod settings;
mod span;
#[cfg(feature = "tower")]
mod tower;
mod trace;
mod worker;

pub use call::{CallError, CallServer, Caller, ERROR};
#[cfg(feature = "json")]
pub use codec::Json;
pub use codec::{BoxError, Codec, Decode, DecodeError, Encode, EncodeError, Raw, Text};
pub use failure::{Failure, Handler, Outcome, Unfinished};
pub use id::{MessageId, Priority};
pub use job::{
    Completed, FailJob, Failed, IsPending, IsProcessing, IsUnsettled, Job, Pending, Processing,
    Status,
};
pub use message::Message;
pub use once::{Once, Processed, RecentIds};
pub use outbox::{Decision, Entry, MemoryOutbox, Outbox, OutboxFull, Relay, RelayError};
pub use publisher::{PublishAllError, PublishError, Publisher};
pub use retry::{Fate, OnFailure, Retries, Retry};
#[cfg(feature = "pool")]
pub use settings::Publishers;
pub use settings::{Settings, SettingsError};
#[cfg(feature = "tower")]
pub use tower::{HandlerError, HandlerService, Tower};
pub use trace::{TRACEPARENT, TRACESTATE, TraceContext};
pub use worker::{RawHandler, Run, Served, Undecodable, Undecoded, Worker};
