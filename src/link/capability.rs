//! What a link can do in which state, as traits that can be named in bounds.
//!
//! Each is implemented for exactly the states in which the operation is legal, by hand, one line each:
//! that is what makes the compiler's messages short.

use super::handle::sealed::Sealed;
use super::handle::{Connected, Disconnected, Link};
use super::service::Service;

/// A link that can be dialled: `Link<Disconnected, T>`.
#[diagnostic::on_unimplemented(
    message = "this link is connected already",
    label = "this is a `{Self}`; `connect` needs a `Link<Disconnected, _>`",
    note = "to dial anew, first write `let link = link.close().await;`",
    note = "when it has ended by itself: `link.into_disconnected()`"
)]
pub trait CanDial: Sealed {}
impl<T: Service> CanDial for Link<Disconnected, T> {}

/// A link that was up: `Link<Connected, T>`.
#[diagnostic::on_unimplemented(
    message = "this link is not connected yet",
    label = "this is a `{Self}`; this call needs a `Link<Connected, _>`",
    note = "first write `let link = link.connect().await?;`"
)]
pub trait IsLinked: Sealed {}
impl<T: Service> IsLinked for Link<Connected, T> {}
