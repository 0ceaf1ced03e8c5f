//! Everything that can be set about a connection, from an address or in code.
mod address;
mod hooks;
mod limits;
mod provider;
mod secret;
#[cfg(feature = "serde")]
mod serde;
mod tls;

use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::address::{Address, Scheme};
pub(crate) use self::address::{is_host, is_ipv6, write_authority};
pub use self::hooks::MakeHooks;
pub use self::limits::Limits;
pub use self::provider::{CredentialsProvider, IssueError, Issued, Provider};
pub use self::secret::{Credentials, Mechanism, Secret};
pub use self::tls::Tls;
pub(crate) use self::tls::Verify;
#[cfg(feature = "tls")]
pub(crate) use self::tls::{Identity, Pem, ServerNameSetting};
use crate::fsm::supervisor::{Hooks, Policy};
use crate::uri::{Uri, UriError};

/// The least `frame_max` that a peer must take (AMQP 0-9-1, 4.2.3 and the domain of `tune`).
pub(crate) const FRAME_MAX_LEAST: u32 = 4096;

/// How to connect, and how to behave while connected.
///
/// The default is a broker on this machine: `localhost:5672`, user `guest`, vhost `/`.
///
/// ```
/// use std::time::Duration;
/// use hopmq::{Address, Config, Credentials};
///
/// let config = Config::new()
///     .hosts([Address::tls("a.example"), Address::tls("b.example").port(5673)])
///     .credentials(Credentials::new("shop", "hunter2"))
///     .vhost("shop")
///     .heartbeat(Duration::from_secs(20));
///
/// // The same from an address:
/// let config: Config =
///     "amqps://shop:hunter2@a.example,b.example:5673/shop?heartbeat=20".parse()?;
/// # Ok::<(), hopmq::UriError>(())
/// ```
///
/// With the feature `serde` a configuration can be read from a file; durations are then numbers of
/// seconds, hosts are written as `amqps://host:port`, and secrets are read but never written.
///
/// Setters take any value; what cannot work is refused, by name, when connecting (see
/// [`check`](Config::check)).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize, ::serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// The hosts of the broker, any of which will do. They are tried in shuffled order.
    pub hosts: Vec<Address>,
    /// Who logs in.
    pub credentials: Credentials,
    /// Who is asked for credentials at each attempt, in place of [`Config::credentials`].
    #[cfg_attr(feature = "serde", serde(skip))]
    pub provider: Option<Provider>,
    /// The ways to log in, the preferred first. `PLAIN`, then `AMQPLAIN`.
    pub mechanisms: Vec<Mechanism>,
    /// The virtual host. `/`.
    pub vhost: String,
    /// How often at least a sign of life is asked for, in whole seconds (rounded up); zero asks
    /// for none. The lower of this and the broker's that is not zero is used. 60 s.
    ///
    /// A handler that blocks its worker for longer does not cost the connection, as long as a
    /// multi-thread runtime has another worker that is free: in a process that consumes, one thread
    /// for all connections notices what is late. Without a consumer there is no such thread.
    #[cfg_attr(feature = "serde", serde(with = "self::serde::seconds"))]
    pub heartbeat: Duration,
    /// How long connecting may take in all: every host, DNS, TLS and the handshake. 10 s.
    #[cfg_attr(feature = "serde", serde(with = "self::serde::seconds"))]
    pub connection_timeout: Duration,
    /// How long a call waits for the broker's answer, unless the call says otherwise. 20 s.
    #[cfg_attr(feature = "serde", serde(with = "self::serde::seconds"))]
    pub call_timeout: Duration,
    /// The most channels on the connection; zero means as many as the broker allows. 2,047.
    pub channel_max: u16,
    /// The largest frame in bytes; zero means the broker's, up to [`Limits::frame_size`].
    /// 131,072.
    pub frame_max: u32,
    /// A name for the connection, shown in the broker's management and logs.
    pub connection_name: Option<String>,
    /// Certificates and names, for hosts with TLS.
    pub tls: Tls,
    /// Bounds of memory.
    pub limits: Limits,
    /// What publishing does while the broker has blocked the connection (`connection.blocked`).
    pub while_blocked: Hold,
    /// When and how a lost connection is dialled again: backoff, circuit breaker, how often. By
    /// itself it reconnects for ever, at once and then with growing waits up to 5 s; see
    /// [the reasons](Policy::default). How long an attempt may take is for
    /// [`connection_timeout`](Config::connection_timeout) to say alone.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub recovery: Policy,
    /// What calls do while a lost connection is being recovered, unless the call says otherwise: those
    /// made meanwhile, and those that were in flight when it was lost.
    pub while_recovering: Hold,
    /// What makes the hooks of each connection; see [`Config::hooks`].
    #[cfg_attr(feature = "serde", serde(skip))]
    pub hooks: Option<MakeHooks>,
}

