//! What a binding takes, by the kind of its exchange, and what it leads to.

use std::{num::NonZeroU16, sync::Arc};

use bytes::Bytes;

use crate::{
    exchange::{
        BoundByKey, BoundByMatch, BoundByPattern, BoundWithoutKey, ConsistentHash, Exchange,
        ExchangeKind, Internal, NamedExchange, Plugin,
    },
    name::Realm,
    proto::{BindingSpec, Request},
    queue::{Queue, QueueKind},
    sealed::Sealed,
    usage::UsageError,
    wire::{FieldTable, SHORT_STRING_MAX, ShortString, Value},
};

/// What a binding to an exchange of the kind `K` takes: a key for direct, topic and plugin
/// exchanges (topic also a checked [`Pattern`]), `()` for fanout, a [`Match`] for headers, a
/// [`Weight`] for consistent hash exchanges.
///
/// The broker ignores in silence what does not fit the exchange, so here it does not compile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a binding to a `{K}` exchange takes",
    label = "not a binding argument for `{K}`",
    note = "direct and topic: `chan.bind(&inbox, &exchange, \"order.*.created\")`",
    note = "fanout: `chan.bind(&inbox, &exchange, ())`",
    note = "headers: `chan.bind(&inbox, &exchange, Match::all([(\"format\", \"pdf\")]))`",
    note = "consistent hash: `chan.bind(&inbox, &exchange, Weight::ONE)`"
)]
pub trait BindingArgument<K>: Sealed {
    /// The key and the encoded arguments.
    #[doc(hidden)]
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError>;
}

fn key_alone(key: &str) -> Result<(ShortString, Bytes), UsageError> {
    let key = ShortString::new(key).map_err(UsageError::too_long("binding key"))?;
    Ok((key, Bytes::new()))
}

impl<K: BoundByKey> BindingArgument<K> for &str {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(self)
    }
}

impl<K: BoundByKey> BindingArgument<K> for String {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(&self)
    }
}

impl<K: BoundByKey> BindingArgument<K> for &String {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(self)
    }
}

impl<K: BoundByKey> BindingArgument<K> for ShortString {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        Ok((self, Bytes::new()))
    }
}

impl<K: BoundByKey> BindingArgument<K> for &ShortString {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        Ok((self.clone(), Bytes::new()))
    }
}

impl<K: BoundWithoutKey> BindingArgument<K> for () {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        Ok((ShortString::EMPTY, Bytes::new()))
    }
}

/// A topic pattern that was checked: words between dots, where `*` stands for one word and `#` for
/// any number, each as a whole word.
///
/// The broker takes any string and reads `order.*x` as a word with a star in it, which no routing
/// key ever matches. A plain string is passed on as it is; a pattern is known to mean what it says.
///
/// ```
/// use hopmq::{Pattern, pattern};
///
/// const CREATED: Pattern = pattern!("order.*.created");
/// assert_eq!(CREATED.as_str(), "order.*.created");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(&'static str);

/// Makes a [`Pattern`] of a literal; one whose `*` or `#` is part of a word does not compile.
///
/// ```compile_fail,E0080
/// let created = hopmq::pattern!("order.*created"); // `*` is a word of its own
/// ```
#[macro_export]
macro_rules! pattern {
    ($pattern:literal) => {
        const {
            match $crate::Pattern::new($pattern) {
                Ok(pattern) => pattern,
                Err(problem) => panic!("{}", problem),
            }
        }
    };
}

impl Pattern {
    /// Checks a pattern; [`pattern!`](crate::pattern) does it while a literal compiles.
    ///
    /// # Errors
    /// What is wrong with it.
    pub const fn new(pattern: &'static str) -> Result<Self, &'static str> {
        if pattern.len() > SHORT_STRING_MAX {
            return Err("the pattern has more than the 255 bytes that AMQP carries");
        }
        // The length of the word so far, and whether a wildcard is in it.
        let (mut len, mut wild) = (0, false);
        let mut rest = pattern.as_bytes();
        while let [first, tail @ ..] = rest {
            if matches!(first, b'.') {
                (len, wild) = (0, false);
            } else {
                wild = wild || matches!(first, b'*' | b'#');
                len += 1;
                if wild && len > 1 {
                    return Err("`*` and `#` stand for whole words: put dots around them");
                }
            }
            rest = tail;
        }
        Ok(Pattern(pattern))
    }

    /// The pattern.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl<K: BoundByPattern> BindingArgument<K> for Pattern {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(self.0)
    }
}

