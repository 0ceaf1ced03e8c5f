//! A message on its way into the batch.

use super::*;

/// What became of a publish that was handed over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It is in the batch.
    Yes {
        /// Its delivery tag on a confirming channel, else 0.
        tag: u64,
    },
    /// It has to wait: the socket, the window or the broker's alarm holds it back. The waiter is
    /// woken when it may try again.
    Wait,
}

/// A message to publish, encoded as far as its sender can.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The exchange; empty is the default exchange.
    pub exchange: ShortStr<'a>,
    /// The routing key.
    pub routing_key: ShortStr<'a>,
    /// The broker sends it back when no queue takes it.
    pub mandatory: bool,
    /// The encoded property list.
    pub properties: &'a [u8],
    /// Where in `properties` the eight bytes of the sequence header's value are, if it has one.
    pub sequence_at: Option<usize>,
    /// The body.
    pub body: &'a [Bytes],
    /// On a confirming channel: publish it again after a lost connection, until the broker has
    /// answered.
    pub keep: bool,
}

impl Outgoing<'_> {
    /// A message that is published again.
    pub(in crate::proto) fn of(kept: &Kept) -> Outgoing<'_> {
        Outgoing {
            exchange: kept.exchange.as_short(),
            routing_key: kept.routing_key.as_short(),
            mandatory: kept.mandatory,
            properties: &kept.properties,
            sequence_at: kept.sequence_at,
            body: &kept.body,
            keep: true,
        }
    }

    /// The message as it is kept.
    pub(in crate::proto) fn to_kept(self) -> Box<Kept> {
        Box::new(Kept {
            exchange: ShortString::from_short_lossy(self.exchange),
            routing_key: ShortString::from_short_lossy(self.routing_key),
            mandatory: self.mandatory,
            properties: Bytes::copy_from_slice(self.properties),
            sequence_at: self.sequence_at,
            body: self.body.to_vec(),
        })
    }

    #[inline]
    pub(in crate::proto) fn encode(
        &self,
        batch: &mut Batch,
        channel: u16,
        size: usize,
        tag: u64,
        frame_max: usize,
    ) {
        let publish = crate::wire::method::basic::Publish {
            exchange: self.exchange,
            routing_key: self.routing_key,
            mandatory: self.mandatory,
            immediate: false,
        };
        let start = batch.bytes.len();
        match self.body {
            [one] if one.len() < SPLICE_FROM => {
                let (bytes, frame_max) = (&mut batch.bytes, frame_max as u32);
                encode::publish(bytes, channel, &publish, self.properties, one, frame_max);
            }
            segments => {
                encode::method(&mut batch.bytes, channel, &publish);
                encode::content_header(&mut batch.bytes, channel, size as u64, self.properties);
                for segment in segments {
                    encode_segment(batch, channel, segment, frame_max);
                }
            }
        }
        if let Some(at) = self.sequence_at {
            // The content header frame ends with the properties and one end octet.
            let head = encode::method_len(&publish) + encode::content_header_len(self.properties);
            let value = start + head - 1 - self.properties.len() + at;
            if let Some(value) = batch.bytes.get_mut(value..value + 8) {
                value.copy_from_slice(&tag.to_be_bytes());
            }
        }
    }
}

/// A body segment, as one or several frames; large ones are spliced in uncopied.
fn encode_segment(batch: &mut Batch, channel: u16, segment: &Bytes, frame_max: usize) {
    if segment.len() < SPLICE_FROM {
        return encode::body(&mut batch.bytes, channel, segment, frame_max as u32);
    }
    let most = frame_max - crate::wire::FRAME_OVERHEAD;
    let mut rest = segment.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(most.min(rest.len()));
        let header = frame::header(FrameKind::Body, channel, piece.len() as u32);
        batch.bytes.extend_from_slice(&header);
        batch.append(piece);
        batch.bytes.extend_from_slice(&[crate::wire::FRAME_END]);
    }
}