/// What a call does that cannot go out now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize, ::serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Hold {
    /// It waits, up to its deadline.
    #[default]
    Wait,
    /// It fails at once, with an error that says why.
    FailFast,
}

/// Why a configuration cannot work. Found before anything is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::hosts`] is empty.
    #[error("no host is configured")]
    NoHosts,
    /// A host is no DNS name and no IP address, or its port is 0.
    #[error("host {number} is neither a name nor an IP address, or its port is 0")]
    BadHost {
        /// Which one, counted from 1.
        number: usize,
    },
    /// [`Config::mechanisms`] is empty.
    #[error("no mechanism to log in with is configured")]
    NoMechanisms,
    /// A timeout is zero, so that nothing could ever succeed.
    #[error("{name} is zero")]
    ZeroTimeout {
        /// The setting's name.
        name: &'static str,
    },
    /// [`Config::heartbeat`] is more than 65,535 seconds, the most that AMQP can say.
    #[error("heartbeat is more than 65535 seconds")]
    HeartbeatTooLong,
    /// [`Config::frame_max`] or [`Limits::frame_size`] is below what the protocol demands.
    #[error("{name} is below {FRAME_MAX_LEAST}, the least that AMQP allows")]
    FrameMaxTooSmall {
        /// The setting's name.
        name: &'static str,
    },
    /// [`Config::vhost`] is longer than the 255 bytes that AMQP can say.
    #[error("vhost is longer than 255 bytes")]
    VhostTooLong,
}

/// Why the environment gave no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// The variable is not set.
    #[error("environment variable {name} is not set")]
    Missing {
        /// The variable's name.
        name: String,
    },
    /// The variable is no UTF-8.
    #[error("environment variable {name} is not UTF-8")]
    NotUtf8 {
        /// The variable's name.
        name: String,
    },
    /// The variable is no address.
    #[error("environment variable {name} is no valid address")]
    Address {
        /// The variable's name.
        name: String,
        /// What is wrong with it.
        source: UriError,
    },
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hosts: vec![Address::default()],
            credentials: Credentials::default(),
            provider: None,
            mechanisms: vec![Mechanism::Plain, Mechanism::Amqplain],
            vhost: "/".to_owned(),
            heartbeat: Duration::from_secs(60),
            connection_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(20),
            channel_max: 2_047,
            frame_max: 131_072,
            connection_name: None,
            tls: Tls::default(),
            limits: Limits::default(),
            while_blocked: Hold::Wait,
            recovery: Policy::default(),
            while_recovering: Hold::Wait,
            hooks: None,
        }
    }
}

impl Config {
    /// The default configuration: a broker on this machine.
    pub fn new() -> Self {
        Config::default()
    }

