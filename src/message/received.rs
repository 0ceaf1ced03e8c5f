//! A message as it came in.

use std::{borrow::Cow, fmt, sync::OnceLock};

use super::{Message, MessageProperties};
use crate::{
    proto::{Arrival, Body, Content, Marks},
    wire::{Method, ShortStr, TableLimits, properties::RawProperties},
};

/// A message that the broker sent: body, properties, and how it came.
///
/// Until it is dropped it keeps the read buffer that it arrived in; [`Body::detach`] copies a body
/// that is to be kept for long.
#[repr(C)] // See `Marks`.
pub struct Received {
    content: Content,
    marks: Marks,
    /// Of its headers.
    limits: TableLimits,
    /// Decoded when they are first asked for.
    properties: OnceLock<Box<MessageProperties>>,
}

impl Received {
    #[inline]
    pub(crate) fn new(arrival: Arrival, limits: TableLimits) -> Self {
        Received::from_content(arrival.content, arrival.marks, limits)
    }

    #[inline]
    pub(crate) fn from_content(content: Content, marks: Marks, limits: TableLimits) -> Self {
        Received { content, marks, limits, properties: OnceLock::new() }
    }

    /// The body, without a copy.
    pub fn body(&self) -> Body {
        self.content.clone().into_body()
    }

    /// The body where it is in one piece, as it mostly is when it fits one frame; else `None`.
    #[inline]
    pub fn contiguous_body(&self) -> Option<&[u8]> {
        self.content.contiguous_body()
    }

    /// The body, and nothing else.
    #[inline]
    pub fn into_body(self) -> Body {
        self.content.into_body()
    }

    /// The size of the body in bytes.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.content.body_len()
    }

    /// The properties.
    pub fn properties(&self) -> &MessageProperties {
        let decode = || MessageProperties::new(self.content.properties(), self.limits);
        self.properties.get_or_init(|| Box::new(decode()))
    }

    /// The properties as they came in, for who looks at one of them alone.
    pub(crate) fn raw_properties(&self) -> RawProperties<'_> {
        // The list was validated when the content header arrived.
        RawProperties::decode(self.content.raw_properties()).unwrap_or_default()
    }

    /// The exchange that it was published to; empty for the default exchange.
    pub fn exchange(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.route().0.as_bytes())
    }

    /// The routing key that it was published with.
    pub fn routing_key(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.route().1.as_bytes())
    }

    /// Whether it may have been delivered before, to this consumer or another.
    pub fn is_redelivered(&self) -> bool {
        self.marks.redelivered()
    }

    /// How often it was returned to the queue before, where the queue counts: quorum queues do
    /// (<https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling>).
    pub fn delivery_count(&self) -> Option<u64> {
        self.properties().header("x-delivery-count")?.as_u64()
    }

    /// Its offset in the stream it was read from.
    pub fn stream_offset(&self) -> Option<u64> {
        self.properties().header("x-stream-offset")?.as_u64()
    }

    /// The same message, to be published again: without the user id, which names another
    /// connection's user.
    pub fn into_message(self) -> Message {
        Message::from_content(self.content)
    }

    /// [`Received::into_message`] of a copy, which shares the body.
    pub fn to_message(&self) -> Message {
        Message::from_content(self.content.clone())
    }

    /// Exchange and routing key, from the method that brought it.
    fn route(&self) -> (ShortStr<'_>, ShortStr<'_>) {
        match self.content.method() {
            Ok(Method::BasicDeliver(method)) => (method.exchange, method.routing_key),
            Ok(Method::BasicGetOk(method)) => (method.exchange, method.routing_key),
            Ok(Method::BasicReturn(method)) => (method.exchange, method.routing_key),
            _ => (ShortStr::empty(), ShortStr::empty()),
        }
    }
}

impl fmt::Debug for Received {
    /// Without the body, which may be large or secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("redelivered", &self.marks.redelivered())
            .field("body_len", &self.body_len())
            .finish_non_exhaustive()
    }
}

impl From<Received> for Message {
    fn from(received: Received) -> Self {
        received.into_message()
    }
}
