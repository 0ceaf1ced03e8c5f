//! Content that arrives in frames: method, header, body (AMQP 0-9-1 section 2.3.5.2). Memory
//! follows what has arrived and never what was announced.

use bytes::Bytes;

use super::{Hard, unexpected};
use crate::{
    broker::core::{Body, Content},
    wire::{ContentHeader, MethodFrame, ReplyCode, method::basic},
};

/// Content of one channel that is not complete.
#[derive(Clone, Debug)]
pub(super) struct Assembly {
    /// The payload of the method frame.
    method: Bytes,
    awaits: Awaits,
}

#[derive(Clone, Debug)]
enum Awaits {
    Header,
    Body { content: Content, missing: u64 },
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
            awaits: Awaits::Body { content, missing: header.body_size },
        }
        .step())
    }

    /// Takes a piece of the body, which ends its frame or not.
    pub(super) fn body(self, piece: Bytes, ends: bool) -> Result<Step, Hard> {
        let Awaits::Body { mut content, missing } = self.awaits else {
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
        content.body.push(piece);
        Ok(Assembly { method: self.method, awaits: Awaits::Body { content, missing } }.step())
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
            Awaits::Body { content, missing: 0 } => {
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

/// RabbitMQ's limit for one message, 512 MiB.
const PROTOCOL_MAX: u64 = 536_870_912;