    /// Reads the address in an environment variable.
    ///
    /// # Errors
    /// The variable is not set, is not UTF-8, or is no valid address.
    pub fn from_env(name: &str) -> Result<Self, EnvError> {
        let named = || name.to_owned();
        let text = std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => EnvError::Missing { name: named() },
            std::env::VarError::NotUnicode(_) => EnvError::NotUtf8 { name: named() },
        })?;
        let text = Zeroizing::new(text);
        text.parse().map_err(|source| EnvError::Address { name: named(), source })
    }

    /// Sets when and how a lost connection is dialled again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use hopmq::{Config, fsm::supervisor::{Backoff, Policy}};
    ///
    /// let second = Duration::from_secs(1);
    /// let config = Config::new().recovery(Policy {
    ///     backoff: Backoff::exponential(second / 10, second),
    ///     max_attempts: Some(20),
    ///     ..Policy::default()
    /// });
    /// ```
    pub fn recovery(mut self, policy: Policy) -> Self {
        self.recovery = policy;
        self
    }

    /// A lost connection ends instead of being dialled again.
    pub fn without_recovery(mut self) -> Self {
        self.recovery.reconnect = false;
        self
    }

    /// Sets one host, in place of those set before.
    pub fn host(self, host: Address) -> Self {
        self.hosts([host])
    }

    /// Sets the hosts, in place of those set before. See [`Config::hosts`].
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = Address>) -> Self {
        self.hosts = hosts.into_iter().collect();
        self
    }

    /// Sets who logs in, in place of a provider set before.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self.provider = None;
        self
    }

    /// Sets who is asked for credentials at each attempt to log in, and before they expire: for
    /// OAuth 2 tokens, or passwords that are rotated. See [`CredentialsProvider`].
    pub fn credentials_from(mut self, provider: impl CredentialsProvider) -> Self {
        self.provider = Some(Provider::new(provider));
        self
    }

    /// Sets the ways to log in, the preferred first.
    pub fn mechanisms(mut self, mechanisms: impl IntoIterator<Item = Mechanism>) -> Self {
        self.mechanisms = mechanisms.into_iter().collect();
        self
    }

    /// Sets the virtual host.
    pub fn vhost(mut self, vhost: impl Into<String>) -> Self {
        self.vhost = vhost.into();
        self
    }

    /// Sets the heartbeat; zero asks for none. See [`Config::heartbeat`].
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    /// Sets how long connecting may take in all.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.connection_timeout = timeout;
        self
    }

    /// Sets how long a call waits for the broker's answer.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets the most channels; zero means as many as the broker allows.
    pub fn channel_max(mut self, channels: u16) -> Self {
        self.channel_max = channels;
        self
    }

    /// Sets the largest frame; zero means the broker's, up to [`Limits::frame_size`].
    pub fn frame_max(mut self, bytes: u32) -> Self {
        self.frame_max = bytes;
        self
    }

    /// Sets the name that the broker shows for the connection.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.connection_name = Some(name.into());
        self
    }

    /// Sets certificates and names for TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the bounds of memory.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets what publishing does while the broker has blocked the connection.
    pub fn while_blocked(mut self, hold: Hold) -> Self {
        self.while_blocked = hold;
        self
    }

    /// Sets what calls do while a lost connection is being recovered.
    pub fn while_recovering(mut self, hold: Hold) -> Self {
        self.while_recovering = hold;
        self
    }

    /// Sets what makes the hooks of each connection: callbacks before and after the transitions of
    /// its machine, of one state or of all (for logs, metrics, calls of your own). They see every
    /// transition in its order, from the first dialling on.
    ///
    /// They run on a thread where they may block, one after the other: the connection does not
    /// wait for them. Hooks that fall more than 256 transitions behind miss some, with a warning.
    ///
    /// ```
    /// use hopmq::{Config, ConnectionState, fsm::supervisor::Hooks};
    ///
    /// let config = Config::new().hooks(|| {
    ///     let mut hooks = Hooks::new();
    ///     hooks.before_leaving(ConnectionState::Connected, |change| println!("{change}"));
    ///     hooks.after_any(|change| println!("now {:?}", change.to));
    ///     hooks
    /// });
    /// # let _ = config;
    /// ```
    pub fn hooks(mut self, make: impl Fn() -> Hooks + Send + Sync + 'static) -> Self {
        self.hooks = Some(MakeHooks::new(make));
        self
    }

    /// Looks for what cannot work. Connecting does so first.
    ///
    /// # Errors
    /// The first setting found that cannot work, by name.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::NoHosts);
        }
        if let Some(at) = self.hosts.iter().position(|at| !is_host(&at.host) || at.port == 0) {
            return Err(ConfigError::BadHost { number: at + 1 });
        }
        if self.mechanisms.is_empty() {
            return Err(ConfigError::NoMechanisms);
        }
        if self.connection_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout { name: "connection_timeout" });
        }
        if self.call_timeout.is_zero() {
            return Err(ConfigError::ZeroTimeout { name: "call_timeout" });
        }
        if self.heartbeat > Duration::from_secs(u16::MAX.into()) {
            return Err(ConfigError::HeartbeatTooLong);
        }
        if self.frame_max != 0 && self.frame_max < FRAME_MAX_LEAST {
            return Err(ConfigError::FrameMaxTooSmall { name: "frame_max" });
        }
        if self.limits.frame_size < FRAME_MAX_LEAST {
            return Err(ConfigError::FrameMaxTooSmall { name: "limits.frame_size" });
        }
        if self.vhost.len() > usize::from(u8::MAX) {
            return Err(ConfigError::VhostTooLong);
        }
        Ok(())
    }

    /// The credentials to log in with now, from the provider if there is one.
    pub(crate) async fn issue(&self) -> Result<Issued, IssueError> {
        match &self.provider {
            Some(provider) => provider.issue().await,
            None => Ok(Issued::new(self.credentials.clone())),
        }
    }

    /// The heartbeat as it goes over the wire: whole seconds, rounded up so that a fraction of a
    /// second does not turn it off.
    pub(crate) fn heartbeat_seconds(&self) -> u16 {
        let whole = self.heartbeat.as_secs();
        let seconds = whole.saturating_add(u64::from(self.heartbeat.subsec_nanos() > 0));
        u16::try_from(seconds).unwrap_or(u16::MAX)
    }

    /// The largest frame that we take, with "no limit" made our own cap.
    pub(crate) fn frame_max_cap(&self) -> u32 {
        if self.frame_max == 0 { self.limits.frame_size } else { self.frame_max }
    }

    /// The most channels that we use, with "no limit" made what a channel's number can say.
    pub(crate) fn channel_max_cap(&self) -> u16 {
        if self.channel_max == 0 { u16::MAX } else { self.channel_max }
    }
}

