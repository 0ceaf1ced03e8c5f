//! The settings of a service in one place: in code, from a file, from the environment.

mod env;
#[cfg(feature = "serde")]
mod file;

use std::time::Duration;

#[cfg(feature = "pool")]
use super::pool::{ChanPool, Consuming, PoolBuilder, PoolMode, Publishing, Purpose};
use super::{Codec, Retry, Worker};
use crate::{Config, Consumer, DEFAULT_PREFETCH, UriError};
#[cfg(feature = "pool")]
use crate::{Confirming, Open, UsageError};

/// What a service is told about its broker, and how it uses it.
///
/// ```
/// use std::time::Duration;
/// use hopmq::{Config, service::Settings};
///
/// let broker: Config = "amqps://orders:hunter2@a.example,b.example/shop".parse()?;
/// let settings = Settings::new(broker)
///     .connection_name("orders")
///     .pool_size(4)
///     .prefetch_count(50)
///     .consumer_timeout(Duration::from_secs(60));
/// assert_eq!(settings.retry().max_retries(), 5);
/// assert!(!format!("{settings:?}").contains("hunter2"));
///
/// // The same from ORDERS_BROKER_URL, ORDERS_POOL_SIZE and so on; a variable that begins so and is no
/// // setting is an error, as is one that is not what it should be.
/// let vars = [("ORDERS_BROKER_URL", "amqp://localhost"), ("ORDERS_POOLSIZE", "4")];
/// let error = Settings::from_vars("ORDERS_", vars).unwrap_err();
/// assert_eq!(error.to_string(), "ORDERS_POOLSIZE: there is no such setting");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With the feature `serde` it is read from a file, with the fields' names; `broker_url` is an address
/// there, durations are numbers of seconds, and what is unknown or wrong is an error that names it. It is
/// never written, since it has a password in it.
///
/// With the feature `pool` it makes pools: `Settings::publishers` and `Settings::consumers`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{Config, Queue, service::{Settings, Text}};
///
/// let settings = Settings::new(uri.parse::<Config>()?);
/// let publishers = settings.publishers()?.confirming()?; // of Chan<Confirming>
/// let consumers = settings.consumers()?;                 // of Chan<Open>, on other connections
///
/// let setup = publishers.get().await?;
/// let orders = setup.declare(Queue::quorum("orders")).await?;
/// let retries = settings.retry().declare(setup.as_chan(), &orders).await?;
/// let chan = consumers.get().await?;
/// let consumer = chan.consume(&orders).prefetch(settings.prefetch_count).await?;
/// let worker = settings.worker::<String, _>(consumer, Text).on_failure(retries);
/// # drop(worker);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// What to connect to, and how. In a file or the environment the address `broker_url`, with all
    /// that a [`Uri`](crate::Uri) can say; the one setting that has to be there.
    pub broker: Config,
    /// The most connections of each pool. 2.
    pub pool_size: usize,
    /// The most channels on each connection of a pool. 16.
    pub max_channels_per_connection: usize,
    /// The most channels of each pool, over all connections; as many as fit them when it is not set.
    pub channel_max_size: Option<usize>,
    /// Whether publishing waits for the broker to confirm: it decides which of its two types
    /// `Publishers` is, so that a program has to say what it does in either case. True.
    pub publisher_confirms: bool,
    /// How many messages a consumer holds unsettled. 200.
    pub prefetch_count: u16,
    /// How long a handler may take; as long as it likes when it is not set.
    pub consumer_timeout: Option<Duration>,
    /// How often a message that failed is tried again. 5.
    pub max_retries: u32,
    /// How long it waits before each. 10 s.
    pub retry_delay: Duration,
}

