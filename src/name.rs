//! Names of exchanges and queues, where they were declared, and what declaring is.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use crate::{
    driver::Renamed,
    proto::{Reply, Request},
    sealed::Sealed,
    usage::UsageError,
    wire::{NameTooLong, SHORT_STRING_MAX, ShortString},
};

/// The name of an exchange or queue, to be declared.
///
/// Made from any string. Whether it can be declared (1 to 255 bytes, not the broker's own `amq.`,
/// no line break) is checked when it is, before anything is sent. [`name!`](crate::name) checks a
/// literal while it compiles.
///
/// ```
/// use hopmq::{Name, Queue, name};
///
/// const INBOX: Name = name!("inbox");
/// let from_literal = Queue::quorum(INBOX);
/// let from_string = Queue::quorum(format!("inbox-{}", 7));
/// # let _ = (from_literal, from_string);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Result<ShortString, NameTooLong>);

/// Makes a [`Name`] of a literal; one that cannot be declared does not compile.
///
/// ```
/// let inbox = hopmq::Queue::quorum(hopmq::name!("inbox"));
/// # let _ = inbox;
/// ```
///
/// ```compile_fail,E0080
/// let inbox = hopmq::name!("amq.inbox"); // reserved to the broker
/// ```
#[macro_export]
macro_rules! name {
    ($name:literal) => {
        const {
            if let Some(problem) = $crate::Name::problem($name) {
                panic!("{}", problem);
            }
            $crate::Name::literal($name)
        }
    };
}

impl Name {
    /// What keeps a name from being declared, for [`name!`](crate::name).
    pub const fn problem(name: &str) -> Option<&'static str> {
        if name.is_empty() {
            return Some("the name is empty");
        }
        if name.len() > SHORT_STRING_MAX {
            return Some("the name has more than the 255 bytes that AMQP carries");
        }
        if is_reserved(name.as_bytes()) {
            return Some("names that start with `amq.` are the broker's own");
        }
        if has_line_break(name.as_bytes()) {
            return Some("the name has a line break, which the broker would take out");
        }
        None
    }

    /// A name from a literal, without an allocation. It is checked when it is declared; by
    /// [`name!`](crate::name) while it compiles.
    pub const fn literal(name: &'static str) -> Self {
        Name(ShortString::from_static(name))
    }

    /// The name, if something new can be declared under it.
    pub(crate) fn to_declare(&self, what: &'static str) -> Result<ShortString, UsageError> {
        let name = self.to_find(what)?;
        match is_reserved(name.as_str().as_bytes()) {
            true => Err(UsageError::ReservedName { what, name }),
            false => Ok(name),
        }
    }

    /// The name, if something can exist under it: the broker's own names are fine.
    pub(crate) fn to_find(&self, what: &'static str) -> Result<ShortString, UsageError> {
        let name = self.0.clone().map_err(UsageError::too_long(what))?;
        if name.is_empty() {
            return Err(UsageError::EmptyName { what });
        }
        if has_line_break(name.as_str().as_bytes()) {
            return Err(UsageError::LineBreak { what, name });
        }
        Ok(name)
    }
}

/// RabbitMQ answers 403 "contains reserved prefix 'amq.*'".
const fn is_reserved(name: &[u8]) -> bool {
    matches!(name, [b'a', b'm', b'q', b'.', ..])
}

/// RabbitMQ takes line breaks out of names (`strip_cr_lf` in `rabbit_channel`), so that what was
/// declared would have another name than its token.
const fn has_line_break(name: &[u8]) -> bool {
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        if matches!(first, b'\r' | b'\n') {
            return true;
        }
        rest = tail;
    }
    false
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Name(ShortString::new(name))
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Name(ShortString::new(name))
    }
}

impl From<&String> for Name {
    fn from(name: &String) -> Self {
        Name(ShortString::new(name.as_str()))
    }
}

impl From<ShortString> for Name {
    fn from(name: ShortString) -> Self {
        Name(Ok(name))
    }
}

impl From<&ShortString> for Name {
    fn from(name: &ShortString) -> Self {
        Name(Ok(name.clone()))
    }
}

/// A broker, or cluster of them, and a virtual host there: where a token is good.
#[derive(Debug)]
pub struct Realm {
    cluster: Arc<str>,
    /// The addresses by which it is reached, in order, where they are known.
    hosts: Vec<String>,
    vhost: Arc<str>,
}

impl Realm {
    pub(crate) fn new(cluster: &str, vhost: &str) -> Self {
        Realm { cluster: cluster.into(), hosts: Vec::new(), vhost: vhost.into() }
    }

    /// The same, with the addresses that were configured.
    pub(crate) fn reached_by(mut self, hosts: impl Iterator<Item = String>) -> Self {
        self.hosts = hosts.collect();
        self.hosts.sort_unstable();
        self
    }

    /// Whether both are the same place. Tokens mostly come from the connection they are used on.
    /// Where nobody gave a RabbitMQ cluster its name, each node tells its own as that: then the
    /// addresses say that it is one.
    pub(crate) fn same(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        let one_place = || {
            self.cluster == other.cluster || (!self.hosts.is_empty() && self.hosts == other.hosts)
        };
        Arc::ptr_eq(self, other) || (self.vhost == other.vhost && one_place())
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "virtual host `{}` of `{}`", self.vhost, self.cluster)
    }
}

