//! Deleting queues and exchanges, on the conditions that their kind knows.

use std::{future::IntoFuture, marker::PhantomData, sync::Arc};

use crate::{
    call::Call,
    capability::IsOpen,
    chan::{Chan, ChanInner, ChanState},
    error::Error,
    exchange::{Exchange, NamedExchange},
    proto::{Reply, Request},
    queue::{CanDeleteConditionally, Queue},
    usage::UsageError,
    wire::ShortString,
};

impl<S: ChanState> Chan<S> {
    /// Deletes a queue with its messages, and gives their number. It cannot revoke clones of its
    /// token: using them closes the channel with 404.
    ///
    /// ```no_run
    /// # async fn run(chan: hopmq::Chan<hopmq::Open>, inbox: hopmq::Queue<hopmq::Classic>) -> Result<(), hopmq::Error> {
    /// let messages = chan.delete_queue(&inbox).if_unused().await?;
    /// # let _ = messages;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Usage`] before anything is sent, e.g. for a token of another broker. Deleting what
    /// is not there is no error.
    pub fn delete_queue<Q>(&self, queue: &Queue<Q>) -> DeleteQueue<Q>
    where
        Self: IsOpen,
    {
        let chan = self.inner().clone();
        DeleteQueue {
            checked: queue.check(chan.realm(), chan.handle.id()),
            name: queue.short_string(),
            if_unused: false,
            if_empty: false,
            kind: PhantomData,
            chan,
        }
    }

    /// Deletes an exchange with its bindings. It cannot revoke clones of its token: publishing to
    /// them closes the channel with 404.
    ///
    /// # Errors
    /// As [`Chan::delete_queue`].
    pub fn delete_exchange<X>(&self, exchange: &Exchange<X>) -> DeleteExchange
    where
        X: NamedExchange,
        Self: IsOpen,
    {
        let chan = self.inner().clone();
        DeleteExchange { request: exchange.delete_request(chan.realm(), false), chan }
    }
}

/// A queue that is to be deleted: await it.
#[must_use = "nothing is deleted until this is awaited"]
#[derive(Debug)]
pub struct DeleteQueue<K> {
    chan: Arc<ChanInner>,
    name: ShortString,
    checked: Result<(), UsageError>,
    if_unused: bool,
    if_empty: bool,
    kind: PhantomData<fn() -> K>,
}

impl<K> DeleteQueue<K> {
    /// Only when it has no consumers: else the broker closes the channel with 406.
    pub fn if_unused(mut self) -> Self
    where
        K: CanDeleteConditionally,
    {
        self.if_unused = true;
        self
    }

    /// Only when it has no messages: else the broker closes the channel with 406.
    pub fn if_empty(mut self) -> Self
    where
        K: CanDeleteConditionally,
    {
        self.if_empty = true;
        self
    }
}

impl<K> IntoFuture for DeleteQueue<K> {
    type Output = Result<u32, Error>;
    type IntoFuture = Call<u32>;

    fn into_future(self) -> Call<u32> {
        let DeleteQueue { chan, name, checked, if_unused, if_empty, .. } = self;
        let request = checked.map(|()| Request::DeleteQueue { name, if_unused, if_empty });
        chan.call(request, |reply| match reply {
            Reply::Removed { messages } => Ok(messages),
            _ => Err(Error::Closed),
        })
    }
}

/// An exchange that is to be deleted: await it.
#[must_use = "nothing is deleted until this is awaited"]
#[derive(Debug)]
pub struct DeleteExchange {
    chan: Arc<ChanInner>,
    request: Result<Request, UsageError>,
}

impl DeleteExchange {
    /// Only when nothing is bound to it: else the broker closes the channel with 406.
    pub fn if_unused(mut self) -> Self {
        if let Ok(Request::DeleteExchange { if_unused, .. }) = &mut self.request {
            *if_unused = true;
        }
        self
    }
}

impl IntoFuture for DeleteExchange {
    type Output = Result<(), Error>;
    type IntoFuture = Call<()>;

    fn into_future(self) -> Call<()> {
        self.chan.call(self.request, |_| Ok(()))
    }
}
