//! A socket's two ends, and what is on its way between them.

use std::collections::VecDeque;

use bytes::Bytes;
use hopmq::broker::ConnectionId;

/// A unit on its way is a frame, or a method with its content: the frames of a content change nothing
/// that anybody else could see before the last of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    pub peer: ConnectionId,
    pub up: VecDeque<Bytes>,
    pub down: VecDeque<Bytes>,
    /// It was cut for the broker: what is on its way up may still arrive later, or never.
    pub cut: bool,
    /// The client has let go of it.
    pub left: bool,
    /// The broker has let go of it.
    pub gone: bool,
}

impl Link {
    pub fn new(peer: ConnectionId) -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Link { peer, up, down, cut: false, left: false, gone: false }
    }
}

/// Splits what one side wrote into units.
pub fn units(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let mut end = frame_len(&bytes);
        while bytes.get(end).is_some_and(|kind| CONTENT.contains(kind)) {
            end += frame_len(&bytes[end..]);
        }
        Some(bytes.split_to(end))
    })
}

/// Frames of header and body (AMQP 0-9-1, 4.2.3).
const CONTENT: std::ops::RangeInclusive<u8> = 2..=3;

/// The protocol header counts as a frame.
fn frame_len(bytes: &[u8]) -> usize {
    match bytes {
        [b'A', ..] => 8,
        [_, _, _, len @ .., _] if len.len() >= 4 => {
            8 + u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize
        }
        _ => bytes.len(),
    }
}

/// Whether it publishes (40), consumes (20) or acknowledges (80).
pub fn changes_the_queue(unit: &[u8]) -> bool {
    matches!(unit.get(7..11), Some([0, 60, 0, 20 | 40 | 80]))
}

/// A delivery (60) or a confirm (80): the client answers neither.
pub fn only_tells(unit: &[u8]) -> bool {
    matches!(unit.get(7..11), Some([0, 60, 0, 60 | 80]))
}

/// The message of a basic.publish: its body is one octet.
pub fn message(unit: &[u8]) -> Option<u8> {
    let publish = unit.get(7..11)? == [0, 60, 0, 40];
    let body = unit.len().checked_sub(2)?;
    publish.then(|| unit[body])
}
