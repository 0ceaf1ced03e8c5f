//! Deliveries that arrived whole, found at one glance.
//!
//! Nearly every frame of a busy consumer belongs to one: basic.deliver, a content header and at most
//! one body frame, next to each other in one block. Taking the three together costs a third of what
//! it costs one by one. Whatever is not just so is none of them, and goes the long way, frame by
//! frame, where what is wrong with it has a name.

use std::ops::Range;

use super::{
    ContentHeader, Decoder, FRAME_END, FRAME_OVERHEAD, FrameKind, MethodFrame, MethodId,
    Properties, content, frame::FRAME_HEADER_SIZE, method::basic,
};

/// A message that was delivered, and where in its block it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WholeDelivery<'a> {
    pub(crate) channel: u16,
    pub(crate) consumer_tag: &'a [u8],
    pub(crate) delivery_tag: u64,
    pub(crate) redelivered: bool,
    /// The payload of the method's frame.
    pub(crate) method: Range<usize>,
    /// The payload of the content header's frame; its properties are valid.
    pub(crate) header: Range<usize>,
    pub(crate) body: Range<usize>,
    /// Where the next frame begins.
    pub(crate) end: usize,
}

/// The octets of basic.deliver's payload besides its names: class and method, the tag, one octet of
/// bits, and the lengths of three names.
const FIXED: usize = 4 + 8 + 1 + 3;

const CLASS: u64 = content::BASIC as u64;
const METHOD: u64 = {
    let MethodId { method, .. } = basic::Deliver::ID;
    method as u64
};

impl Decoder {
    /// The delivery that begins at `at`, if one does and all of it is there.
    ///
    /// What is fixed in it is compared in words, eight octets at a time.
    #[inline]
    pub(crate) fn whole_delivery<'a>(
        &self,
        block: &'a [u8],
        at: usize,
    ) -> Option<WholeDelivery<'a>> {
        if !self.is_between_frames() {
            return None;
        }
        let most = self.frame_max() as usize - FRAME_OVERHEAD;

        // The frame: kind, channel, size. The payload: class, method, then the arguments.
        let mut from = Words(block.get(at..)?);
        let (first, second) = (from.u64()?, from.u32()?);
        let channel = (first >> 40) as u16;
        let method_len = (first >> 8) as u32 as usize;
        let is_deliver = first >> 56 == u64::from(FrameKind::Method.octet())
            && first & 0xff == CLASS >> 8
            && u64::from(second >> 8) == (CLASS & 0xff) << 16 | METHOD;
        if !is_deliver || method_len > most {
            return None;
        }
        let tag_len = second as u8;
        let consumer_tag = from.take(tag_len)?;
        let delivery_tag = from.u64()?;
        let redelivered = from.u8()? & 1 == 1;
        let exchange_len = from.u8()?;
        from.take(exchange_len)?;
        let key_len = from.u8()?;
        from.take(key_len)?;
        let names = usize::from(tag_len) + usize::from(exchange_len) + usize::from(key_len);
        if FIXED + names != method_len {
            return None;
        }

        // The end of that frame, and the next one: class, weight, body size, properties.
        let (head, fixed, body_size) = (from.u64()?, from.u32()?, from.u64()?);
        let header_len = head as u32 as usize;
        let properties_len = header_len.checked_sub(ContentHeader::PROPERTIES_AT)?;
        if head >> 32 != between(FrameKind::Header, channel) || u64::from(fixed) != CLASS << 16 {
            return None;
        }
        let properties = from.slice(properties_len)?;
        if header_len > most || Properties::validate(properties).is_err() {
            return None;
        }

        let body_len = body_size as usize;
        if body_size > 0 {
            let whole = from.u64()? == between(FrameKind::Body, channel) << 32 | body_size;
            if !whole || body_len > most {
                return None;
            }
            from.slice(body_len)?;
        }
        if from.u8()? != FRAME_END {
            return None;
        }

        let method_start = at + FRAME_HEADER_SIZE;
        let header_start = method_start + method_len + FRAME_OVERHEAD;
        let end = block.len() - from.0.len();
        Some(WholeDelivery {
            channel,
            consumer_tag,
            delivery_tag,
            redelivered,
            method: method_start..method_start + method_len,
            header: header_start..header_start + header_len,
            body: end - 1 - body_len..end - 1,
            end,
        })
    }
}

