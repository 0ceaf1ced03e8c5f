//! Asking whether an exchange or queue exists, at no channel's cost.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project::pin_project;

use crate::{
    call::Call,
    capability::IsConnected,
    chan::{Chan, Open},
    conn::{Conn, ConnState},
    error::Error,
    name::{Declare, Passive},
    wire::ReplyCode,
};

impl<S: ConnState> Conn<S> {
    /// Asks whether an exchange or queue exists: gives its token, or `None`.
    ///
    /// The broker answers 404 by closing the channel that asked; so this asks on a channel of its
    /// own. As with every passive declaration the broker compares neither type nor arguments: that
    /// it is of this kind is the caller's word.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    /// # let conn = hopmq::Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    /// use hopmq::Queue;
    ///
    /// assert!(conn.find(Queue::classic("inbox")).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error`]; that it is not there is none.
    pub fn find<D>(&self, declaration: D) -> Find<D>
    where
        D: Declare + Send + Sync + 'static,
        Self: IsConnected,
    {
        let opening = self.open_channel();
        Find { declaration: Some(Passive(declaration)), step: Step::Opening(opening) }
    }
}

/// The question whether something exists; see [`Conn::find`].
///
/// Nothing is sent before the first poll. Dropped, the channel that it asks on is closed.
#[pin_project]
#[must_use = "nothing is asked until this is awaited"]
pub struct Find<D: Declare> {
    declaration: Option<Passive<D>>,
    #[pin]
    step: Step<D::Token>,
}

#[pin_project(project = StepPinned)]
enum Step<T> {
    Opening(#[pin] Call<Chan<Open>>),
    /// The channel closes when the answer is here and it is dropped.
    Asking(#[pin] Call<T>, Chan<Open>),
}

impl<D: Declare + Send + Sync + 'static> Future for Find<D> {
    type Output = Result<Option<D::Token>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepPinned::Opening(opening) => {
                    let chan = ready!(opening.poll(cx))?;
                    let Some(declaration) = this.declaration.take() else { return Poll::Pending };
                    let asking = chan.declare(declaration);
                    this.step.set(Step::Asking(asking, chan));
                }
                StepPinned::Asking(asking, _) => {
                    return Poll::Ready(match ready!(asking.poll(cx)) {
                        Ok(token) => Ok(Some(token)),
                        Err(error) if error.reply_code() == Some(ReplyCode::NOT_FOUND) => Ok(None),
                        Err(error) => Err(error),
                    });
                }
            }
        }
    }
}

impl<D: Declare> fmt::Debug for Find<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Find").finish_non_exhaustive()
    }
}