/// Why settings are no good: always by the name of the one that is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It has to be there, and is not.
    #[error("{name}: it is not set")]
    Missing {
        /// The setting's name, or the variable's.
        name: String,
    },
    /// There is no such setting.
    #[error("{name}: there is no such setting")]
    Unknown {
        /// The variable's name.
        name: String,
    },
    /// It cannot be what it is.
    #[error("{name}: {problem}")]
    Bad {
        /// The setting's name, or the variable's.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It is no address.
    #[error("{name}: it is no valid address")]
    Address {
        /// The setting's name, or the variable's.
        name: String,
        /// What is wrong with it.
        source: UriError,
    },
    /// A pool cannot be so.
    #[cfg(feature = "pool")]
    #[error("the pool cannot be so")]
    Pool(#[from] UsageError),
}

impl Settings {
    /// The defaults, for that broker.
    pub fn new(broker: impl Into<Config>) -> Self {
        Settings {
            broker: broker.into(),
            pool_size: 2,
            max_channels_per_connection: 16,
            channel_max_size: None,
            publisher_confirms: true,
            prefetch_count: DEFAULT_PREFETCH,
            consumer_timeout: None,
            max_retries: 5,
            retry_delay: Duration::from_secs(10),
        }
    }

    /// Reads the variables of the environment that begin with the prefix: with `ORDERS_`,
    /// `ORDERS_BROKER_URL`, `ORDERS_CONNECTION_NAME`, `ORDERS_POOL_SIZE`,
    /// `ORDERS_MAX_CHANNELS_PER_CONNECTION`, `ORDERS_CHANNEL_MAX_SIZE`, `ORDERS_PUBLISHER_CONFIRMS`
    /// (`true` or `false`), `ORDERS_PREFETCH_COUNT`, `ORDERS_CONSUMER_TIMEOUT`, `ORDERS_MAX_RETRIES`,
    /// `ORDERS_RETRY_DELAY` (both times in seconds, whole or not).
    ///
    /// # Errors
    /// The first variable that is missing, unknown or not what it should be, by its name. Without a
    /// prefix none is unknown.
    pub fn from_env(prefix: &str) -> Result<Self, SettingsError> {
        env::read(prefix, std::env::vars_os())
    }

    /// As [`Settings::from_env`], of other variables than the environment's.
    ///
    /// # Errors
    /// As there.
    pub fn from_vars<N, V>(
        prefix: &str,
        vars: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SettingsError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let vars = vars.into_iter();
        env::read(prefix, vars.map(|(name, value)| (name.into().into(), value.into().into())))
    }

    /// Sets the name that the broker shows for connections; pools add what each is for.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.broker.connection_name = Some(name.into());
        self
    }

    /// Sets the most connections of each pool.
    pub fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// Sets the most channels on each connection of a pool.
    pub fn max_channels_per_connection(mut self, channels: usize) -> Self {
        self.max_channels_per_connection = channels;
        self
    }

    /// Sets the most channels of each pool, over all connections.
    pub fn channel_max_size(mut self, channels: impl Into<Option<usize>>) -> Self {
        self.channel_max_size = channels.into();
        self
    }

    /// Sets whether publishing waits for the broker to confirm.
    pub fn publisher_confirms(mut self, confirms: bool) -> Self {
        self.publisher_confirms = confirms;
        self
    }

    /// Sets how many messages a consumer holds unsettled.
    pub fn prefetch_count(mut self, messages: u16) -> Self {
        self.prefetch_count = messages;
        self
    }

    /// Sets how long a handler may take.
    pub fn consumer_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.consumer_timeout = time.into();
        self
    }

    /// Sets how often a message that failed is tried again.
    pub fn max_retries(mut self, times: u32) -> Self {
        self.max_retries = times;
        self
    }

    /// Sets how long it waits before each.
    pub fn retry_delay(mut self, time: Duration) -> Self {
        self.retry_delay = time;
        self
    }

    /// Looks for what cannot work. Reading settings and making pools does so first.
    ///
    /// # Errors
    /// The first setting found that cannot work, by name.
    pub fn check(&self) -> Result<(), SettingsError> {
        let channel_max = usize::from(self.broker.channel_max);
        let full = channel_max != 0 && self.max_channels_per_connection >= channel_max;
        let wrong = [
            (self.pool_size == 0, "pool_size", "it is zero"),
            (self.max_channels_per_connection == 0, "max_channels_per_connection", "it is zero"),
            (
                full,
                "max_channels_per_connection",
                "it is not less than the channel_max of the connection",
            ),
            (self.channel_max_size == Some(0), "channel_max_size", "it is zero"),
            (self.prefetch_count == 0, "prefetch_count", "it is zero, which means no limit"),
            (self.consumer_timeout == Some(Duration::ZERO), "consumer_timeout", "it is zero"),
        ];
        match wrong.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, name, problem)) => Err(bad(name, problem)),
            None => Ok(()),
        }
    }

    /// How often and when failed messages are tried again.
    pub fn retry(&self) -> Retry {
        Retry::times(self.max_retries, self.retry_delay)
    }

    /// A worker whose handlers have as long as `consumer_timeout` says.
    pub fn worker<T, C: Codec>(&self, consumer: Consumer, codec: C) -> Worker<T, C> {
        let worker = Worker::new(consumer, codec);
        match self.consumer_timeout {
            Some(time) => worker.deadline(time),
            None => worker,
        }
    }
}