/// Reads an address; see [`Uri`].
impl FromStr for Config {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Ok(text.parse::<Uri>()?.into())
    }
}

impl From<Uri> for Config {
    fn from(uri: Uri) -> Self {
        uri.into_config()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_works() {
        assert_eq!(Config::new().check(), Ok(()));
        assert_eq!("amqp://".parse(), Ok(Config::new()));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        use ConfigError::*;
        let small = Limits { frame_size: 100, ..Limits::default() };
        let secs = Duration::from_secs;
        for (config, error) in [
            (Config::new().hosts([]), NoHosts),
            (
                Config::new().hosts([Address::plain("a"), Address::plain("b c")]),
                BadHost { number: 2 },
            ),
            (Config::new().host(Address::plain("a").port(0)), BadHost { number: 1 }),
            (Config::new().mechanisms([]), NoMechanisms),
            (Config::new().connection_timeout(secs(0)), ZeroTimeout { name: "connection_timeout" }),
            (Config::new().call_timeout(secs(0)), ZeroTimeout { name: "call_timeout" }),
            (Config::new().heartbeat(secs(65_536)), HeartbeatTooLong),
            (Config::new().frame_max(16), FrameMaxTooSmall { name: "frame_max" }),
            (Config::new().limits(small), FrameMaxTooSmall { name: "limits.frame_size" }),
            (Config::new().vhost("v".repeat(256)), VhostTooLong),
        ] {
            assert_eq!(config.check(), Err(error));
        }
    }

    #[test]
    fn zero_means_no_limit_up_to_our_own_cap() {
        let config = Config::new().frame_max(0).channel_max(0);
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.frame_max_cap(), 131_072);
        assert_eq!(config.channel_max_cap(), 65_535);
        assert_eq!(Config::new().frame_max(8_192).frame_max_cap(), 8_192);
        assert_eq!(Config::new().channel_max_cap(), 2_047);
    }

    #[test]
    fn a_fraction_of_a_second_does_not_turn_heartbeats_off() {
        let heartbeat = |ms| Config::new().heartbeat(Duration::from_millis(ms)).heartbeat_seconds();
        assert_eq!((heartbeat(0), heartbeat(1), heartbeat(1000), heartbeat(1001)), (0, 1, 1, 2));
    }

    #[test]
    fn the_environment_gives_an_address_or_says_what_is_missing() {
        // Cargo sets this one for every test, and it is no address.
        let error = Config::from_env("CARGO_PKG_NAME").unwrap_err();
        let name = "CARGO_PKG_NAME".to_owned();
        assert_eq!(error, EnvError::Address { name, source: UriError::Scheme });
        let error = Config::from_env("HOPMQ_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(error.to_string(), "environment variable HOPMQ_NO_SUCH_VARIABLE is not set");
    }

    #[test]
    fn no_secret_is_printed_with_a_configuration() {
        let config = Config::new()
            .credentials(Credentials::new("me", "hunter2"))
            .tls(Tls::new().identity_pem("certificate", "keykeykey"));
        let shown = format!("{config:?} {config:#?}");
        assert!(!shown.contains("hunter2") && !shown.contains("keykeykey"), "{shown}");
    }
}
