//! What a connection or channel can do in which state, as traits that can be named in bounds.
//!
//! Each is implemented for exactly the states in which the operation is legal, so a bound such as
//! `fn start<S: ChanState>(chan: &Chan<S>) where Chan<S>: CanConfigure` says what a function
//! needs. The implementations are written out by hand, one line each: that is what makes the
//! compiler's messages short. A test compares them with the table of states and operations
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
    note = "to dial anew, first write `let conn = conn.close().await?;`"
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
    label = "this is a `{Self}`; this call needs an open channel",
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
    message = "the mode of this channel is fixed already, or it is closed",
    label = "this is a `{Self}`; selecting a mode needs a `Chan<Open>`",
    note = "open another channel: `let chan = conn.open_channel().await?;`"
)]
pub trait CanSelectMode: Sealed {}
impl CanSelectMode for Chan<Open> {}

/// A channel that confirms publishes: `Chan<Confirming>`.
#[diagnostic::on_unimplemented(
    message = "this channel is not in confirm mode",
    label = "this is a `{Self}`; publishing with confirms needs a `Chan<Confirming>`",
    note = "on a `Chan<Open>`, first write `let chan = chan.confirm_select().await?;`",
    note = "without confirms: `publish_unconfirmed` on a `Chan<Open>`, `publish_in_tx` on a `Chan<Transactional>`"
)]
pub trait InConfirmMode: Sealed {}
impl InConfirmMode for Chan<Confirming> {}

/// A channel in a transaction: `Chan<Transactional>`.
#[diagnostic::on_unimplemented(
    message = "this channel is not transactional",
    label = "this is a `{Self}`; transactions need a `Chan<Transactional>`",
    note = "on a `Chan<Open>`, first write `let chan = chan.tx_select().await?;`"
)]
pub trait InTransactionMode: Sealed {}
impl InTransactionMode for Chan<Transactional> {}

/// A channel that publishes without any outcome: `Chan<Open>`.
#[diagnostic::on_unimplemented(
    message = "this channel does not publish without an outcome",
    label = "this is a `{Self}`; `publish_unconfirmed` needs a `Chan<Open>`",
    note = "on a `Chan<Confirming>` write `publish(..).await?.await?`, on a `Chan<Transactional>` `publish_in_tx(..)`"
)]
pub trait InPlainMode: Sealed {}
impl InPlainMode for Chan<Open> {}

/// A channel that has ended: `Chan<Closed>`.
#[diagnostic::on_unimplemented(
    message = "this channel is open",
    label = "this is a `{Self}`; `reopen` needs a `Chan<Closed>`",
    note = "to end it, first write `let chan = chan.close().await?;`; when the broker ended it, `chan.into_closed()`"
)]
pub trait CanReopen: Sealed {}
impl CanReopen for Chan<crate::chan::Closed> {}
