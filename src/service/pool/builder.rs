//! How a pool is set up.

use std::{fmt, marker::PhantomData, time::Duration};

use super::{ChanPool, Consuming, PoolMode, Publishing, Purpose};
use crate::{Config, Confirming, Open, Transactional, UsageError};

/// As many connections at most, unless [`PoolBuilder::connections`] says otherwise.
const CONNECTIONS: usize = 2;
/// As many channels at most on each of them, unless [`PoolBuilder::channels_per_connection`] says
/// otherwise.
const CHANNELS: usize = 16;

/// How a pool is to be; see [`ChanPool::publishing`] and [`ChanPool::consuming`].
#[must_use = "nothing is there until it is built"]
pub struct PoolBuilder<M: PoolMode, P: Purpose> {
    settings: Settings,
    of: PhantomData<fn() -> (M, P)>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) config: Config,
    pub(super) connections: usize,
    pub(super) per_connection: usize,
    pub(super) channels: Option<usize>,
    pub(super) wait: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) lifetime: Option<Duration>,
    pub(super) check_every: Duration,
    pub(super) check_within: Duration,
    pub(super) drain: Duration,
}

impl Settings {
    /// The most channels in all.
    pub(super) fn channels(&self) -> usize {
        let room = self.connections.saturating_mul(self.per_connection);
        self.channels.map_or(room, |most| most.min(room))
    }
}

impl ChanPool {
    /// A pool of confirming channels to publish on.
    pub fn publishing(config: impl Into<Config>) -> PoolBuilder<Confirming, Publishing> {
        PoolBuilder::new(config.into())
    }

    /// A pool of channels to consume on.
    pub fn consuming(config: impl Into<Config>) -> PoolBuilder<Open, Consuming> {
        PoolBuilder::new(config.into())
    }
}

impl PoolBuilder<Confirming, Publishing> {
    /// Of channels that publish without confirms instead: what is lost is lost in silence.
    pub fn unconfirmed(self) -> PoolBuilder<Open, Publishing> {
        PoolBuilder { settings: self.settings, of: PhantomData }
    }

    /// Of channels that publish in transactions instead.
    pub fn transactional(self) -> PoolBuilder<Transactional, Publishing> {
        PoolBuilder { settings: self.settings, of: PhantomData }
    }
}

impl PoolBuilder<Open, Consuming> {
    /// Of channels that settle in transactions instead.
    pub fn transactional(self) -> PoolBuilder<Transactional, Consuming> {
        PoolBuilder { settings: self.settings, of: PhantomData }
    }
}

impl<M: PoolMode, P: Purpose> PoolBuilder<M, P> {
    fn new(mut config: Config) -> Self {
        // So that whoever looks at the broker sees what is what.
        if let Some(name) = &mut config.connection_name {
            name.push_str(P::SUFFIX);
        }
        let settings = Settings {
            config,
            connections: CONNECTIONS,
            per_connection: CHANNELS,
            channels: None,
            wait: Duration::from_secs(10),
            idle: Some(Duration::from_secs(600)),
            lifetime: None,
            check_every: Duration::from_secs(30),
            check_within: Duration::from_secs(5),
            drain: Duration::from_secs(30),
        };
        PoolBuilder { settings, of: PhantomData }
    }

    /// So many connections at most, 2 by itself (the seed's `pool_size`). While one that is too old
    /// waits for its channels to come back, there may be one more.
    pub fn connections(mut self, most: usize) -> Self {
        self.settings.connections = most;
        self
    }

    /// So many channels at most on each connection, 16 by itself (the seed's
    /// `max_channels_per_connection`).
    pub fn channels_per_connection(mut self, most: usize) -> Self {
        self.settings.per_connection = most;
        self
    }

    /// So many channels at most in all (the seed's `channel_max_size`); by itself as many as fit the
    /// connections.
    pub fn channels(mut self, most: usize) -> Self {
        self.settings.channels = Some(most);
        self
    }

