//! Whole frames, appended to an outbound buffer: one reservation each, no buffers in between.
//!
//! None of these checks `frame_max` but [`body`] and [`message`], which split by it: a method and
//! a content header must fit one frame, and whoever takes arguments or properties from a user
//! checks [`method_len`] and [`content_header_len`] first.
//!
//! ```
//! use bytes::BytesMut;
//! use hopmq::wire::{ShortStr, encode, method::basic};
//!
//! let mut out = BytesMut::new();
//! let publish = basic::Publish { routing_key: ShortStr::new("inbox")?, ..Default::default() };
//! encode::method(&mut out, 1, &publish);
//! encode::content_header(&mut out, 1, 5, &[0, 0]); // no properties
//! encode::body(&mut out, 1, b"hello", 131_072);
//! assert!(out.ends_with(b"hello\xCE"));
//! # Ok::<(), hopmq::wire::NameTooLong>(())
//! ```

use bytes::BytesMut;

use super::content::{self, ContentHeader};
use super::frame::{self, FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, FrameKind};
use super::method::{METHOD_OVERHEAD, Method, MethodFrame, MethodId};
use super::octets::Writer;

/// A heartbeat frame.
pub const HEARTBEAT: [u8; FRAME_OVERHEAD] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// Appends `method` in a frame on `channel`.
#[inline]
pub fn method(buf: &mut BytesMut, channel: u16, method: &impl MethodFrame) {
    append(buf, method_len(method), |out| write_method(out, channel, method));
}

/// Appends a method of which only the enum is at hand.
pub fn any_method(buf: &mut BytesMut, channel: u16, method: &Method<'_>) {
    let payload = 4 + method.arguments_len();
    buf.reserve(payload + FRAME_OVERHEAD);
    buf.extend_from_slice(&frame::header(FrameKind::Method, channel, size(payload)));
    method.encode(buf);
    buf.extend_from_slice(&[FRAME_END]);
}

/// Appends a content header for a message of `body_size` bytes whose encoded `properties`
/// (flags and list) are at hand.
#[inline]
pub fn content_header(buf: &mut BytesMut, channel: u16, body_size: u64, properties: &[u8]) {
    append(buf, content_header_len(properties), |out| {
        write_content_header(out, channel, body_size, properties);
    });
}

/// Appends `body` in as many frames as `frame_max` asks for; none when it is empty.
/// A `frame_max` below the protocol's minimum, as 0, counts as that.
#[inline]
pub fn body(buf: &mut BytesMut, channel: u16, body: &[u8], frame_max: u32) {
    if body.len() <= SMALL {
        append(buf, body_len(body.len(), frame_max), |out| write_body(out, channel, body));
        return;
    }
    buf.reserve(body_len(body.len(), frame_max));
    for piece in body.chunks(body_capacity(frame_max)) {
        buf.extend_from_slice(&frame::header(FrameKind::Body, channel, size(piece.len())));
        buf.extend_from_slice(piece);
        buf.extend_from_slice(&[FRAME_END]);
    }
}

/// Appends a whole message: the method, its content header and the body, with one reservation.
#[inline]
pub fn message(
    buf: &mut BytesMut,
    channel: u16,
    method: &impl MethodFrame,
    properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    let head = method_len(method) + content_header_len(properties);
    let rest = body_len(body.len(), frame_max);
    if body.len() <= SMALL {
        append(buf, head + rest, |out| {
            write_method(out, channel, method);
            write_content_header(out, channel, body.len() as u64, properties);
            write_body(out, channel, body);
        });
        return;
    }
    buf.reserve(head + rest);
    append(buf, head, |out| {
        write_method(out, channel, method);
        write_content_header(out, channel, body.len() as u64, properties);
    });
    self::body(buf, channel, body, frame_max);
}

/// Appends a heartbeat.
#[inline]
pub fn heartbeat(buf: &mut BytesMut) {
    buf.extend_from_slice(&HEARTBEAT);
}

/// The length of the whole frame that [`method`] appends.
#[inline]
pub fn method_len(method: &impl MethodFrame) -> usize {
    METHOD_OVERHEAD + method.arguments_len()
}

/// The length of the whole frame that [`content_header`] appends.
#[inline]
pub const fn content_header_len(properties: &[u8]) -> usize {
    FRAME_OVERHEAD + ContentHeader::PROPERTIES_AT + properties.len()
}

/// The length of all frames that [`body`] appends.
#[inline]
pub const fn body_len(len: usize, frame_max: u32) -> usize {
    len + len.div_ceil(body_capacity(frame_max)) * FRAME_OVERHEAD
}

/// How many bytes of a body fit one frame.
#[inline]
pub const fn body_capacity(frame_max: u32) -> usize {
    let frame_max = if frame_max < FRAME_MIN_SIZE { FRAME_MIN_SIZE } else { frame_max };
    frame_max as usize - FRAME_OVERHEAD
}

