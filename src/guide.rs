//! What the types prove, what they do not, and why.
//!
//! - [`proofs`]: what cannot be written wrong.
//! - [`limits`]: what no type can know, and how it comes back at run time.
//! - [`outcomes`]: how a publish ends, and how a delivery.
//! - [`start_up`]: making the order of *your* program a type.
//! - [`misuse`]: fifty programs that are wrong, and who says so when.
//! - [`scale`]: what things cost, how cost grows, and where one process ends.
//!
//! In one sentence: a *token* proves that this process declared something, a *state* that this
//! client legally reached a mode, and a *value that is consumed* that something happens once.

pub mod proofs {
    //! What the types prove.
    //!
    //! # States: this client legally reached a mode
    //!
    //! A [`Chan<Confirming>`](crate::Chan) is made in one way: by awaiting
    //! [`confirm_select`](crate::Chan::confirm_select) on a `Chan<Open>`, which that consumes. So
    //! there is no confirm to wait for where none will come, and nobody selects a second mode,
    //! which RabbitMQ answers with 406 "cannot switch from confirm to tx mode".
    //!
    //! ```compile_fail,E0277
    //! # use hopmq::{Chan, Exchange, Open, Topic};
    //! async fn wrong(chan: Chan<Open>, orders: Exchange<Topic>) {
    //!     // error: this channel is not in confirm mode
    //!     // note: on a `Chan<Open>`, first write `let chan = chan.confirm_select().await?;`
    //!     let _ = chan.publish(&orders, "order.created", b"12 apples").await;
    //! }
    //! ```
    //!
    //! States have size zero: nothing of this is there at run time. The whole of what is legal in
    //! which state is a [table](crate::table).
    //!
    //! # Tokens: this process declared it
    //!
    //! [`Queue<K>`](crate::Queue) and [`Exchange<K>`](crate::Exchange) come from
    //! [`declare`](crate::Chan::declare). What binds, publishes or consumes takes them, so that
    //! 404 "no queue" for a name that was mistyped, or not declared yet, cannot happen.
    //!
    //! # Kinds: RabbitMQ allows it for this type of queue or exchange
    //!
    //! A quorum queue cannot be declared auto-delete, a stream cannot be purged, a fanout exchange
    //! takes no routing key: what the broker would refuse (some of it by closing the whole
    //! connection, with 540) has no method, and what it would silently ignore neither.
    //!
    //! ```compile_fail,E0277
    //! # use hopmq::{Chan, Open, Queue, Stream};
    //! async fn wrong(chan: Chan<Open>, log: Queue<Stream>) {
    //!     let _ = chan.purge(&log).await; // error: this queue cannot be purged
    //! }
    //! ```
    //!
    //! # Values that are consumed: it happens once
    //!
    //! [`ack`](crate::Delivery::ack) takes the delivery, [`reply`](crate::Request::reply) the
    //! request, [`close`](crate::Conn::close) the connection. A delivery owns its way back to its
    //! own channel; there is no tag to be settled twice or elsewhere.
    //!
    //! ```compile_fail,E0382
    //! # fn wrong(delivery: hopmq::Delivery) -> Result<(), hopmq::Error> {
    //! delivery.ack()?;
    //! delivery.requeue()?; // error: use of moved value
    //! # Ok(()) }
    //! ```
}

pub mod limits {
    //! What the types do not prove, and why.
    //!
    //! A type is checked when the program is compiled; the broker lives later and elsewhere.
    //!
    //! | Not proved | Why | What happens |
    //! |---|---|---|
    //! | that a queue still exists | somebody may delete it; clones of a token cannot be revoked | 404 closes the channel; every later call on it says so |
    //! | that permissions still allow it | they are the broker's, and change | 403, likewise |
    //! | that a token is of this broker and virtual host | one process may talk to several | [`UsageError::WrongBroker`](crate::UsageError::WrongBroker), before anything is sent |
    //! | that the socket is alive now | the network does not ask | calls wait for the recovery, up to their deadline; [`Error::Network`](crate::Error::Network) when it gives up |
    //! | that the connection was not lost *since the delivery* | it may be lost while you work | [`Error::Stale`](crate::Error::Stale) on settling, and nothing is sent; the broker has requeued it |
    //! | that a redeclaration is equivalent | only the broker knows what is there | 406 with the argument, what was wanted and what was found |
    //! | that a transaction survives a cut | it cannot | [`Error::TransactionLost`](crate::Error::TransactionLost) until it is rolled back |
    //!
    //! An event never changes what a held type means: a lost connection revives the same handles
    //! in the same mode, or ends them with their reason. A *channel exception* ends its handle for
    //! good; the same reason is given by every later call, by
    //! [`close_reason`](crate::Chan::close_reason), and by what was in flight. From there
    //! [`into_closed`](crate::Chan::into_closed) and [`reopen`](crate::Chan::reopen) lead on.
    //!
    //! # Escapes
    //!
    //! Where others declare, or a plugin knows more than this library, there are ways around the
    //! proofs. They are named as such, so that a search finds each place where one was taken:
    //! [`Exchange::by_name`](crate::Exchange::by_name), `raw_argument` on the builders,
    //! [`AnyChan`](crate::AnyChan) for a mode that is known at run time only.
    //!
    //! Better than a name, where the broker can be asked, is a passive declaration: it gives the
    //! same token as a declaration does, or 404.
    //!
    //! ```no_run
    //! # async fn run(conn: hopmq::Conn<hopmq::Connected>) -> Result<(), hopmq::Error> {
    //! use hopmq::Queue;
    //!
    //! // On a channel of its own: a 404 costs the channel that asks.
    //! let asking = conn.open_channel().await?;
    //! let inbox = asking.declare(Queue::quorum("inbox").passive()).await?;
    //! # let _ = inbox;
    //! # Ok(()) }
    //! ```
}

