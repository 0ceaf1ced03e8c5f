//! What a user may do, as RabbitMQ divides it: configure, write and read, by the names of
//! queues and exchanges.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

use regex_lite::Regex;

/// The permissions of a user. Without limits until some are set.
///
/// ```
/// use hopmq::broker::{Broker, Names, Permissions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let reader = Permissions::all().configure(Names::None).write(Names::Prefix("replies.".into()));
/// let broker = Broker::builder()
///     .user("admin", "secret")
///     .user_with("reader", "secret", reader.vhosts(["/"]))
///     .bind("127.0.0.1:0")
///     .await?;
/// # drop(broker);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use = "permissions are given to a user"]
pub struct Permissions {
    vhosts: Option<BTreeSet<String>>,
    configure: Names,
    write: Names,
    read: Names,
    topics: BTreeMap<String, Topics>,
}

/// What may be written to a topic exchange and read from it, by routing key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Topics {
    write: Names,
    read: Names,
}

/// A set of names, where RabbitMQ has a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// Every name.
    All,
    /// No name.
    None,
    /// Every name that begins so.
    Prefix(String),
    /// These names. The default exchange is called `amq.default` here.
    Exactly(BTreeSet<String>),
    /// Every name in which this is found.
    Matching(Pattern),
}

/// A regular expression; made by [`Names::matching`].
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

/// What is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a regular expression: {0}")]
pub struct PatternError(String);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// What a permission is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Configure,
    Write,
    Read,
}

impl Permissions {
    /// Everything everywhere.
    pub fn all() -> Self {
        Permissions {
            vhosts: None,
            configure: Names::All,
            write: Names::All,
            read: Names::All,
            topics: BTreeMap::new(),
        }
    }

    /// Only these virtual hosts.
    pub fn vhosts<V: Into<String>>(mut self, names: impl IntoIterator<Item = V>) -> Self {
        self.vhosts = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Declares and deletes only what has such a name.
    pub fn configure(mut self, names: Names) -> Self {
        self.configure = names;
        self
    }

    /// Publishes only to exchanges, and binds only queues, with such a name.
    pub fn write(mut self, names: Names) -> Self {
        self.write = names;
        self
    }

    /// Consumes only from queues, and binds only from exchanges, with such a name.
    pub fn read(mut self, names: Names) -> Self {
        self.read = names;
        self
    }

    /// Publishes to this topic exchange only with such routing keys, and binds queues and exchanges
    /// to it only with such keys, as `rabbitmqctl set_topic_permissions` has it. Without limits for
    /// exchanges that are not named.
    ///
    /// ```
    /// use hopmq::broker::{Names, Permissions};
    ///
    /// # fn main() -> Result<(), hopmq::broker::PatternError> {
    /// let shop = Permissions::all().topics("events", Names::matching("^shop\\.")?, Names::All);
    /// # let _ = shop;
    /// # Ok(()) }
    /// ```
    pub fn topics(mut self, exchange: impl Into<String>, write: Names, read: Names) -> Self {
        self.topics.insert(exchange.into(), Topics { write, read });
        self
    }

    pub(super) fn opens(&self, vhost: &[u8]) -> bool {
        self.vhosts
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|name| name.as_bytes() == vhost))
    }

    /// Whether nothing in an open virtual host is forbidden.
    pub(super) fn is_unlimited(&self) -> bool {
        let mut names = [&self.configure, &self.write, &self.read].into_iter();
        self.topics.is_empty() && names.all(|names| *names == Names::All)
    }

    pub(super) fn allows_topic(&self, access: Access, exchange: &[u8], key: &[u8]) -> bool {
        let mut named = self.topics.iter().filter(|(name, _)| name.as_bytes() == exchange);
        named.all(|(_, topics)| match access {
            Access::Write => topics.write.contains(key),
            Access::Read | Access::Configure => topics.read.contains(key),
        })
    }

    pub(super) fn allows(&self, access: Access, name: &[u8]) -> bool {
        let names = match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        };
        names.contains(name)
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Permissions::all()
    }
}

impl Names {
    /// Every name in which this regular expression is found, as `rabbitmqctl set_permissions`
    /// takes it: `^order-.*`, `.*`; the empty one stands for `^$`, which no name is.
    ///
    /// ```
    /// use hopmq::broker::{Names, Permissions};
    ///
    /// # fn main() -> Result<(), hopmq::broker::PatternError> {
    /// let orders = Permissions::all().configure(Names::matching("")?).read(Names::matching("^order-")?);
    /// # let _ = orders;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn matching(pattern: &str) -> Result<Self, PatternError> {
        let pattern = if pattern.is_empty() { "^$" } else { pattern };
        let regex = Regex::new(pattern).map_err(|error| PatternError(error.to_string()))?;
        Ok(Names::Matching(Pattern(regex)))
    }

    fn contains(&self, name: &[u8]) -> bool {
        match self {
            Names::All => true,
            Names::None => false,
            Names::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
            Names::Matching(Pattern(regex)) => {
                std::str::from_utf8(name).is_ok_and(|name| regex.is_match(name))
            }
            Names::Exactly(names) => names.iter().any(|known| known.as_bytes() == name),
        }
    }
}

impl Access {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Access::Configure => "configure",
            Access::Write => "write",
            Access::Read => "read",
        }
    }
}