/// Up to here a body is written together with what is around it; a larger one is copied by itself,
/// since [`append`] touches its bytes twice. It fits one frame of any size.
const SMALL: usize = 512;

/// Appends `len` bytes and has `write` fill them: without `unsafe`, zeroing them first costs less
/// than a check of the buffer's capacity for each field.
#[inline(always)]
fn append(buf: &mut BytesMut, len: usize, write: impl FnOnce(&mut Writer<'_>)) {
    if let Some(room) = room(buf, len) {
        write(&mut Writer::new(room));
    }
}

/// So many bytes more. Those of a small message are copied zeros: that is compiled into its place,
/// where filling them is a call.
#[inline(always)]
fn room(buf: &mut BytesMut, len: usize) -> Option<&mut [u8]> {
    static ZEROS: [u8; 2 * SMALL] = [0; 2 * SMALL];
    let start = buf.len();
    match ZEROS.get(..len) {
        Some(zeros) => buf.extend_from_slice(zeros),
        None => buf.resize(start + len, 0),
    }
    buf.get_mut(start..)
}

#[inline(always)]
fn write_method<M: MethodFrame>(out: &mut Writer<'_>, channel: u16, method: &M) {
    let MethodId { class, method: number } = M::ID;
    out.array(frame::header(FrameKind::Method, channel, size(4 + method.arguments_len())));
    out.array(class.to_be_bytes());
    out.array(number.to_be_bytes());
    method.write_arguments(out);
    out.array([FRAME_END]);
}

#[inline(always)]
fn write_content_header(out: &mut Writer<'_>, channel: u16, body_size: u64, properties: &[u8]) {
    let header = ContentHeader { class: content::BASIC, body_size, properties };
    let payload = ContentHeader::PROPERTIES_AT + properties.len();
    out.array(frame::header(FrameKind::Header, channel, size(payload)));
    out.array(header.encode_fixed());
    out.slice(properties);
    out.array([FRAME_END]);
}

#[inline(always)]
fn write_body(out: &mut Writer<'_>, channel: u16, body: &[u8]) {
    if !body.is_empty() {
        out.array(frame::header(FrameKind::Body, channel, size(body.len())));
        out.slice(body);
        out.array([FRAME_END]);
    }
}

/// A payload's size as a frame's header has it. What does not fit 32 bits exceeds every
/// `frame_max`, by which callers check: it is cut to stay within the type, not to be sent.
#[inline(always)]
fn size(payload: usize) -> u32 {
    u32::try_from(payload).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ShortStr;
    use crate::wire::method::{basic, tx};

    #[test]
    fn frames_are_what_the_spec_says() {
        let mut out = BytesMut::new();
        method(&mut out, 258, &tx::Select);
        assert_eq!(out[..], [1, 1, 2, 0, 0, 0, 4, 0, 90, 0, 10, 0xCE]);
        out.clear();
        content_header(&mut out, 1, 3, &[0x10, 0, 2]);
        let header = [2, 0, 1, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0x10, 0, 2, 0xCE];
        assert_eq!(out[..], header);
        out.clear();
        heartbeat(&mut out);
        assert_eq!(out[..], [8, 0, 0, 0, 0, 0, 0, 0xCE]);
    }

    #[test]
    fn bodies_are_split_by_frame_max() {
        let long = vec![7; 2 * (4096 - 8) + 1];
        for (len, frames) in [(0, 0), (1, 1), (512, 1), (513, 1), (4088, 1), (4089, 2), (8177, 3)] {
            let mut out = BytesMut::new();
            body(&mut out, 1, &long[..len], 4096);
            assert_eq!(out.len(), len + 8 * frames, "{len}");
            assert_eq!(out.len(), body_len(len, 0), "0 counts as the minimum");
        }
    }

    #[test]
    fn a_message_is_its_three_parts() {
        let publish = basic::Publish {
            exchange: ShortStr::new("orders").unwrap(),
            routing_key: ShortStr::new("order.eu").unwrap(),
            mandatory: true,
            immediate: false,
        };
        let (mut parts, mut whole) = (BytesMut::new(), BytesMut::from(&b"before"[..]));
        method(&mut parts, 1, &publish);
        let method_len = parts.len();
        for len in [0, 1, 512, 513, 5000] {
            parts.truncate(method_len);
            whole.truncate(6);
            content_header(&mut parts, 1, len as u64, &[0, 0]);
            body(&mut parts, 1, &vec![1; len], 4096);
            message(&mut whole, 1, &publish, &[0, 0], &vec![1; len], 4096);
            assert_eq!(whole[6..], parts[..], "{len}");
        }
        let mut any = BytesMut::new();
        any_method(&mut any, 1, &publish.into());
        assert_eq!(any[..], parts[..method_len]);
    }
}
