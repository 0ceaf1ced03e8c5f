//! A message as it arrived: method, content header and body (AMQP 0-9-1, 2.3.5 and 4.2.6).

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::{ContentHeader, FRAME_END, FrameKind, Method, MethodError, Properties};

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
    /// The announced size of a body that was discarded for being over the limit.
    discarded: Option<u64>,
}

/// The content header payload without class, weight and body size is the property list (4.2.6.1).
const PROPERTIES_AT: usize = 12;

impl Content {
    /// A message that is one slice: ranges are relative to `bytes`, the body goes to its end.
    pub(crate) fn whole(
        bytes: Bytes,
        method_end: usize,
        header: (usize, usize),
        body: usize,
    ) -> Self {
        Content {
            bytes,
            method_end: method_end as u32,
            header: (header.0 as u32, header.1 as u32),
            body: body as u32,
            apart: None,
        }
    }

    /// A message whose pieces came apart.
    pub(crate) fn pieces(
        method: &[u8],
        header: &[u8],
        segments: Vec<Bytes>,
        discarded: Option<u64>,
    ) -> Self {
        let mut bytes = BytesMut::with_capacity(method.len() + header.len());
        bytes.extend_from_slice(method);
        bytes.extend_from_slice(header);
        let end = bytes.len();
        let mut content = Content::whole(bytes.freeze(), method.len(), (method.len(), end), end);
        if !segments.is_empty() || discarded.is_some() {
            content.apart = Some(Box::new(Apart { segments, discarded }));
        }
        content
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
    pub fn body_len(&self) -> usize {
        self.bytes.len() - self.body as usize
            + self.segments().iter().map(Bytes::len).sum::<usize>()
    }

    /// The announced size of the body, when it was over the limit and therefore discarded.
    pub fn discarded(&self) -> Option<u64> {
        self.apart.as_ref()?.discarded
    }

    /// The body, without copying it.
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
    pub fn weight(&self) -> usize {
        self.bytes.len() + self.segments().iter().map(Bytes::len).sum::<usize>()
    }

    /// The body where it came apart, else nothing.
    fn segments(&self) -> &[Bytes] {
        self.apart.as_ref().map_or(&[], |apart| &apart.segments)
    }

    fn properties_range(&self) -> (usize, usize) {
        let (from, to) = self.header;
        ((from as usize + PROPERTIES_AT).min(to as usize), to as usize)
    }
}

/// Takes a message that is whole in `block`: its method frame ended before `after`, header and
/// body follow at once, each in one frame. Gives the message and where it ends.
///
/// Anything unusual gives `None` and goes the long way, through the decoder and the assembly.
pub(super) fn whole_content(
    block: &Bytes,
    method: Range<usize>,
    after: usize,
    channel: u16,
    frame_max: usize,
    body_max: u64,
) -> Option<(Content, usize)> {
    let (header, body_at) = whole_frame(block, after, FrameKind::Header, channel, frame_max)?;
    let fields = ContentHeader::decode(block.get(header.clone())?).ok()?;
    Properties::validate(fields.properties).ok()?;
    let (body, end) = match fields.body_size {
        0 => (header.end..header.end, body_at),
        _ => whole_frame(block, body_at, FrameKind::Body, channel, frame_max)?,
    };
    if body.len() as u64 != fields.body_size || fields.body_size > body_max {
        return None;
    }
    let start = method.start;
    let header = (header.start - start, header.end - start);
    let bytes = block.slice(start..body.end);
    Some((Content::whole(bytes, method.len(), header, body.start - start), end))
}

/// The payload of the frame at `at`, and where the frame ends, when it is whole and as expected.
fn whole_frame(
    block: &[u8],
    at: usize,
    kind: FrameKind,
    channel: u16,
    frame_max: usize,
) -> Option<(Range<usize>, usize)> {
    let head = block.get(at..at + 7)?;
    let [found_kind, c0, c1, s0, s1, s2, s3] = *<&[u8; 7]>::try_from(head).ok()?;
    let size = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
    let expected = found_kind == kind.octet()
        && u16::from_be_bytes([c0, c1]) == channel
        && size <= frame_max.saturating_sub(8);
    let (start, end) = (at + 7, at.checked_add(7)?.checked_add(size)?);
    (expected && block.get(end) == Some(&FRAME_END)).then_some((start..end, end + 1))
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
    pub fn segments(&self) -> &[Bytes] {
        match &self.segments {
            Segments::One(one) => std::slice::from_ref(one),
            Segments::Many(many) => many,
        }
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.segments().iter().map(Bytes::len).sum()
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
