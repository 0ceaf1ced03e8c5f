//! What goes out before the body of a message. Most messages of a channel go where the one before
//! went, with the same properties: then it is copied in one piece.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Batch, Encoded, Route, SPLICE_FROM};
use crate::wire::{
    ContentHeader, FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, FrameKind, ShortStr, encode,
    frame::{self, FRAME_HEADER_SIZE},
    method::basic,
};

/// The largest body that fits one frame of any size.
const ONE_FRAME: usize = FRAME_MIN_SIZE as usize - FRAME_OVERHEAD;

/// Where basic.publish has its exchange: behind the frame's header, the method's id, a reserved field
/// and the length (1.8.3.3).
const EXCHANGE_AT: usize = FRAME_HEADER_SIZE + 4 + 2 + 1;

/// The method, and then the content header and the header of the body's one frame as they last went
/// out.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    bytes: BytesMut,
    /// In which the next one is put together.
    spare: BytesMut,
    channel: u16,
    mandatory: bool,
    /// The length of its name.
    exchange: u8,
    /// Its length.
    routing_key: u8,
    /// Where in `bytes` the content header's frame begins.
    header_at: usize,
    /// The length of the body that it was for.
    body: usize,
}

impl Head {
    /// The next messages go there. None go on channel 0, where a new head is.
    #[inline]
    pub(super) fn turn_to(&mut self, channel: u16, route: &Route<'_>) {
        let but_for_the_key = self.channel == channel
            && self.mandatory == route.mandatory
            && same(self.exchange(), route.exchange.as_bytes());
        if !(but_for_the_key && same(self.routing_key(), route.routing_key.as_bytes())) {
            self.turn(channel, route, but_for_the_key);
        }
    }