/// The end of a frame and the beginning of the next on the same channel, up to its size.
#[inline(always)]
fn between(next: FrameKind, channel: u16) -> u64 {
    u64::from(FRAME_END) << 24 | u64::from(next.octet()) << 16 | u64::from(channel)
}

/// What is left to read.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    #[inline(always)]
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline(always)]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline(always)]
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline(always)]
    fn take(&mut self, len: u8) -> Option<&'a [u8]> {
        self.slice(len.into())
    }

    #[inline(always)]
    fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::wire::{ShortStr, encode};

    const PERSISTENT: &[u8] = &[0x10, 0, 2];

    fn decoder() -> Decoder {
        let (mut decoder, mut at) = (Decoder::new(4096), 0);
        decoder.next(&encode::HEARTBEAT, &mut at).unwrap();
        decoder
    }

    fn delivery(properties: &[u8], body: &[u8]) -> Vec<u8> {
        let deliver = basic::Deliver {
            consumer_tag: ShortStr::new("hopmq-7").unwrap(),
            delivery_tag: 258,
            redelivered: true,
            exchange: ShortStr::new("orders").unwrap(),
            routing_key: ShortStr::new("order.eu").unwrap(),
        };
        let mut out = BytesMut::new();
        encode::message(&mut out, 3, &deliver, properties, body, 4096);
        out.to_vec()
    }

    /// What the decoder finds frame by frame.
    fn frames(block: &[u8], mut at: usize) -> Vec<Range<usize>> {
        let (mut decoder, mut found) = (decoder(), Vec::new());
        while let Some(frame) = decoder.next(block, &mut at).unwrap() {
            found.push(frame.payload);
        }
        found
    }

    #[test]
    fn a_whole_delivery_is_found_as_frame_by_frame() {
        for (properties, body) in
            [(PERSISTENT, &b"hello"[..]), (&[0, 0], b"x"), (&[0x80, 0, 1, b'a'], &[7; 4088])]
        {
            let mut block = encode::HEARTBEAT.to_vec();
            block.extend(delivery(properties, body));
            let found = decoder().whole_delivery(&block, 8).expect("it is whole");
            assert_eq!(
                [found.method.clone(), found.header.clone(), found.body.clone()].as_slice(),
                frames(&block, 8)
            );
            assert_eq!((found.channel, found.delivery_tag, found.redelivered), (3, 258, true));
            assert_eq!((found.consumer_tag, found.end), (&b"hopmq-7"[..], block.len()));
        }
    }

    #[test]
    fn an_empty_body_has_no_frame() {
        let block = delivery(PERSISTENT, b"");
        let found = decoder().whole_delivery(&block, 0).expect("it is whole");
        assert!(found.body.is_empty());
        assert_eq!((found.end, frames(&block, 0).len()), (block.len(), 2));
    }

    #[test]
    fn what_has_not_all_arrived_is_none() {
        let block = delivery(PERSISTENT, b"hello");
        for len in 0..block.len() {
            assert_eq!(decoder().whole_delivery(&block[..len], 0), None, "of {len} bytes");
        }
    }

    /// The long way refuses it or understands it; either way that is not decided here.
    #[test]
    fn what_differs_in_any_structural_byte_is_none() {
        let block = delivery(PERSISTENT, b"hello");
        let found = decoder().whole_delivery(&block, 0).expect("it is whole");
        let (method, header) = (found.method.clone(), found.header.clone());
        let body = found.body.clone();
        let structural = (0..method.start + 5)
            .filter(|at| !(1..3).contains(at))
            .chain(method.end..header.start + 12)
            .chain(header.end..body.start)
            .chain([body.end]);
        for at in structural {
            let mut bent = block.clone();
            bent[at] ^= 0x41;
            assert_eq!(decoder().whole_delivery(&bent, 0), None, "byte {at}");
        }
    }

    #[test]
    fn a_frame_over_frame_max_is_none() {
        let mut block = delivery(PERSISTENT, &[7; 4088]);
        assert!(decoder().whole_delivery(&block, 0).is_some());
        block = delivery(PERSISTENT, &[7; 4089]);
        assert_eq!(decoder().whole_delivery(&block, 0), None, "it comes in two frames");
    }
}
