//! Content assembly for one channel, in either role (AMQP 0-9-1, 4.2.6).
//!
//! Memory follows the bytes that arrived, never what was announced. A body over the limit is
//! discarded while it streams.

use bytes::{Bytes, BytesMut};

use super::{Content, Discarded, Limits, Violation};
use crate::wire::{ContentHeader, Properties};

/// Body frames without a byte cost their sender nothing; more than this in one message is a flood.
const EMPTY_FRAMES_MAX: u32 = 64;

/// Pieces below this are gathered by copying: a body that drips in must not cost a segment a byte, nor
/// a block for each piece.
const GATHER_BELOW: usize = 8 * 1024;

/// What a channel awaits of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Assembly {
    /// A method.
    #[default]
    Idle,
    /// The content header of this method.
    AwaitHeader {
        /// The method payload.
        method: Bytes,
    },
    /// More of the body. Boxed: most channels never see a message come apart.
    AwaitBody(Box<Partial>),
}

/// A message of which the body is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Partial {
    /// The payloads of method and content header.
    head: Bytes,
    method_end: usize,
    segments: Vec<Bytes>,
    gathered: BytesMut,
    remaining: u64,
    empty_frames: u32,
    discarded: Option<Discarded>,
}

impl Partial {
    fn push(&mut self, piece: Bytes) {
        if piece.len() < GATHER_BELOW {
            self.gathered.extend_from_slice(&piece);
        } else {
            self.flush();
            self.segments.push(piece);
        }
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            self.segments.push(self.gathered.split().freeze());
        }
    }
}

impl Assembly {
    /// A method that carries content arrived.
    ///
    /// # Errors
    /// When the content of an earlier method is not complete.
    pub fn method(&mut self, channel: u16, method: Bytes) -> Result<(), Violation> {
        self.expect_idle(channel, "a method")?;
        // Copied: a message that takes its time must not keep its block.
        *self = Assembly::AwaitHeader { method: Bytes::copy_from_slice(&method) };
        Ok(())
    }

    /// Checks that no content is awaited.
    ///
    /// # Errors
    /// When it is.
    pub fn expect_idle(&self, channel: u16, found: &'static str) -> Result<(), Violation> {
        match self {
            Assembly::Idle => Ok(()),
            other => Err(other.unexpected(channel, found)),
        }
    }

    /// A content header arrived; gives the message when it has no body.
    ///
    /// # Errors
    /// When no header was awaited or it is malformed.
    pub fn header(
        &mut self,
        channel: u16,
        payload: Bytes,
        limits: &Limits,
    ) -> Result<Option<Content>, Violation> {
        let Assembly::AwaitHeader { method } = std::mem::take(self) else {
            return Err(self.unexpected(channel, "a content header"));
        };
        let header =
            ContentHeader::decode(&payload).map_err(|_| Violation::ContentHeader(channel))?;
        Properties::validate(header.properties).map_err(|_| Violation::ContentHeader(channel))?;
        let (size, properties) = (header.body_size, header.properties.len());
        let (discarded, kept) = if properties > limits.header_bytes {
            (Some(Discarded::Headers(properties as u64)), 0)
        } else if size > limits.body_bytes {
            (Some(Discarded::Body(size)), payload.len())
        } else {
            (None, payload.len())
        };
        // Copied for the same reason, and for the last time.
        let head = Bytes::from([&method, payload.get(..kept).unwrap_or_default()].concat());
        let method_end = method.len();
        if size == 0 {
            return Ok(Some(Content::apart(head, method_end, Vec::new(), discarded)));
        }
        *self = Assembly::AwaitBody(Box::new(Partial {
            head,
            method_end,
            segments: Vec::new(),
            gathered: BytesMut::new(),
            remaining: size,
            empty_frames: 0,
            discarded,
        }));
        Ok(None)
    }

    /// A piece of a body arrived, which ends its frame or not; gives the message when it is the last.
    ///
    /// # Errors
    /// When no body was awaited, or less of it.
    pub fn body(
        &mut self,
        channel: u16,
        piece: Bytes,
        ends: bool,
    ) -> Result<Option<Content>, Violation> {
        let Assembly::AwaitBody(partial) = self else {
            return Err(self.unexpected(channel, "a body"));
        };
        // A frame that goes on has at least one more octet: that it is too long shows now, and
        // must, lest it depend on how the octets arrive whether the message is delivered.
        let size = piece.len() as u64 + u64::from(!ends);
        if size > partial.remaining {
            return Err(Violation::BodyTooLong(channel));
        }
        partial.remaining -= piece.len() as u64;
        if piece.is_empty() {
            partial.empty_frames += 1;
            if partial.empty_frames > EMPTY_FRAMES_MAX {
                return Err(Violation::Flood("empty body frames"));
            }
        } else if partial.discarded.is_none() {
            partial.push(piece);
        }
        if partial.remaining > 0 {
            return Ok(None);
        }
        let Assembly::AwaitBody(mut done) = std::mem::take(self) else { return Ok(None) };
        done.flush();
        let Partial { head, method_end, segments, discarded, .. } = *done;
        Ok(Some(Content::apart(head, method_end, segments, discarded)))
    }

    fn unexpected(&self, channel: u16, found: &'static str) -> Violation {
        let awaited = match self {
            Assembly::Idle => "a method",
            Assembly::AwaitHeader { .. } => "a content header",
            Assembly::AwaitBody(_) => "a body",
        };
        Violation::UnexpectedContent { channel, found, awaited }
    }
}
