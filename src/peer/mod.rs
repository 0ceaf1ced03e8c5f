//! Queues between brokers: messages from one program to another, both ways, without a server
//! between them, or with a RabbitMQ as the place to meet.
//!
//! A [`Peer`] is a program under a name. It listens at its own embedded broker, at a RabbitMQ, or
//! by its name within this process, and connects to other peers in the same ways. Between two peers
//! then stands a [`MessageQueue`]: both sides send and receive.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use hopmq::{Config, Message, broker::Broker, peer::Peer};
//!
//! // One program: a broker on a port of its own.
//! let broker = Broker::bind("127.0.0.1:0").await?;
//! let shop = Peer::new("shop");
//! shop.listen_on(&broker).await?;
//!
//! // Another one knows its address.
//! let address: Config = broker.uri().parse()?;
//! let till = Peer::new("till");
//! let queue = till.connect("shop").at(address).await?;        // MessageQueue<Open>
//! let sent = queue.send(Message::text("one sale")).await?;    // it has room
//!
//! let from_till = shop.accept().await;                        // MessageQueue<Open>
//! let message = from_till.receive().await.expect("a sale");
//! sent.await?;                                                // Ok: it was taken
//!
//! let receipt = from_till.send(message).await?;               // both ways
//! assert_eq!(queue.receive().await.expect("a receipt").body().len(), 8);
//! receipt.await?;
//!
//! let queue = queue.close().await;                            // MessageQueue<Closed>
//! assert!(from_till.receive().await.is_none());               // the other side is told
//! # drop(queue);
//! # Ok(()) }
//! ```
//!
//! `examples/two_brokers.rs` is two processes that do so.
//!
//! # Where two peers meet
//!
//! | The other one | listens | is found |
//! |---|---|---|
//! | has an embedded broker | [`listen_on`](Peer::listen_on) its own broker | [`at`](Connect::at) one of that broker's addresses |
//! | is a client of the same RabbitMQ | [`listen_at`](Peer::listen_at) its address | [`at`](Connect::at) the same |
//! | lives in this process | [`listen_in_process`](Peer::listen_in_process) | by its name: [`in_process`](Connect::in_process), without a port |
//!
//! At a broker a queue takes two classic queues, one in each direction, named after the two peers
//! (`hopmq.queue.till.shop.<id>`); the connecting side knocks at the listening side's own queue
//! (`hopmq.accept.shop`). Each queue has its own connection on each side, so that a peer that stalls
//! holds nobody else up. What is left behind by a program that died, the broker deletes after twice
//! the [patience](Settings::patience).
//!
//! # What holds
//!
//! Each direction numbers its messages. The other side's program confirms a message by receiving it;
//! until then this side keeps it, and sends it again after a cut from the first that did not arrive.
//! The other side takes each number once, in order. So:
//!
//! * While both programs live, messages arrive **once and in order**, whatever happens to the
//!   connections, or to the broker between: also when it forgets everything.
//! * [`Sent`] is `Ok` only when the other side's program has **taken** the message.
//! * What was not taken when the queue ends **comes back** to its sender, in [`Unsent`], which also
//!   says whether it may have been taken nevertheless: only when the other side fell silent, or when
//!   this side ended the queue by force.
//! * When a program **dies**, what it had taken and not processed dies with it, and so does what it
//!   had sent and the other side had not received. The other side notices by its silence
//!   ([`Settings::patience`]), receives what had arrived, and gets back what was not confirmed. A
//!   program that comes back opens another queue, and neither side's messages go on in that.
//!
//! # In which order
//!
//! What is to be done for a queue is done one thing at a time, in this order, by a task of its own
//! that waits for nothing but work:
//!
//! * Messages go out in the order in which [`send`](MessageQueue::send) put them in, from whichever
//!   handle, and are numbered so; they arrive, are received and are confirmed in that order, each
//!   direction by itself.
//! * Whoever has to wait does so in turn and is woken by what it waits for: who
//!   [sends](MessageQueue::send) by room, who [receives](MessageQueue::receive) by a message, who
//!   [accepts](Peer::accept) by a queue, all of them by the end. First come, first served.
//! * [Events](Peer::events) of a queue come in the order of what happened: `Connected` or `Accepted`
//!   first, `Sent` and `Arrived` by their numbers, `Arrived` before the message can be received,
//!   `Disconnected` last.
//! * Closing comes after what was sent before it: that goes out and is taken, then the queue counts
//!   as closed, each [`Sent`] has its outcome, `Disconnected` is told, and
//!   [`close`](MessageQueue::close) is done. Cut by force, what was confirmed stays so, and the rest
//!   comes back to its sender, the oldest first.
//! * Queues do not wait for each other, nor for a listener: a program that does not receive, a broker
//!   that holds publishers back or events that nobody reads hold up their own queue alone.
//!
//! # What is bounded
//!
//! Each direction holds [`Settings::window_messages`] and [`Settings::window_bytes`] that the other
//! side has not taken, wherever they are: when that is reached, sending waits. Nobody waits for ever:
//! sending, connecting, closing and silence have deadlines.
//!
//! # What is visible
//!
//! [`Peer::events`] tells of queues that are connected, accepted, refused, interrupted, resumed,
//! held back by a broker that is short of memory or disk, and ended, and of each message that was
//! sent and that arrived.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod accept;
mod carry;
mod core;
mod error;
mod events;
mod frame;
mod handle;
mod in_process;
mod queue;
mod settings;
mod shared;

pub use error::{End, ListenError, NotSent, Refused, SendError, Unsent};
pub use events::{PeerEvent, PeerEvents};
pub use handle::{Connect, Peer};
pub use queue::{
    ClosingQueue, Ended, IsClosedQueue, IsOpenQueue, MessageQueue, QueueId, QueueSender,
    QueueState, Receiving, Sending, Sent,
};
pub use settings::Settings;