/// A pool to publish with, of the type that `publisher_confirms` says (feature `pool`).
#[cfg(feature = "pool")]
#[derive(Clone, Debug)]
pub enum Publishers {
    /// `publisher_confirms` is true: what is published is confirmed.
    Confirming(ChanPool<Confirming, Publishing>),
    /// `publisher_confirms` is false: what is lost is lost in silence.
    Unconfirmed(ChanPool<Open, Publishing>),
}

#[cfg(feature = "pool")]
impl Publishers {
    /// For a program that publishes with confirms and nothing else.
    ///
    /// # Errors
    /// The settings say otherwise: [`SettingsError::Bad`] of `publisher_confirms`.
    pub fn confirming(self) -> Result<ChanPool<Confirming, Publishing>, SettingsError> {
        match self {
            Publishers::Confirming(pool) => Ok(pool),
            Publishers::Unconfirmed(_) => {
                Err(bad("publisher_confirms", "it is false, and this program needs confirms"))
            }
        }
    }
}

#[cfg(feature = "pool")]
impl Settings {
    /// A pool to publish with, on connections of its own.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub fn publishers(&self) -> Result<Publishers, SettingsError> {
        let pool = self.sized(ChanPool::publishing(self.broker.clone()))?;
        Ok(match self.publisher_confirms {
            true => Publishers::Confirming(pool.build()?),
            false => Publishers::Unconfirmed(pool.unconfirmed().build()?),
        })
    }

    /// A pool to consume with, on connections of its own.
    ///
    /// # Errors
    /// As [`Settings::check`].
    pub fn consumers(&self) -> Result<ChanPool<Open, Consuming>, SettingsError> {
        Ok(self.sized(ChanPool::consuming(self.broker.clone()))?.build()?)
    }

    /// The pool with the sizes that are set, where these can work.
    fn sized<M: PoolMode, P: Purpose>(
        &self,
        pool: PoolBuilder<M, P>,
    ) -> Result<PoolBuilder<M, P>, SettingsError> {
        self.check()?;
        let pool = pool
            .connections(self.pool_size)
            .channels_per_connection(self.max_channels_per_connection);
        Ok(match self.channel_max_size {
            Some(most) => pool.channels(most),
            None => pool,
        })
    }
}

fn bad(name: &str, problem: &'static str) -> SettingsError {
    SettingsError::Bad { name: name.to_owned(), problem }
}

/// A number of seconds as a duration.
fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let settings =
            || Settings::new(Config::new().channel_max(8)).max_channels_per_connection(7);
        assert_eq!(settings().check(), Ok(()));
        for (settings, name) in [
            (settings().pool_size(0), "pool_size"),
            (settings().max_channels_per_connection(0), "max_channels_per_connection"),
            (settings().max_channels_per_connection(8), "max_channels_per_connection"),
            (settings().channel_max_size(0), "channel_max_size"),
            (settings().prefetch_count(0), "prefetch_count"),
            (settings().consumer_timeout(Duration::ZERO), "consumer_timeout"),
        ] {
            let error = settings.check().unwrap_err();
            assert!(error.to_string().starts_with(&format!("{name}: ")), "{error}");
        }
    }

    #[cfg(feature = "pool")]
    #[test]
    fn whether_publishers_confirm_is_a_type() {
        let settings = Settings::new(Config::new());
        assert!(settings.publishers().unwrap().confirming().is_ok());
        let without = settings.publisher_confirms(false).publishers().unwrap();
        assert!(matches!(without, Publishers::Unconfirmed(_)));
        let error = without.confirming().map(drop).unwrap_err();
        assert!(error.to_string().starts_with("publisher_confirms: "), "{error}");
    }

    #[test]
    fn retries_are_as_set() {
        let settings =
            Settings::new(Config::new()).max_retries(2).retry_delay(Duration::from_secs(3));
        assert_eq!(settings.retry(), Retry::times(2, Duration::from_secs(3)));
    }
}
