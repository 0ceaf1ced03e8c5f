//! Messages on their way into the outbound batch: one, or many under one lock.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::{
    chan::ChanInner,
    config::Hold,
    error::Error,
    exchange::{Exchange, RouteTo, RoutingKey},
    message::{EncodedProperties, Message},
    proto::{Accepted, CallError, Connection, Encoded, Route, WaiterId},
    usage::UsageError,
    wire::ShortStr,
};

/// Where messages go, how, and what waits for them. Small, for it is moved about on the way: what
/// only few need is kept apart.
pub(crate) struct Handover<'a> {
    pub(crate) chan: &'a Arc<ChanInner>,
    exchange: ShortStr<'a>,
    route: Result<RoutingKey<'a>, Box<UsageError>>,
    pub(crate) mandatory: bool,
    /// On a confirming channel: until the broker has answered.
    pub(crate) keep: bool,
    waiter: Option<WaiterId>,
    waiting: Option<Box<Waiting>>,
}

/// What belongs to a message that has to wait.
#[derive(Default)]
struct Waiting {
    /// How long it may, where that is not the configured time.
    within: Option<Duration>,
    /// Whether it waits for a recovery, where that is not as configured.
    hold: Option<Hold>,
    /// Encoded once, however often it is polled.
    encoded: Option<EncodedProperties>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// How many of many messages were handed over, and what held the next one back.
pub(crate) struct HandedOver {
    /// The tag of the first; the others count on from it.
    pub(crate) first: u64,
    pub(crate) count: usize,
    pub(crate) stopped: Option<Stopped>,
}

/// Why a message was not handed over.
pub(crate) enum Stopped {
    Waits,
    Refused(CallError),
    Misused(UsageError),
}

/// What is said of the way, the same for one message and for many.
macro_rules! options {
    ($name:ident $(<$messages:ident>)?) => {
        impl$(<$messages: Iterator>)? $name<'_ $(, $messages)?> {
            /// The broker sends the message back when no queue takes it (1.8.3.3).
            pub fn mandatory(mut self) -> Self {
                self.handover.mandatory = true;
                self
            }

            /// Waits this long for room, instead of the configured time.
            pub fn within(mut self, deadline: std::time::Duration) -> Self {
                self.handover.within(deadline);
                self
            }

            /// What it does when the connection is being recovered, instead of what is
            /// [configured](crate::Config::while_recovering): waits for it, or fails at once.
            pub fn while_recovering(mut self, hold: crate::Hold) -> Self {
                self.handover.while_recovering(hold);
                self
            }
        }
    };
}
pub(crate) use options;

impl<'a> Handover<'a> {
    #[inline]
    pub(crate) fn new<X>(
        chan: &'a Arc<ChanInner>,
        exchange: &'a Exchange<X>,
        route: impl RouteTo<'a, X>,
    ) -> Self {
        let realm = chan.realm();
        let route = exchange.check(realm).and_then(|()| route.into_key(realm));
        Handover {
            exchange: exchange.short(),
            route: route.map_err(Box::new),
            mandatory: false,
            keep: false,
            waiter: None,
            waiting: None,
            chan,
        }
    }

    pub(crate) fn within(&mut self, deadline: Duration) {
        self.waiting.get_or_insert_default().within = Some(deadline);
    }

    pub(crate) fn while_recovering(&mut self, hold: Hold) {
        self.waiting.get_or_insert_default().hold = Some(hold);
    }

    /// `None` when it is not one.
    pub(crate) fn routing_key(&self) -> Option<&str> {
        self.route.as_ref().ok()?.as_short().to_str().ok()
    }