/// Which messages a binding to a headers exchange takes.
///
/// ```
/// use hopmq::Match;
///
/// let reports = Match::all([("format", "pdf"), ("type", "report")]);
/// let urgent = Match::any([("priority", 9)]).header("customer", "vip").present("alarm");
/// # let _ = (reports, urgent);
/// ```
#[derive(Clone, Debug)]
pub struct Match {
    any: bool,
    with_x: bool,
    headers: FieldTable,
    problem: Option<UsageError>,
}

impl Match {
    /// Messages that have all of these headers, with these values.
    pub fn all<N: AsRef<str>, V: Into<Value>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        Match::of(false, headers)
    }

    /// Messages that have one of these headers, with its value.
    pub fn any<N: AsRef<str>, V: Into<Value>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        Match::of(true, headers)
    }

    fn of<N: AsRef<str>, V: Into<Value>>(
        any: bool,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let none = Match { any, with_x: false, headers: FieldTable::new(), problem: None };
        headers.into_iter().fold(none, |matched, (name, value)| matched.header(name, value))
    }

    /// Adds a header, for values of different types.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        let name = name.as_ref();
        if name == "x-match" {
            let problem = "is set by `Match::all` and `Match::any`";
            self.problem.get_or_insert(UsageError::bad("x-match", problem));
        }
        if let Err(error) = self.headers.insert(name, value) {
            self.problem.get_or_insert(UsageError::too_long("header name")(error));
        }
        self
    }

    /// Adds a header that may have any value.
    pub fn present(self, name: impl AsRef<str>) -> Self {
        self.header(name, Value::Void)
    }

    /// Compares headers whose name starts with `x-` too, which the broker skips otherwise.
    pub fn with_x_headers(mut self) -> Self {
        self.with_x = true;
        self
    }

    /// The broker skips such headers in silence.
    fn skipped(&self) -> Option<&ShortString> {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.find(|name| !self.with_x && name.as_str().starts_with("x-"))
    }
}

impl<K: BoundByMatch> BindingArgument<K> for Match {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        if let Some(name) = self.skipped().cloned() {
            let problem = "the broker skips headers that start with `x-`: add `.with_x_headers()`";
            return Err(self
                .problem
                .unwrap_or(UsageError::BadArgument { argument: name, problem }));
        }
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let how = match (self.any, self.with_x) {
            (false, false) => "all",
            (false, true) => "all-with-x",
            (true, false) => "any",
            (true, true) => "any-with-x",
        };
        let mut arguments = self.headers;
        arguments.insert("x-match", how).map_err(UsageError::too_long("header name"))?;
        Ok((ShortString::EMPTY, arguments.encode()))
    }
}

/// The share that a binding to a consistent hash exchange gets: from 1 to 10,000.
///
/// ```
/// use hopmq::Weight;
///
/// assert!(Weight::new(20).is_some());
/// assert!(Weight::new(10_001).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(NonZeroU16);

impl Weight {
    /// One share.
    pub const ONE: Self = Weight(NonZeroU16::MIN);

    /// That many shares; `None` for what the broker refuses.
    pub const fn new(shares: u16) -> Option<Self> {
        match NonZeroU16::new(shares) {
            Some(shares) if shares.get() <= 10_000 => Some(Weight(shares)),
            _ => None,
        }
    }
}

impl BindingArgument<ConsistentHash> for Weight {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(&self.0.to_string())
    }
}

impl BindingArgument<Internal<ConsistentHash>> for Weight {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        key_alone(&self.0.to_string())
    }
}

