//! What a connection or channel can do in which state, as traits that can be named in bounds.
//!
//! Each is implemented for exactly the states in which the operation is legal, so a bound says what
//! a function needs, and the compiler tells its caller what to do where that is not met:
//!
//! ```
//! use hopmq::{Chan, ChanState, Error, Queue, capability::IsOpen, queue::CanPurge};
//!
//! /// On any channel that is open, in whatever mode; on any queue but a stream.
//! async fn emptied<S: ChanState, K: CanPurge>(chan: &Chan<S>, queue: &Queue<K>) -> Result<u32, Error>
//! where
//!     Chan<S>: IsOpen,
//! {
//!     chan.purge(queue).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
//! # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
//! let chan = conn.open_channel().await?.confirm_select().await?;
//! let inbox = chan.declare(Queue::classic("inbox")).await?;
//! assert_eq!(emptied(&chan, &inbox).await?, 0);
//! # Ok(()) }
//! ```
//!
//! The implementations are written out by hand, one line each: that is what makes the compiler's
//! messages short. A test compares them with the table of states and operations
//! ([`table`](crate::table)).

use std::sync::Arc;

use crate::{
    chan::{Chan, Confirming, Open, Transactional},
    config::Config,
    handle::Handle,
    sealed::Sealed,
};

/// A connection that can be dialled: `Conn<Disconnected>`.
#[diagnostic::on_unimplemented(
    message = "this connection is connected already",
    label = "this is a `{Self}`; `connect` needs a `Conn<Disconnected>`",
    note = "to dial anew, first write `let conn = conn.close().await?;`, or `conn.into_disconnected()` when it is dead"
)]
pub trait CanConnect: Sealed {
    #[doc(hidden)]
    fn into_config(self) -> Config;
}

/// A connection that was opened: `Conn<Connected>`.
#[diagnostic::on_unimplemented(
    message = "this connection is not connected yet",
    label = "this is a `{Self}`; this call needs a `Conn<Connected>`",
    note = "first write `let conn = conn.connect().await?;`"
)]
pub trait IsConnected: Sealed {
    #[doc(hidden)]
    fn handle(&self) -> &Arc<Handle>;
}

/// A channel that is open, in whatever mode: it declares, binds, consumes, gets and closes.
#[diagnostic::on_unimplemented(
    message = "this channel is closed",
    label = "this is a `{Self}`; this call needs a `Chan<Open>`, `Chan<Confirming>` or `Chan<Transactional>`",
    note = "first write `let chan = chan.reopen().await?;`"
)]
pub trait IsOpen: Sealed {}
impl IsOpen for Chan<Open> {}
impl IsOpen for Chan<Confirming> {}
impl IsOpen for Chan<Transactional> {}

/// A channel whose mode is not fixed yet: `Chan<Open>`.
///
/// The broker allows one mode for a channel's life: 406 "cannot switch from confirm to tx mode".
#[diagnostic::on_unimplemented(
    message = "this channel's mode cannot be selected: it is fixed already, or the channel is closed",
    label = "this is a `{Self}`; selecting a mode needs a `Chan<Open>`",
    note = "instead of a `Chan<Confirming>` or `Chan<Transactional>`, take another channel: `let chan = conn.open_channel().await?;`",
    note = "on a `Chan<Closed>`, first write `let chan = chan.reopen().await?;`"
)]
pub trait CanSelectMode: Sealed {}
impl CanSelectMode for Chan<Open> {}

/// A channel that confirms publishes: `Chan<Confirming>`.
#[diagnostic::on_unimplemented(
    message = "this channel is not in confirm mode",
    label = "this is a `{Self}`; publishing with confirms needs a `Chan<Confirming>`",
    note = "on a `Chan<Open>`, first write `let chan = chan.confirm_select().await?;`, or publish without confirms: `chan.publish_unconfirmed(..)`",
    note = "on a `Chan<Transactional>`, write `chan.publish_in_tx(..)`",
    note = "on a `Chan<Closed>`, first write `let chan = chan.reopen().await?.confirm_select().await?;`"
)]
pub trait InConfirmMode: Sealed {}
impl InConfirmMode for Chan<Confirming> {}

/// A channel in a transaction: `Chan<Transactional>`.
#[diagnostic::on_unimplemented(
    message = "this channel is not transactional",
    label = "this is a `{Self}`; a transaction needs a `Chan<Transactional>`",
    note = "on a `Chan<Open>`, first write `let chan = chan.tx_select().await?;`",
    note = "instead of a `Chan<Confirming>`, take another channel: `let chan = conn.open_channel().await?.tx_select().await?;`",
    note = "on a `Chan<Closed>`, first write `let chan = chan.reopen().await?.tx_select().await?;`"
)]
pub trait InTransactionMode: Sealed {}
impl InTransactionMode for Chan<Transactional> {}

/// A channel that publishes without any outcome: `Chan<Open>`.
#[diagnostic::on_unimplemented(
    message = "this channel does not publish without an outcome",
    label = "this is a `{Self}`; `publish_unconfirmed` needs a `Chan<Open>`",
    note = "on a `Chan<Confirming>`, write `chan.publish(..).await?.await?`",
    note = "on a `Chan<Transactional>`, write `chan.publish_in_tx(..).await?`",
    note = "on a `Chan<Closed>`, first write `let chan = chan.reopen().await?;`"
)]
pub trait InPlainMode: Sealed {}
impl InPlainMode for Chan<Open> {}

/// A channel on which messages that no queue takes come back by themselves: `Chan<Open>` and
/// `Chan<Transactional>`. With confirms, a return is the outcome of its own publish.
#[diagnostic::on_unimplemented(
    message = "messages do not come back on this channel by themselves",
    label = "this is a `{Self}`; `returns` needs a `Chan<Open>` or `Chan<Transactional>`",
    note = "on a `Chan<Confirming>`, the confirm says it: `chan.publish(..).mandatory().await?.await` gives `Unconfirmed::Returned`",
    note = "on a `Chan<Closed>`, first write `let chan = chan.reopen().await?;`"
)]
pub trait HasReturns: Sealed {}
impl HasReturns for Chan<Open> {}
impl HasReturns for Chan<Transactional> {}

/// A channel that has ended: `Chan<Closed>`.
#[diagnostic::on_unimplemented(
    message = "this channel is open",
    label = "this is a `{Self}`; `reopen` needs a `Chan<Closed>`",
    note = "to end it, first write `let chan = chan.close().await?;`; when the broker ended it, `chan.into_closed()`"
)]
pub trait CanReopen: Sealed {}
impl CanReopen for Chan<crate::chan::Closed> {}
