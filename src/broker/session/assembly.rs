//! Content that arrives in frames: method, header, body (AMQP 0-9-1 section 2.3.5.2). Memory
//! follows what has arrived and never what was announced.

use bytes::{Bytes, BytesMut};

use super::{Hard, unexpected};
use crate::{
    broker::core::{Body, Content},
    wire::{ContentHeader, MethodFrame, ReplyCode, method::basic},
};

/// Content of one channel that is not complete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Assembly {
    /// The payload of the method frame.
    method: Bytes,
    awaits: Awaits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Awaits {
    Header,
    Body {
        content: Content,
        /// Small pieces that are not in the content yet.
        gathered: BytesMut,
        missing: u64,
    },
}

/// A publish whose content is complete.
#[derive(Debug)]
pub(super) struct Published {
    /// The payload of the method frame.
    pub(super) method: Bytes,
    pub(super) content: Content,
}

impl Assembly {
    /// A publish whose content is to follow.
    pub(super) fn new(method: Bytes) -> Self {
        Assembly { method, awaits: Awaits::Header }
    }

    /// The size of a body that is larger than this broker takes, or nothing.
    /// Takes the header; the content is complete where there is no body.
    pub(super) fn header(self, payload: &[u8], max: usize) -> Result<Step, Hard> {
        let Awaits::Header = self.awaits else {
            return Err(unexpected_content(
                "expected content body, got non content body frame instead",
            ));
        };
        let header = ContentHeader::decode(payload)
            .map_err(|error| Hard::new(ReplyCode::FRAME_ERROR, error, basic::Publish::ID))?;
        if header.class != basic::Publish::ID.class {
            return Err(unexpected_content(format_args!(
                "expected content header for class {}, got one for class {} instead",
                basic::Publish::ID.class,
                header.class
            )));
        }
        if header.body_size > PROTOCOL_MAX {
            return Err(Hard::new(
                ReplyCode::FRAME_ERROR,
                format_args!(
                    "content body size {} exceeds maximum allowed size {PROTOCOL_MAX}",
                    header.body_size
                ),
                basic::Publish::ID,
            ));
        }
        if header.body_size > max as u64 {
            return Ok(Step::TooLarge(header.body_size));
        }
        let content = Content {
            properties: match header.properties {
                [0, 0] => Bytes::from_static(&[0, 0]),
                properties => Bytes::copy_from_slice(properties),
            },
            body: Body::default(),
        };
        Ok(Assembly {
            method: self.method,
            awaits: Awaits::Body { content, gathered: BytesMut::new(), missing: header.body_size },
        }
        .step())
    }

    /// Takes a piece of the body, which ends its frame or not.
    pub(super) fn body(self, piece: Bytes, ends: bool) -> Result<Step, Hard> {
        let Awaits::Body { mut content, mut gathered, missing } = self.awaits else {
            return Err(unexpected_content(
                "expected content header for class 60, got non content header frame instead",
            ));
        };
        // A frame that goes on has at least one more octet: that it is too long shows now, and must,
        // lest it depend on how the octets arrive whether the message is published.
        let size = piece.len() as u64 + u64::from(!ends);
        if size > missing {
            return Err(Hard::new(
                ReplyCode::FRAME_ERROR,
                "content body frame exceeds remaining content size",
                basic::Publish::ID,
            ));
        }
        let missing = missing - piece.len() as u64;
        // A body that drips in must not cost a piece an octet; one that came whole is not copied.
        let is_whole = missing == 0 && content.body.len() == 0 && gathered.is_empty();
        if piece.len() < GATHER_BELOW && !is_whole {
            gathered.extend_from_slice(&piece);
        } else {
            content.body.push(gathered.split().freeze());
            content.body.push(piece);
        }
        if missing == 0 {
            content.body.push(gathered.split().freeze());
        }
        Ok(Assembly { method: self.method, awaits: Awaits::Body { content, gathered, missing } }
            .step())
    }

    /// The error for a method frame in the midst of content.
    pub(super) fn interrupted(&self) -> Hard {
        unexpected_content(match self.awaits {
            Awaits::Header => {
                "expected content header for class 60, got non content header frame instead"
            }
            Awaits::Body { .. } => "expected content body, got non content body frame instead",
        })
    }

    fn step(self) -> Step {
        match self.awaits {
            Awaits::Body { content, missing: 0, .. } => {
                Step::Complete(Published { method: self.method, content })
            }
            _ => Step::More(self),
        }
    }
}

/// What a frame of content leads to.
#[derive(Debug)]
pub(super) enum Step {
    More(Assembly),
    Complete(Published),
    /// The announced size of a body that no queue takes.
    TooLarge(u64),
}

/// A body small enough is copied, so that it does not keep the whole block that was read.
pub(super) fn piece(block: &Bytes, range: std::ops::Range<usize>) -> Bytes {
    if range.len() * 4 < block.len() {
        Bytes::copy_from_slice(block.get(range).unwrap_or_default())
    } else {
        block.slice(range)
    }
}

fn unexpected_content(what: impl std::fmt::Display) -> Hard {
    Hard { method: basic::Publish::ID, ..unexpected(what) }
}

/// Pieces below this are gathered by copying.
const GATHER_BELOW: usize = 2048;

/// RabbitMQ's limit for one message, 512 MiB.
const PROTOCOL_MAX: u64 = 536_870_912;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&[u8]]) -> Body {
        let size: usize = pieces.iter().map(|piece| piece.len()).sum();
        let header = ContentHeader { class: 60, body_size: size as u64, properties: &[0, 0] };
        let header = [&header.encode_fixed()[..], header.properties].concat();
        let mut step = Assembly::new(Bytes::new()).header(&header, size).unwrap();
        for piece in pieces {
            let Step::More(assembly) = step else { panic!("{step:?}") };
            step = assembly.body(Bytes::copy_from_slice(piece), true).unwrap();
        }
        let Step::Complete(published) = step else { panic!("{step:?}") };
        published.content.body
    }

    #[test]
    fn a_body_that_drips_in_costs_no_piece_for_each_octet() {
        let dripped = body(&[b"x".as_slice(); 10_000]);
        assert_eq!(dripped.pieces().count(), 1);
        assert_eq!(dripped.len(), 10_000);
        let (small, large) = ([1; 5].as_slice(), [2; GATHER_BELOW].as_slice());
        let mixed = body(&[small, small, large, small, b"", large, large, small]);
        let octets: Vec<u8> = mixed.pieces().flatten().copied().collect();
        assert_eq!(octets, [small, small, large, small, large, large, small].concat());
        assert_eq!(mixed.pieces().count(), 6);
    }

    #[test]
    fn a_body_in_one_piece_is_not_copied() {
        let header = ContentHeader { class: 60, body_size: 3, properties: &[0, 0] };
        let header = [&header.encode_fixed()[..], header.properties].concat();
        let Ok(Step::More(assembly)) = Assembly::new(Bytes::new()).header(&header, 3) else {
            panic!("the body is awaited");
        };
        let whole = Bytes::from_static(b"abc");
        let Ok(Step::Complete(published)) = assembly.body(whole.clone(), true) else {
            panic!("it is complete");
        };
        let first = published.content.body.pieces().next().map(|piece| piece.as_ptr());
        assert_eq!(first, Some(whole.as_ptr()));
    }
}