    /// How long [`get`](ChanPool::get) waits for a channel, whatever it waits for; 10 seconds by itself.
    pub fn wait_at_most(mut self, time: Duration) -> Self {
        self.settings.wait = time;
        self
    }

    /// Channels that were not used for so long are closed at the next check, and connections that had no
    /// channel for so long; 10 minutes by itself. `None` keeps them.
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.idle = time.into();
        self
    }

    /// Channels and connections that are so old are not given out any more, and closed once they are
    /// back; by itself they live for ever. Behind a load balancer it lets connections spread again.
    pub fn max_lifetime(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.lifetime = time.into();
        self
    }

    /// How often connections and channels are checked, 30 seconds by itself. The first check is that
    /// long after the first [`get`](ChanPool::get); the last before the last handle on the pool is
    /// dropped.
    pub fn check_every(mut self, interval: Duration) -> Self {
        self.settings.check_every = interval;
        self
    }

    /// How long a check waits for an answer, 5 seconds by itself.
    pub fn check_within(mut self, time: Duration) -> Self {
        self.settings.check_within = time;
        self
    }

    /// How long [`close`](ChanPool::close) waits for channels that are in use, 30 seconds by itself.
    pub fn drain_within(mut self, time: Duration) -> Self {
        self.settings.drain = time;
        self
    }

    /// The pool. Nothing is dialled yet.
    ///
    /// # Errors
    /// The setting that cannot work, by its name: a number or a time that is zero, more channels on a
    /// connection than its [`channel_max`](crate::Config::channel_max) leaves room for.
    pub fn build(self) -> Result<ChanPool<M, P>, UsageError> {
        let Settings { config, connections, per_connection, channels, .. } = &self.settings;
        let bad = |setting, problem| Err(UsageError::bad(setting, problem));
        if *connections == 0 {
            return bad("connections", "a pool without any gives nothing");
        }
        if *per_connection == 0 {
            return bad("channels_per_connection", "a connection without any gives nothing");
        }
        if *channels == Some(0) {
            return bad("channels", "a pool without any gives nothing");
        }
        // One is left for checks.
        if config.channel_max != 0 && *per_connection >= usize::from(config.channel_max) {
            return bad(
                "channels_per_connection",
                "has to be less than the connection's channel_max",
            );
        }
        if self.settings.check_every.is_zero() {
            return bad("check_every", "without a pause nothing else would be done");
        }
        for (setting, time) in [
            ("wait_at_most", Some(self.settings.wait)),
            ("check_within", Some(self.settings.check_within)),
            ("max_lifetime", self.settings.lifetime),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return bad(setting, "in no time nothing can be done");
            }
        }
        Ok(ChanPool::of(self.settings))
    }
}

impl<M: PoolMode, P: Purpose> fmt::Debug for PoolBuilder<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("connections", &self.settings.connections)
            .field("channels_per_connection", &self.settings.per_connection)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let pool = || ChanPool::consuming(Config::new().channel_max(8)).channels_per_connection(7);
        assert!(pool().build().is_ok());
        for (builder, setting) in [
            (pool().connections(0), "connections"),
            (pool().channels_per_connection(0), "channels_per_connection"),
            (pool().channels_per_connection(8), "channels_per_connection"),
            (pool().channels(0), "channels"),
            (pool().wait_at_most(Duration::ZERO), "wait_at_most"),
            (pool().check_every(Duration::ZERO), "check_every"),
            (pool().check_within(Duration::ZERO), "check_within"),
            (pool().max_lifetime(Duration::ZERO), "max_lifetime"),
        ] {
            let error = builder.build().map(drop).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{setting}: ")), "{error}");
        }
    }

    #[test]
    fn connections_are_called_after_what_they_are_for() {
        let config = Config::new().connection_name("orders");
        let (publishing, consuming) =
            (ChanPool::publishing(config.clone()), ChanPool::consuming(config));
        let name = |settings: &Settings| settings.config.connection_name.clone();
        assert_eq!(name(&publishing.settings).as_deref(), Some("orders (publishing)"));
        assert_eq!(name(&consuming.settings).as_deref(), Some("orders (consuming)"));
    }
}