    /// Where the next messages go, to be kept.
    pub(super) fn route(&self) -> Route<'_> {
        Route {
            exchange: ShortStr::from_bytes(self.exchange()).unwrap_or_default(),
            routing_key: ShortStr::from_bytes(self.routing_key()).unwrap_or_default(),
            mandatory: self.mandatory,
            keep: true,
        }
    }

    #[inline(always)]
    fn exchange(&self) -> &[u8] {
        self.bytes.get(EXCHANGE_AT..EXCHANGE_AT + usize::from(self.exchange)).unwrap_or_default()
    }

    #[inline(always)]
    fn routing_key(&self) -> &[u8] {
        self.bytes.get(self.key_at()).unwrap_or_default()
    }

    /// Where in `bytes` the routing key is: behind the exchange and its own length.
    #[inline(always)]
    fn key_at(&self) -> Range<usize> {
        let at = EXCHANGE_AT + usize::from(self.exchange) + 1;
        at..at + usize::from(self.routing_key)
    }

    fn turn(&mut self, channel: u16, route: &Route<'_>, but_for_the_key: bool) {
        let Route { exchange, routing_key, mandatory, .. } = *route;
        let key_at = self.key_at();
        // Keys often differ in a number at most, and have one length.
        if but_for_the_key
            && key_at.len() == routing_key.len()
            && let Some(key) = self.bytes.get_mut(key_at)
        {
            return key.copy_from_slice(routing_key.as_bytes());
        }
        let publish = basic::Publish { exchange, routing_key, mandatory, immediate: false };
        self.spare.clear();
        encode::method(&mut self.spare, channel, &publish);
        let header_at = self.spare.len();
        if self.channel == channel {
            // What is behind the method stays as it is: where only the key changes, that is all.
            self.spare.extend_from_slice(self.bytes.get(self.header_at..).unwrap_or_default());
        }
        std::mem::swap(&mut self.bytes, &mut self.spare);
        self.header_at = header_at;
        (self.channel, self.mandatory) = (channel, mandatory);
        (self.exchange, self.routing_key) = (exchange.len() as u8, routing_key.len() as u8);
    }

    /// Appends a message. Its tag goes into its sequence header, if it has one.
    #[inline]
    pub(super) fn append(
        &mut self,
        batch: &mut Batch,
        message: &Encoded<'_>,
        tag: u64,
        frame_max: usize,
    ) {
        let start = batch.bytes.len();
        match message.body {
            [body] if (1..=ONE_FRAME).contains(&body.len()) => {
                self.append_small(&mut batch.bytes, message.properties, body);
            }
            _ => self.append_large(batch, message, frame_max),
        }
        if let Some(at) = message.sequence_at {
            let value = start + self.properties_at() + at;
            if let Some(value) = batch.bytes.get_mut(value..value + 8) {
                value.copy_from_slice(&tag.to_be_bytes());
            }
        }
    }

    #[inline]
    fn append_small(&mut self, bytes: &mut BytesMut, properties: &[u8], body: &[u8]) {
        // Behind the properties are the end of their frame and the header of the next.
        let end = self.bytes.len().saturating_sub(1 + FRAME_HEADER_SIZE);
        let own = self.bytes.get(self.properties_at()..end).unwrap_or_default();
        if !same(own, properties) {
            self.renew(properties, body.len());
        } else if self.body != body.len() {
            self.resize(body.len());
        }
        bytes.reserve(self.bytes.len() + body.len() + 1);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(&[FRAME_END]);
    }

    /// A message whose body takes several frames, or none.
    fn append_large(&self, batch: &mut Batch, message: &Encoded<'_>, frame_max: usize) {
        let method = self.bytes.get(..self.header_at).unwrap_or_default();
        batch.bytes.extend_from_slice(method);
        let size = message.size() as u64;
        encode::content_header(&mut batch.bytes, self.channel, size, message.properties);
        for segment in message.body {
            append_segment(batch, self.channel, segment, frame_max);
        }
    }

    #[inline(always)]
    fn properties_at(&self) -> usize {
        self.header_at + FRAME_HEADER_SIZE + ContentHeader::PROPERTIES_AT
    }

    /// The next messages have these properties.
    fn renew(&mut self, properties: &[u8], body: usize) {
        self.bytes.truncate(self.header_at);
        encode::content_header(&mut self.bytes, self.channel, body as u64, properties);
        self.bytes.extend_from_slice(&frame::header(FrameKind::Body, self.channel, body as u32));
        self.body = body;
    }

    /// The next messages have bodies of this size.
    fn resize(&mut self, body: usize) {
        // In front of the properties is the size of the body, at the end that of its frame.
        let at = self.properties_at() - 8;
        if let Some(size) = self.bytes.get_mut(at..at + 8) {
            size.copy_from_slice(&(body as u64).to_be_bytes());
        }
        if let Some(size) = self.bytes.last_chunk_mut() {
            *size = (body as u32).to_be_bytes();
        }
        self.body = body;
    }
}

/// A body segment, as one or several frames; large ones are spliced in uncopied.
fn append_segment(batch: &mut Batch, channel: u16, segment: &Bytes, frame_max: usize) {
    if segment.len() < SPLICE_FROM {
        return encode::body(&mut batch.bytes, channel, segment, frame_max as u32);
    }
    let most = frame_max - FRAME_OVERHEAD;
    let mut rest = segment.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(most.min(rest.len()));
        let header = frame::header(FrameKind::Body, channel, piece.len() as u32);
        batch.bytes.extend_from_slice(&header);
        batch.append(piece);
        batch.bytes.extend_from_slice(&[FRAME_END]);
    }
}

/// Whether two texts are equal. Names have a few bytes, for which a call costs more than the
/// comparison: up to 16 are compared as two pieces that may overlap.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && match one.len() {
            0 => true,
            1 => one.first() == other.first(),
            2..4 => ends::<2>(one) == ends::<2>(other),
            4..8 => ends::<4>(one) == ends::<4>(other),
            8..=16 => ends::<8>(one) == ends::<8>(other),
            _ => one == other,
        }
}