/// A key with arguments, for the exchanges of plugins. **An escape**: nothing is checked but
/// lengths.
///
/// ```
/// use hopmq::RawBinding;
///
/// let binding = RawBinding::key("europe").argument("x-region", 7);
/// # let _ = binding;
/// ```
#[derive(Clone, Debug)]
pub struct RawBinding {
    key: Result<ShortString, UsageError>,
    arguments: FieldTable,
    problem: Option<UsageError>,
}

impl RawBinding {
    /// A binding under this key, which may be empty.
    pub fn key(key: impl AsRef<str>) -> Self {
        let key = ShortString::new(key.as_ref()).map_err(UsageError::too_long("binding key"));
        RawBinding { key, arguments: FieldTable::new(), problem: None }
    }

    /// Adds an argument.
    pub fn argument(mut self, name: impl AsRef<str>, value: impl Into<Value>) -> Self {
        if let Err(error) = self.arguments.insert(name.as_ref(), value) {
            self.problem.get_or_insert(UsageError::too_long("argument name")(error));
        }
        self
    }

    fn parts(self) -> Result<(ShortString, Bytes), UsageError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok((self.key?, self.arguments.encode())),
        }
    }
}

impl BindingArgument<Plugin> for RawBinding {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        self.parts()
    }
}

impl BindingArgument<Internal<Plugin>> for RawBinding {
    fn into_parts(self) -> Result<(ShortString, Bytes), UsageError> {
        self.parts()
    }
}

impl Sealed for Pattern {}
impl Sealed for Match {}
impl Sealed for Weight {}
impl Sealed for RawBinding {}

/// What a binding leads to: a [`Queue`], or an [`Exchange`] with a name (a RabbitMQ extension,
/// <https://www.rabbitmq.com/docs/e2e>).
#[diagnostic::on_unimplemented(
    message = "a binding does not lead to `{Self}`",
    label = "not a queue and not an exchange with a name",
    note = "first write `let inbox = chan.declare(Queue::quorum(\"inbox\")).await?;`",
    note = "then `chan.bind(&inbox, &orders, \"order.*.created\").await?`: the receiver first, then the exchange"
)]
pub trait BindingTarget: Sealed {
    /// Its name, if it can be used on the connection with that number.
    #[doc(hidden)]
    fn target(&self, realm: &Arc<Realm>, connection: u64) -> Result<ShortString, UsageError>;

    /// queue.bind or exchange.bind
    #[doc(hidden)]
    fn bind(spec: BindingSpec) -> Request;

    /// queue.unbind or exchange.unbind
    #[doc(hidden)]
    fn unbind(spec: BindingSpec) -> Request;
}

impl<K: QueueKind> Sealed for Queue<K> {}

impl<K: QueueKind> BindingTarget for Queue<K> {
    fn target(&self, realm: &Arc<Realm>, connection: u64) -> Result<ShortString, UsageError> {
        self.check(realm, connection)?;
        Ok(self.short_string())
    }

    fn bind(spec: BindingSpec) -> Request {
        Request::BindQueue(spec)
    }

    fn unbind(spec: BindingSpec) -> Request {
        Request::UnbindQueue(spec)
    }
}

impl<K: ExchangeKind> Sealed for Exchange<K> {}

impl<K: NamedExchange> BindingTarget for Exchange<K> {
    fn target(&self, realm: &Arc<Realm>, _connection: u64) -> Result<ShortString, UsageError> {
        self.check(realm)?;
        Ok(self.short_string())
    }

    fn bind(spec: BindingSpec) -> Request {
        Request::BindExchange(spec)
    }

    fn unbind(spec: BindingSpec) -> Request {
        Request::UnbindExchange(spec)
    }
}

