//! What channels of a pool can do: their mode, and what they are for.

use std::future::{Future, ready};

use crate::{
    Call, Chan, ChanState, Confirming, Direct, Error, Exchange, Open, Transactional, sealed::Sealed,
};

/// A mode that a pool can keep channels in: [`Open`], [`Confirming`] or [`Transactional`].
pub trait PoolMode: ChanState {
    /// Puts a new channel into it.
    #[doc(hidden)]
    fn enter(chan: Chan<Open>) -> impl Future<Output = Result<Chan<Self>, Error>> + Send
    where
        Self: Sized;

    /// Makes a channel that was used as good as new, where it is not.
    #[doc(hidden)]
    fn clean(_: &Chan<Self>) -> impl Future<Output = Result<(), Error>> + Send
    where
        Self: Sized,
    {
        ready(Ok(()))
    }

    /// Asks for something that every user may know, and that changes nothing.
    #[doc(hidden)]
    fn probe(chan: &Chan<Self>) -> Call<Exchange<Direct>>
    where
        Self: Sized;
}

/// Whether the broker's own exchange is there: it always is, and no permission is asked for.
macro_rules! probe {
    ($mode:ident) => {
        fn probe(chan: &Chan<$mode>) -> Call<Exchange<Direct>> {
            chan.declare(Exchange::direct("amq.direct").passive())
        }
    };
}

impl PoolMode for Open {
    async fn enter(chan: Chan<Open>) -> Result<Chan<Self>, Error> {
        Ok(chan)
    }

    probe!(Open);
}

impl PoolMode for Confirming {
    async fn enter(chan: Chan<Open>) -> Result<Chan<Self>, Error> {
        chan.confirm_select().await
    }

    probe!(Confirming);
}

impl PoolMode for Transactional {
    async fn enter(chan: Chan<Open>) -> Result<Chan<Self>, Error> {
        chan.tx_select().await
    }

    async fn clean(chan: &Chan<Self>) -> Result<(), Error> {
        if chan.stats().has_open_transaction { chan.rollback().await } else { Ok(()) }
    }

    probe!(Transactional);
}

/// What a pool is for: [`Publishing`] or [`Consuming`].
pub trait Purpose: Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    const NAME: &'static str;
    /// What the names of connections end in.
    #[doc(hidden)]
    const SUFFIX: &'static str;
}

/// The purpose of a pool that publishes: while the broker has an alarm, its connections stand still.
#[derive(Debug)]
pub enum Publishing {}

/// The purpose of a pool that consumes and settles: no alarm stops its connections.
#[derive(Debug)]
pub enum Consuming {}

impl Sealed for Publishing {}
impl Sealed for Consuming {}

impl Purpose for Publishing {
    const NAME: &'static str = "Publishing";
    const SUFFIX: &'static str = " (publishing)";
}

impl Purpose for Consuming {
    const NAME: &'static str = "Consuming";
    const SUFFIX: &'static str = " (consuming)";
}
