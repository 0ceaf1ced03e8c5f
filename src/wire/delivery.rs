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

const CLASS: [u8; 2] = content::BASIC.to_be_bytes();
const DELIVER: u32 = {
    let MethodId { class, method } = basic::Deliver::ID;
    (class as u32) << 16 | method as u32
};
const METHOD: u8 = FrameKind::Method.octet();
const HEADER: u8 = FrameKind::Header.octet();
const BODY: u8 = FrameKind::Body.octet();

impl Decoder {
    /// The channel and consumer of a delivery that may begin at `at`: whether one does, and is whole,
    /// [`Decoder::whole_delivery`] says.
    #[inline]
    pub(crate) fn delivery_for<'a>(&self, block: &'a [u8], at: usize) -> Option<(u16, &'a [u8])> {
        let (head, rest) = block.get(at..)?.split_first_chunk::<12>()?;
        let &[METHOD, c0, c1, .., i0, i1, i2, i3, tag_len] = head else { return None };
        let is_deliver = u32::from_be_bytes([i0, i1, i2, i3]) == DELIVER;
        let consumer_tag = rest.get(..tag_len.into()).filter(|_| is_deliver)?;
        Some((u16::from_be_bytes([c0, c1]), consumer_tag))
    }

    /// The delivery that begins at `at`, if one does and all of it is there.
    ///
    /// Each stretch of fixed length is taken at once: what counts here is how often it is asked
    /// whether there are bytes left. The frame sizes need no look of their own but for `frame_max`,
    /// since they say where the ends of the frames are to be found.
    #[inline(always)]
    pub(crate) fn whole_delivery<'a>(
        &self,
        block: &'a [u8],
        at: usize,
    ) -> Option<WholeDelivery<'a>> {
        if !self.is_between_frames() {
            return None;
        }
        // The frame of the method: kind, channel, size. Class, method, arguments.
        let (head, rest) = block.get(at..)?.split_first_chunk::<12>()?;
        let &[METHOD, c0, c1, m0, m1, m2, m3, i0, i1, i2, i3, tag_len] = head else { return None };
        if u32::from_be_bytes([i0, i1, i2, i3]) != DELIVER {
            return None;
        }
        let (consumer_tag, rest) = rest.split_at_checked(tag_len.into())?;
        let (arguments, rest) = rest.split_first_chunk::<10>()?;
        let &[t0, t1, t2, t3, t4, t5, t6, t7, bits, exchange_len] = arguments;
        let (&key_len, rest) = rest.get(usize::from(exchange_len)..)?.split_first()?;
        let names = usize::from(tag_len) + usize::from(exchange_len) + usize::from(key_len);
        let method_len = FIXED + names;
        if u32::from_be_bytes([m0, m1, m2, m3]) as usize != method_len {
            return None;
        }

        // Its end, and the frame of the content header: class, weight, body size, properties.
        let (head, rest) = rest.get(usize::from(key_len)..)?.split_first_chunk::<20>()?;
        let &[FRAME_END, HEADER, h0, h1, s0, s1, s2, s3, k0, k1, 0, 0, body_size @ ..] = head
        else {
            return None;
        };
        let header_len = u32::from_be_bytes([s0, s1, s2, s3]) as usize;
        let properties_len = header_len.checked_sub(ContentHeader::PROPERTIES_AT)?;
        if [h0, h1, k0, k1] != [c0, c1, CLASS[0], CLASS[1]] {
            return None;
        }
        let (properties, rest) = rest.split_at_checked(properties_len)?;
        if Properties::validate(properties).is_err() {
            return None;
        }

        // Its end, and the frame of the body, if there is any.
        let body_size = u64::from_be_bytes(body_size);
        let (body_len, begin, rest) = match body_size {
            0 => (0, 0, rest),
            _ => {
                let (head, rest) = rest.split_first_chunk::<8>()?;
                let &[FRAME_END, BODY, b0, b1, z0, z1, z2, z3] = head else { return None };
                let len = u32::from_be_bytes([z0, z1, z2, z3]);
                if [b0, b1] != [c0, c1] || u64::from(len) != body_size {
                    return None;
                }
                (len as usize, FRAME_OVERHEAD, rest)
            }
        };
        let most = self.frame_max() as usize - FRAME_OVERHEAD;
        if rest.get(body_len) != Some(&FRAME_END) || body_len.max(header_len) > most {
            return None;
        }

        let method = at + FRAME_HEADER_SIZE;
        let header = method + method_len + FRAME_OVERHEAD;
        let body = header + header_len + begin;
        Some(WholeDelivery {
            channel: u16::from_be_bytes([c0, c1]),
            consumer_tag,
            delivery_tag: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            redelivered: bits & 1 == 1,
            method: method..method + method_len,
            header: header..header + header_len,
            body: body..body + body_len,
            end: body + body_len + 1,
        })
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
            assert_eq!(decoder().delivery_for(&block, 8), Some((3, &b"hopmq-7"[..])));
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
