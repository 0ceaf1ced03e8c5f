//! A message as it arrived: method, content header and body (AMQP 0-9-1, 2.3.5 and 4.2.6).

use bytes::{Buf, Bytes};

use crate::wire::{Method, MethodError, Properties, WholeDelivery};

/// A method with its content, kept as it came in.
///
/// A message that arrived in one piece is one slice of the read buffer: one reference count for
/// method, header and body together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// The method payload at the start, the content header payload at `header`, the body from
    /// `body` on unless it came in several pieces.
    bytes: Bytes,
    method_end: u32,
    header: (u32, u32),
    body: u32,
    /// Boxed, so that the many messages that came in one piece stay small.
    apart: Option<Box<Apart>>,
}

/// What only a message has whose pieces came apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Apart {
    segments: Vec<Bytes>,
    discarded: Option<Discarded>,
}

/// What of a message was over its limit, so that the message was discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discarded {
    /// The body, of this announced size: method and properties are there.
    Body(u64),
    /// The property list, of this size: only the method is there.
    Headers(u64),
}

/// Blocks of up to 120 KiB are read: what is smaller than this can pin much more than its own size.
const SMALL: usize = 32 * 1024;

/// The content header payload without class, weight and body size is the property list (4.2.6.1).
const PROPERTIES_AT: usize = 12;

impl Content {
    /// A message that is whole in its block, and becomes one slice of it.
    #[inline]
    pub(crate) fn whole(block: &Bytes, found: &WholeDelivery<'_>) -> Self {
        let start = found.method.start;
        let relative = |at: usize| (at - start) as u32;
        Content {
            bytes: block.slice(start..found.body.end),
            method_end: relative(found.method.end),
            header: (relative(found.header.start), relative(found.header.end)),
            body: relative(found.body.start),
            apart: None,
        }
    }

    /// A message whose pieces came apart: of `head` the method is the first part, the rest is the
    /// content header.
    pub(crate) fn apart(
        head: Bytes,
        method_end: usize,
        segments: Vec<Bytes>,
        discarded: Option<Discarded>,
    ) -> Self {
        let (method_end, end) = (method_end as u32, head.len() as u32);
        let came_apart = !segments.is_empty() || discarded.is_some();
        Content {
            bytes: head,
            method_end,
            header: (method_end, end),
            body: end,
            apart: came_apart.then(|| Box::new(Apart { segments, discarded })),
        }
    }