    /// Hands one message over, and gives its tag.
    #[inline]
    pub(crate) fn poll(
        &mut self,
        message: &Message,
        confirming: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, Error>> {
        let with_sequence = self.mandatory && confirming;
        if let Some(properties) = message.frequent(with_sequence) {
            return self.poll_encoded(message, properties, confirming, cx);
        }
        let encoded = match self.waiting.as_mut().and_then(|waiting| waiting.encoded.take()) {
            Some(encoded) => encoded,
            None => message.encoded(with_sequence)?,
        };
        let polled = self.poll_encoded(message, encoded.parts(), confirming, cx);
        if polled.is_pending() {
            self.waiting.get_or_insert_default().encoded = Some(encoded);
        }
        polled
    }

    fn poll_encoded(
        &mut self,
        message: &Message,
        properties: (&[u8], Option<usize>),
        confirming: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<u64, Error>> {
        let (handle, key) = (&self.chan.handle, self.chan.key);
        let route = Route {
            exchange: self.exchange,
            routing_key: current(&mut self.route)?,
            mandatory: self.mandatory,
            keep: self.keep && confirming,
        };
        let message = encoded(message, properties);
        if !handle.surely_fits(&message) {
            handle.check_size(handle.look(Connection::frame_max), &message)?;
        }
        match handle.poll_publish(key, &route, &message, &mut self.waiter, cx) {
            Ok(Accepted::Yes { tag }) => Poll::Ready(Ok(tag)),
            Ok(Accepted::Wait) => self.poll_wait(cx).map(Err),
            Err(error) => Poll::Ready(Err(handle.error(error))),
        }
    }

    /// Hands messages over under one lock, in order, until one is not: so give it few at a time.
    ///
    /// # Errors
    /// When none can be, because their exchange or routing key is none for this connection.
    pub(crate) fn hand_over<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m Message>,
        confirming: bool,
        cx: &mut Context<'_>,
    ) -> Result<HandedOver, Error> {
        let ChanInner { handle, key, confirmed_below } = &**self.chan;
        let mut list = self.waiting.as_mut().and_then(|waiting| waiting.encoded.take());
        let route = Route {
            exchange: self.exchange,
            routing_key: current(&mut self.route)?,
            mandatory: self.mandatory,
            keep: self.keep && confirming,
        };
        let with_sequence = self.mandatory && confirming;
        let mut handed = HandedOver { first: 0, count: 0, stopped: None };
        handle.publishing(&mut self.waiter, cx, |connection, waiter| {
            let mut publishing = match connection.publishing(*key, &route) {
                Ok(publishing) => publishing,
                Err(error) => return handed.stopped = Some(error.into()),
            };
            for message in messages {
                let mut hand_over = || {
                    let properties = match (message.frequent(with_sequence), &mut list) {
                        (Some(properties), _) => properties,
                        (None, Some(list)) => list.parts(),
                        (None, none) => none.insert(message.encoded(with_sequence)?).parts(),
                    };
                    let message = encoded(message, properties);
                    if !handle.surely_fits(&message) {
                        handle.check_size(publishing.frame_max(), &message)?;
                    }
                    match publishing.publish(&message, || handle.now(), waiter) {
                        Accepted::Yes { tag } => Ok(tag),
                        Accepted::Wait => Err(Stopped::Waits),
                    }
                };
                match hand_over() {
                    Ok(tag) if handed.count == 0 => handed.first = tag,
                    Ok(_) => {}
                    Err(stopped) => {
                        handed.stopped = Some(stopped);
                        break;
                    }
                }
                handed.count += 1;
                list = None;
            }
            if confirming {
                confirmed_below.fetch_max(connection.confirmed_below(*key), Ordering::Relaxed);
            }
        });
        if handed.count > 0
            && let Some(waiting) = &mut self.waiting
        {
            // The next one waits for a time of its own.
            waiting.deadline = None;
        }
        self.keep_encoded(list);
        Ok(handed)
    }

    /// Waits for room, of which the waiter is told: ready when there is nothing to wait for.
    #[cold]
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let handle = &self.chan.handle;
        if handle.config().while_blocked == Hold::FailFast
            && let Some(reason) = handle.look(|connection| connection.blocked().cloned())
        {
            return Poll::Ready(Error::Blocked { reason });
        }
        let hold = self.waiting.as_ref().and_then(|waiting| waiting.hold);
        if let Some(refusal) = handle.refusal(hold) {
            return Poll::Ready(refusal);
        }
        let waiting = self.waiting.get_or_insert_default();
        let after = waiting.within.unwrap_or_else(|| handle.call_timeout());
        let deadline = waiting.deadline.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Error::Timeout { operation: "room to publish", after })
    }

    /// Of the message that waits.
    fn keep_encoded(&mut self, encoded: Option<EncodedProperties>) {
        if encoded.is_some() {
            self.waiting.get_or_insert_default().encoded = encoded;
        }
    }
}

/// The routing key as it is now: a queue may have a new name since the last poll.
#[inline]
fn current<'r>(
    route: &'r mut Result<RoutingKey<'_>, Box<UsageError>>,
) -> Result<ShortStr<'r>, UsageError> {
    match route {
        Ok(key) => {
            key.refresh();
            Ok(key.as_short())
        }
        Err(error) => Err(UsageError::clone(error)),
    }
}

#[inline]
fn encoded<'m>(
    message: &'m Message,
    (properties, sequence_at): (&'m [u8], Option<usize>),
) -> Encoded<'m> {
    Encoded { properties, sequence_at, body: message.body().segments() }
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        Stopped::Refused(error)
    }
}

impl From<UsageError> for Stopped {
    fn from(error: UsageError) -> Self {
        Stopped::Misused(error)
    }
}

impl Drop for Handover<'_> {
    fn drop(&mut self) {
        self.chan.handle.forget(self.waiter);
    }
}

impl fmt::Debug for Handover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("exchange", &self.exchange)
            .field("mandatory", &self.mandatory)
            .finish_non_exhaustive()
    }
}