/// The binding from `source` to `target`, if both can be used on the connection with that number.
pub(crate) fn binding<T: BindingTarget + ?Sized, K, B: BindingArgument<K>>(
    target: &T,
    source: &Exchange<K>,
    argument: B,
    realm: &Arc<Realm>,
    connection: u64,
) -> Result<BindingSpec, UsageError> {
    let destination = target.target(realm, connection)?;
    source.check(realm)?;
    let (key, arguments) = argument.into_parts()?;
    Ok(BindingSpec { destination, source: source.short_string(), key, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::{Fanout, Headers, Topic},
        name::Declare,
        proto::Reply,
        wire::RawTable,
    };

    fn realm() -> Arc<Realm> {
        Arc::new(Realm::new("rabbit", "/"))
    }

    fn key<K>(argument: impl BindingArgument<K>) -> Result<String, UsageError> {
        argument.into_parts().map(|(key, _)| key.to_string())
    }

    fn arguments<K>(argument: impl BindingArgument<K>) -> FieldTable {
        RawTable::new(&argument.into_parts().unwrap().1).decode().unwrap()
    }

    #[test]
    fn a_topic_exchange_is_bound_by_a_key_or_pattern() {
        assert_eq!(key::<Topic>("order.#").unwrap(), "order.#");
        assert_eq!(key::<Topic>(&"order.#".to_owned()).unwrap(), "order.#");
        assert_eq!(key::<Internal<Topic>>(Pattern::new("a.*.b").unwrap()).unwrap(), "a.*.b");
        let error = UsageError::NameTooLong { what: "binding key", len: 256 };
        assert_eq!(key::<Topic>("x".repeat(256)), Err(error));
        assert_eq!(key::<Fanout>(()).unwrap(), "");
    }

    #[test]
    fn a_wildcard_is_a_whole_word() {
        for good in ["", "#", "*", "a.*", "*.b.#", "a..b", "#.#"] {
            assert!(Pattern::new(good).is_ok(), "{good}");
        }
        for bad in ["a*", "*a", "a.b#.c", "**", "#*"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_match_says_all_or_any() {
        let all = arguments::<Headers>(Match::all([("format", "pdf")]).present("size"));
        assert_eq!(all.get("x-match"), Some(&"all".into()));
        assert_eq!(all.get("format"), Some(&"pdf".into()));
        assert_eq!(all.get("size"), Some(&Value::Void));
        let any = arguments::<Headers>(Match::any([("x-retry", 1)]).with_x_headers());
        assert_eq!(any.get("x-match"), Some(&"any-with-x".into()));
    }

    #[test]
    fn headers_that_the_broker_would_skip_are_refused() {
        let error = key::<Headers>(Match::all([("x-retry", 1)])).unwrap_err();
        assert!(error.to_string().starts_with("x-retry: the broker skips"), "{error}");
        let error = key::<Headers>(Match::all([("x-match", "some")])).unwrap_err();
        assert!(matches!(error, UsageError::BadArgument { .. }), "{error}");
    }

    #[test]
    fn a_weight_is_a_number_as_text() {
        assert_eq!(key::<ConsistentHash>(Weight::new(20).unwrap()).unwrap(), "20");
        assert_eq!(Weight::new(0), None);
    }

    #[test]
    fn a_plugins_exchange_takes_any_arguments() {
        let binding = RawBinding::key("k").argument("x", true);
        assert_eq!(arguments::<Plugin>(binding).get("x"), Some(&true.into()));
        let error = key::<Plugin>(RawBinding::key("").argument("x".repeat(256), 1));
        assert!(matches!(error, Err(UsageError::NameTooLong { .. })), "{error:?}");
    }

    #[test]
    fn a_binding_leads_to_a_queue_or_an_exchange_of_the_same_broker() {
        let declared = |name: &str| {
            let name = ShortString::new(name).unwrap();
            Reply::Declared { name, messages: 0, consumers: 0 }
        };
        let orders = Exchange::topic("orders").token(&realm(), 1, &Reply::Done);
        let audit = Exchange::fanout("audit").internal().token(&realm(), 1, &Reply::Done);
        let inbox = Queue::quorum("inbox").token(&realm(), 1, &declared("inbox"));
        let spec = binding(&inbox, &orders, "a.b", &realm(), 1).unwrap();
        assert_eq!((spec.destination.as_str(), spec.source.as_str()), ("inbox", "orders"));
        let spec = binding(&audit, &orders, "#", &realm(), 1).unwrap();
        assert_eq!((spec.destination.as_str(), spec.key.as_str()), ("audit", "#"));
        let there = Arc::new(Realm::new("other", "/"));
        assert!(binding(&inbox, &orders, "a", &there, 1).is_err());
    }
}
