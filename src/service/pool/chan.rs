//! A channel on loan from a pool.

use std::{fmt, marker::PhantomData};

use deadpool::managed::Object;
use tokio::time::Instant;

use super::{Consuming, PoolMode, Publishing, Purpose, keeper::Keeper};
use crate::{
    BindingArgument, BindingTarget, Call, Chan, Confirming, Consumable, Declare, Delivery,
    Exchange, Message, Open, Publish, PublishUnconfirmed, Publisher, Queue, RouteTo, Transactional,
    capability::IsOpen,
    queue::{CanGet, CanPurge, Counts, QueueKind},
};

/// A channel in the mode `M`, on loan from a pool for the purpose `P`: dropped, it goes back.
///
/// It has the calls of a [`Chan<M>`](Chan) that serve its purpose. What it declares stays declared, and
/// what it publishes goes on when it is back. A consumer does not: keep the channel for as long as it
/// consumes.
#[must_use = "dropped, it goes back to its pool"]
pub struct PooledChan<M: PoolMode, P: Purpose> {
    object: OnLoan<M>,
    purpose: PhantomData<fn() -> P>,
}

/// Remembers when it is given back.
struct OnLoan<M: PoolMode>(Object<Keeper<M>>);

impl<M: PoolMode> Drop for OnLoan<M> {
    fn drop(&mut self) {
        self.0.idle_since = Instant::now();
    }
}

impl<M: PoolMode, P: Purpose> PooledChan<M, P> {
    pub(super) fn new(object: Object<Keeper<M>>) -> Self {
        PooledChan { object: OnLoan(object), purpose: PhantomData }
    }

    /// The channel itself, for what takes a [`Chan`], as [`Retry::declare`](crate::service::Retry::declare)
    /// does. It does whatever its mode allows: that it serves one purpose alone is then the caller's
    /// word.
    pub fn as_chan(&self) -> &Chan<M> {
        &self.object.0.chan.chan
    }
}

impl<M: PoolMode, P: Purpose> PooledChan<M, P>
where
    Chan<M>: IsOpen,
{
    /// As [`Chan::declare`].
    ///
    /// # Errors
    /// As there. A broker that refuses closes the channel, and the pool gives up on it.
    pub fn declare<D: Declare + Send + Sync + 'static>(&self, declaration: D) -> Call<D::Token> {
        self.as_chan().declare(declaration)
    }

    /// As [`Chan::bind`].
    ///
    /// # Errors
    /// As there.
    pub fn bind<T, X, B>(&self, target: &T, exchange: &Exchange<X>, binding: B) -> Call<()>
    where
        T: BindingTarget + ?Sized,
        B: BindingArgument<X>,
    {
        self.as_chan().bind(target, exchange, binding)
    }

    /// As [`Chan::unbind`].
    ///
    /// # Errors
    /// As there.
    pub fn unbind<T, X, B>(&self, target: &T, exchange: &Exchange<X>, binding: B) -> Call<()>
    where
        T: BindingTarget + ?Sized,
        B: BindingArgument<X>,
    {
        self.as_chan().unbind(target, exchange, binding)
    }

    /// As [`Chan::counts`].
    ///
    /// # Errors
    /// As there.
    pub fn counts<Q: QueueKind>(&self, queue: &Queue<Q>) -> Call<Counts> {
        self.as_chan().counts(queue)
    }

    /// As [`Chan::purge`].
    ///
    /// # Errors
    /// As there.
    pub fn purge<Q: CanPurge>(&self, queue: &Queue<Q>) -> Call<u32> {
        self.as_chan().purge(queue)
    }
}

impl PooledChan<Confirming, Publishing> {
    /// As [`Chan::publish`]. The confirm can be awaited when the channel is back in its pool.
    ///
    /// # Errors
    /// As there.
    pub fn publish<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>,
    ) -> Publish<'a>
    where
        R: RouteTo<'a, X>,
    {
        self.as_chan().publish(exchange, route, message)
    }

    /// As [`Chan::publisher`]: it goes on publishing on the channel when that is back in its pool, which
    /// does others no harm, though they share its window.
    pub fn publisher(&self) -> Publisher {
        self.as_chan().publisher()
    }
}

impl PooledChan<Open, Publishing> {
    /// As [`Chan::publish_unconfirmed`].
    ///
    /// # Errors
    /// As there.
    pub fn publish_unconfirmed<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>,
    ) -> PublishUnconfirmed<'a>
    where
        R: RouteTo<'a, X>,
    {
        self.as_chan().publish_unconfirmed(exchange, route, message)
    }
}

impl PooledChan<Transactional, Publishing> {
    /// As [`Chan::publish_in_tx`]. What is not committed when the channel goes back is rolled back.
    ///
    /// # Errors
    /// As there.
    pub fn publish_in_tx<'a, X, R>(
        &'a self,
        exchange: &'a Exchange<X>,
        route: R,
        message: impl Into<Message>,
    ) -> PublishUnconfirmed<'a>
    where
        R: RouteTo<'a, X>,
    {
        self.as_chan().publish_in_tx(exchange, route, message)
    }
}

impl<P: Purpose> PooledChan<Transactional, P> {
    /// As [`Chan::commit`].
    ///
    /// # Errors
    /// As there.
    pub fn commit(&self) -> Call<()> {
        self.as_chan().commit()
    }

    /// As [`Chan::rollback`].
    ///
    /// # Errors
    /// As there.
    pub fn rollback(&self) -> Call<()> {
        self.as_chan().rollback()
    }
}

impl<M: PoolMode> PooledChan<M, Consuming>
where
    Chan<M>: IsOpen,
{
    /// As [`Chan::consume`]. Keep the channel for as long as it consumes: one that comes back with a
    /// consumer on it is not used again.
    pub fn consume<K: Consumable>(&self, queue: &Queue<K>) -> K::Builder {
        self.as_chan().consume(queue)
    }

    /// As [`Chan::get`].
    ///
    /// # Errors
    /// As there.
    pub fn get<K: CanGet>(&self, queue: &Queue<K>) -> Call<Option<Delivery>> {
        self.as_chan().get(queue)
    }
}

impl<M: PoolMode, P: Purpose> fmt::Debug for PooledChan<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PooledChan<{}, {}>", M::NAME, P::NAME)
    }
}