/// What a channel can declare: [`ExchangeDeclaration`](crate::ExchangeDeclaration),
/// [`QueueDeclaration`](crate::QueueDeclaration), or one of them [`Passive`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be declared",
    label = "not a declaration",
    note = "an exchange: `chan.declare(Exchange::topic(\"orders\")).await?`",
    note = "a queue: `chan.declare(Queue::quorum(\"inbox\")).await?`"
)]
pub trait Declare: Sealed {
    /// What proves that it was declared.
    type Token: Send + Sync + 'static;

    /// The request, if it can be sent to the realm.
    #[doc(hidden)]
    fn request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError>;

    /// The request that only asks whether it exists.
    #[doc(hidden)]
    fn passive_request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError>;

    /// The holder of the token's name, where a recovery may change it.
    #[doc(hidden)]
    fn name_holder(_: &Self::Token) -> Option<Weak<dyn Renamed>> {
        None
    }

    /// The token, once the broker has answered on the connection with that number.
    #[doc(hidden)]
    fn token(self, realm: &Arc<Realm>, connection: u64, reply: &Reply) -> Self::Token;
}

/// A passive declaration: asks whether an exchange or queue exists, creates nothing, and gives
/// the same token.
///
/// The broker compares no arguments and no type when asked that way: the token then proves that
/// the name exists, and the kind is the caller's word. Where it does not exist, the broker closes
/// the channel with 404 (AMQP 0-9-1, 1.6.2.1.2 and 1.7.2.1.2).
///
/// ```
/// use hopmq::Queue;
///
/// let inbox = Queue::quorum("inbox").passive();
/// # let _ = inbox;
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is declared until it is given to `chan.declare(..)`"]
pub struct Passive<D>(pub(crate) D);

impl<D: Declare> Sealed for Passive<D> {}

impl<D: Declare> Declare for Passive<D> {
    type Token = D::Token;

    fn name_holder(token: &D::Token) -> Option<Weak<dyn Renamed>> {
        D::name_holder(token)
    }

    fn request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        self.0.passive_request(realm)
    }

    fn passive_request(&self, realm: &Arc<Realm>) -> Result<Request, UsageError> {
        self.0.passive_request(realm)
    }

    fn token(self, realm: &Arc<Realm>, connection: u64, reply: &Reply) -> D::Token {
        self.0.token(realm, connection, reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cluster_is_known_by_its_name_or_by_its_addresses() {
        let place = |cluster, hosts: &[&str], vhost| {
            let hosts = hosts.iter().map(|host| (*host).to_owned());
            Arc::new(Realm::new(cluster, vhost).reached_by(hosts))
        };
        let first = place("rabbit@one", &["one:5672", "two:5672"], "/");
        assert!(first.same(&place("rabbit@two", &["two:5672", "one:5672"], "/")));
        assert!(first.same(&place("rabbit@one", &["three:5672"], "/")));
        assert!(!first.same(&place("rabbit@two", &["two:5672"], "/")));
        assert!(!first.same(&place("rabbit@one", &["one:5672", "two:5672"], "other")));
        assert!(!place("a", &[], "/").same(&place("b", &[], "/")));
    }

    #[test]
    fn a_name_that_cannot_be_declared_says_why() {
        let why = |name: &str| Name::from(name).to_declare("queue name").unwrap_err();
        let name = |name| ShortString::new(name).unwrap();
        assert_eq!(why(""), UsageError::EmptyName { what: "queue name" });
        let reserved = UsageError::ReservedName { what: "queue name", name: name("amq.gen") };
        assert_eq!(why("amq.gen"), reserved);
        let broken = UsageError::LineBreak { what: "queue name", name: name("a\nb") };
        assert_eq!(why("a\nb"), broken);
        let too_long = UsageError::NameTooLong { what: "queue name", len: 256 };
        assert_eq!(why(&"x".repeat(256)), too_long);
        assert_eq!(Name::from("amqp").to_declare("queue name").unwrap(), "amqp");
    }

    #[test]
    fn the_brokers_own_names_can_be_found_but_not_declared() {
        assert_eq!(Name::from("amq.topic").to_find("exchange name").unwrap(), "amq.topic");
        assert!(Name::from("amq.topic").to_declare("exchange name").is_err());
    }

    #[test]
    fn literals_are_checked_by_the_same_rules() {
        for name in ["", "amq.x", "a\rb", &"x".repeat(256)] {
            assert!(Name::problem(name).is_some(), "{name:?}");
            assert!(Name::from(name).to_declare("name").is_err(), "{name:?}");
        }
        assert_eq!(Name::problem("inbox"), None);
        assert_eq!(Name::literal("inbox"), Name::from("inbox"));
    }

    #[test]
    fn a_realm_is_the_same_by_value_too() {
        let realm = Arc::new(Realm::new("rabbit@a", "/"));
        assert!(realm.same(&realm.clone()));
        assert!(realm.same(&Arc::new(Realm::new("rabbit@a", "/"))));
        assert!(!realm.same(&Arc::new(Realm::new("rabbit@a", "shop"))));
        assert!(!realm.same(&Arc::new(Realm::new("rabbit@b", "/"))));
    }
}