    /// The method that carried the content.
    ///
    /// # Errors
    /// When the payload is malformed; content that the connection hands out was decoded before.
    pub fn method(&self) -> Result<Method<'_>, MethodError> {
        Method::decode(self.bytes.get(..self.method_end as usize).unwrap_or_default())
    }

    /// The property list, as it came in.
    pub fn raw_properties(&self) -> &[u8] {
        let (from, to) = self.properties_range();
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// The properties. Their header table is decoded only when asked for.
    pub fn properties(&self) -> Properties {
        let (from, to) = self.properties_range();
        let raw = if from < to { self.bytes.slice(from..to) } else { Bytes::new() };
        // The list was validated when the content header arrived.
        Properties::decode(raw).unwrap_or_default()
    }

    /// The size of the body in bytes.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.bytes.len() - self.body as usize
            + self.segments().iter().map(Bytes::len).sum::<usize>()
    }

    /// The announced size of the body, when it was over the limit and therefore discarded.
    #[inline]
    pub fn discarded(&self) -> Option<Discarded> {
        self.apart.as_ref()?.discarded
    }

    /// The body, without copying it.
    #[inline]
    pub fn into_body(self) -> Body {
        let Content { mut bytes, body, apart, .. } = self;
        match apart {
            Some(apart) if !apart.segments.is_empty() => Body::from_segments(apart.segments),
            _ => {
                bytes.advance((body as usize).min(bytes.len()));
                Body::from(bytes)
            }
        }
    }

    /// The body where it is one piece, else `None`.
    #[inline]
    pub fn contiguous_body(&self) -> Option<&[u8]> {
        match self.segments() {
            [] => self.bytes.get(self.body as usize..),
            [one] => Some(one),
            _ => None,
        }
    }

    /// The segments of the body, in order.
    pub fn body_segments(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.bytes.get(self.body as usize..).unwrap_or_default();
        std::iter::once(first)
            .chain(self.segments().iter().map(Bytes::as_ref))
            .filter(|segment| !segment.is_empty())
    }

    /// The memory that the message holds on to, for bounds.
    #[inline]
    pub fn weight(&self) -> usize {
        self.bytes.len() + total(self.segments())
    }

    /// Copies its small parts, so that they do not pin what they were read in. A large one pins a few
    /// times its own size at most.
    pub fn detach_small(&mut self) {
        let segments = self.apart.iter_mut().flat_map(|apart| &mut apart.segments);
        for part in std::iter::once(&mut self.bytes).chain(segments) {
            if part.len() < SMALL {
                *part = Bytes::copy_from_slice(part);
            }
        }
    }

    /// The body where it came apart, else nothing.
    #[inline]
    fn segments(&self) -> &[Bytes] {
        self.apart.as_ref().map_or(&[], |apart| &apart.segments)
    }

    fn properties_range(&self) -> (usize, usize) {
        let (from, to) = self.header;
        ((from as usize + PROPERTIES_AT).min(to as usize), to as usize)
    }
}

/// The size of all segments, of which there is one as a rule.
#[inline]
pub(in crate::proto) fn total(segments: &[Bytes]) -> usize {
    match segments {
        [one] => one.len(),
        several => several.iter().map(Bytes::len).sum(),
    }
}

/// A message body: one or several segments of bytes.
///
/// A received body is a slice of the read buffer (64 KiB and more); while it lives, that buffer
/// does. [`Body::detach`] copies it out, for whoever keeps small bodies for long.
///
/// ```
/// use hopmq::proto::Body;
/// let body = Body::from_segments(vec!["one ".into(), "message".into()]);
/// assert_eq!(body.len(), 11);
/// assert_eq!(body.into_bytes(), "one message");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Body {
    segments: Segments,
}

#[derive(Clone, Debug)]
enum Segments {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Default for Segments {
    fn default() -> Self {
        Segments::One(Bytes::new())
    }
}

impl Body {
    /// A body of several segments.
    pub fn from_segments(mut segments: Vec<Bytes>) -> Self {
        segments.retain(|segment| !segment.is_empty());
        let segments = match segments.len() {
            0 | 1 => Segments::One(segments.pop().unwrap_or_default()),
            _ => Segments::Many(segments),
        };
        Body { segments }
    }

    /// The segments, in order.
    #[inline]
    pub fn segments(&self) -> &[Bytes] {
        match &self.segments {
            Segments::One(one) => std::slice::from_ref(one),
            Segments::Many(many) => many,
        }
    }

    /// The size in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        total(self.segments())
    }

    /// Whether the body is empty.
    pub fn is_empty(&self) -> bool {
        self.segments().iter().all(Bytes::is_empty)
    }

    /// The body as one piece: free of charge for one segment, a copy for several.
    pub fn into_bytes(self) -> Bytes {
        match self.segments {
            Segments::One(one) => one,
            Segments::Many(many) => many.concat().into(),
        }
    }

    /// A copy that shares no memory with the read buffer.
    pub fn detach(&self) -> Body {
        Body::from(Bytes::from(self.segments().concat()))
    }
}

impl From<Bytes> for Body {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Body { segments: Segments::One(bytes) }
    }
}

impl PartialEq for Body {
    /// Two bodies are equal when their bytes are, however they are cut.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.segments().iter().flatten().eq(other.segments().iter().flatten())
    }
}

impl Eq for Body {}