pub mod outcomes {
    //! How publishes, deliveries and calls end.
    //!
    //! # A publish on a confirming channel
    //!
    //! | Outcome | The message | Publishing it again |
    //! |---|---|---|
    //! | `Ok` | the broker answers for it | duplicates it |
    //! | [`Returned`](crate::Unconfirmed::Returned) | mandatory, and in no queue | is right once something is bound |
    //! | [`Nacked`](crate::Unconfirmed::Nacked) | refused: a full queue, a failure inside the broker | is safe |
    //! | [`Unknown`](crate::Unconfirmed::Unknown) | arrived, or not: the answer was lost | may duplicate it |
    //!
    //! There is no fifth. Every error gives the message back. Not mandatory, a message that no
    //! queue takes is dropped by the broker and *confirmed*.
    //!
    //! ```
    //! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    //! # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    //! # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    //! use hopmq::{Exchange, Unconfirmed};
    //!
    //! let chan = conn.open_channel().await?.confirm_select().await?;
    //! let news = Exchange::amq_fanout(); // nothing is bound to it
    //! let confirm = chan.publish(&news, (), b"unheard").mandatory().await?;
    //! let (reason, message) = confirm.await.unwrap_err().into_parts();
    //! assert!(matches!(reason, Unconfirmed::Returned { .. }));
    //! assert_eq!(message.body().len(), 7);
    //! # Ok(()) }
    //! ```
    //!
    //! # A delivery
    //!
    //! It is acked, rejected or requeued, once; or it is dropped, and goes back to the queue with a
    //! warning. Many settle at once as a [`Batch`](crate::Batch).
    //!
    //! # A consumer
    //!
    //! Its stream ends with `None` when this program cancelled it, and with an error that says why
    //! when the broker did, or the channel ended: [`ConsumeError`](crate::ConsumeError).
    //!
    //! # A call over direct reply-to
    //!
    //! A reply, or [`RpcError`](crate::RpcError): not sent, not arrived, no reply in time, or the
    //! client ended. Only after the first is it certain that nobody works on the request.
}

pub mod start_up {
    //! Making the order of your own program a type.
    //!
    //! The trick is the library's own: let each step *return* what the next *takes*, in a type that
    //! nothing else makes.
    //!
    //! ```no_run
    //! mod service {
    //!     use hopmq::{Chan, ChanState, Error, Exchange, Publisher, Topic, capability::IsOpen};
    //!
    //!     /// Private fields: whoever holds it has declared.
    //!     pub struct Topology {
    //!         orders: Exchange<Topic>,
    //!     }
    //!
    //!     impl Topology {
    //!         pub async fn declare<S: ChanState>(chan: &Chan<S>) -> Result<Self, Error>
    //!         where
    //!             Chan<S>: IsOpen, // in whatever mode
    //!         {
    //!             Ok(Topology { orders: chan.declare(Exchange::topic("orders")).await? })
    //!         }
    //!     }
    //!
    //!     /// Cannot be called before the topology is declared, nor without confirms.
    //!     pub async fn run(topology: Topology, publisher: Publisher) {
    //!         # let _ = (topology.orders, publisher);
    //!     }
    //! }
    //! ```
    //!
    //! `examples/ordered_setup` is such a service in full. `ui-tests/users` holds the wrong
    //! programs, with the errors that the compiler gives for them; `tests/users.rs` checks them and
    //! says step by step how to do the same in a crate of your own.
    //!
    //! The traits for such bounds are in [`capability`](crate::capability), those on kinds of
    //! queues in [`queue`](crate::queue), those on kinds of exchanges in
    //! [`exchange`](crate::exchange).
}

#[doc = include_str!("guide/misuse.md")]
pub mod misuse {}

#[doc = include_str!("guide/scale.md")]
pub mod scale {}