#[inline(always)]
fn ends<const N: usize>(of: &[u8]) -> (Option<&[u8; N]>, Option<&[u8; N]>) {
    (of.first_chunk(), of.last_chunk())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the general way writes it.
    fn general(channel: u16, route: &Route<'_>, message: &Encoded<'_>) -> BytesMut {
        let Route { exchange, routing_key, mandatory, .. } = *route;
        let publish = basic::Publish { exchange, routing_key, mandatory, immediate: false };
        let mut bytes = BytesMut::new();
        encode::method(&mut bytes, channel, &publish);
        encode::content_header(&mut bytes, channel, message.size() as u64, message.properties);
        for segment in message.body {
            encode::body(&mut bytes, channel, segment, FRAME_MIN_SIZE);
        }
        bytes
    }

    #[test]
    fn whatever_went_before_a_message_goes_out_as_the_general_way_writes_it() {
        let text =
            ["", "x", "xx", "xy", "yx", "xxxx", "xxxy", "yxxx", "xxxxxxxx", "xxxxxxxxxxxxxxxxx"];
        let lists: [&[u8]; 4] = [&[0, 0], &[0x10, 0, 2], &[0x10, 0, 1], &[0x80, 0, 1, b'x', b'y']];
        let body = |sizes: &[usize]| -> Vec<Bytes> {
            sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect()
        };
        let bodies =
            [&[1][..], &[16], &[ONE_FRAME], &[ONE_FRAME + 1], &[0], &[], &[3, 5000]].map(body);
        let mut random = 7_u64;
        let mut one_of = |count: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % count
        };
        let mut head = Head::default();
        let mut ways = [(1, "", "", false, lists[0], &bodies[0]); 3];
        for _ in 0..20_000 {
            // One thing of one of three ways changes at a time.
            let way = &mut ways[one_of(3)];
            match one_of(6) {
                0 => way.0 = 1 + one_of(2) as u16,
                1 => way.1 = text[one_of(text.len())],
                2 => way.2 = text[one_of(text.len())],
                3 => way.3 = !way.3,
                4 => way.4 = lists[one_of(lists.len())],
                _ => way.5 = &bodies[one_of(bodies.len())],
            }
            let (channel, exchange, routing_key, mandatory, properties, body) = *way;
            let exchange = ShortStr::new(exchange).unwrap();
            let routing_key = ShortStr::new(routing_key).unwrap();
            let route = Route { exchange, routing_key, mandatory, keep: false };
            let message = Encoded { properties, sequence_at: None, body };
            let mut batch = Batch::default();
            batch.bytes.extend_from_slice(b"before");
            head.turn_to(channel, &route);
            head.append(&mut batch, &message, 0, FRAME_MIN_SIZE as usize);
            assert_eq!(
                batch.bytes[6..],
                general(channel, &route, &message),
                "{route:?} {message:?}"
            );
        }
    }

    #[test]
    fn a_tag_is_written_to_its_place_and_nowhere_else() {
        let route = Route {
            exchange: ShortStr::new("orders").unwrap(),
            routing_key: ShortStr::new("order.eu").unwrap(),
            mandatory: true,
            keep: false,
        };
        let (mut head, properties) = (Head::default(), [0x20; 40]);
        head.turn_to(1, &route);
        for (tag, body) in (1..).zip([1, 1, 20, 5000, 0, 20]) {
            let body = [Bytes::from(vec![7; body])];
            let message = Encoded { properties: &properties, sequence_at: Some(30), body: &body };
            let mut batch = Batch::default();
            head.append(&mut batch, &message, tag, FRAME_MIN_SIZE as usize);
            let mut with_tag = properties;
            with_tag[30..38].copy_from_slice(&u64::to_be_bytes(tag));
            let message = Encoded { properties: &with_tag, ..message };
            assert_eq!(batch.bytes[..], general(1, &route, &message)[..]);
        }
    }
}
