//! The incremental decoder: finds frames in the blocks that a socket gives.

use super::frame::{
    FRAME_END, FRAME_HEADER_SIZE, FRAME_MIN_SIZE, FRAME_OVERHEAD, FirstBytes, Frame, FrameError,
    FrameKind, PROTOCOL_HEADER,
};

/// Finds frames in place, without copying or allocating.
///
/// The caller owns the block and a position in it. What the decoder leaves behind the position
/// is the beginning of a frame: it is to be presented again with more bytes behind it. Bodies
/// are given out in pieces as their bytes arrive, so that large frames need no large block.
///
/// ```
/// use hopmq::wire::{Decoder, FrameKind};
///
/// let mut decoder = Decoder::new(131_072);
/// let block = [8, 0, 0, 0, 0, 0, 0, 0xCE, 1, 0, 1, 0, 0];
/// let mut at = 0;
/// let frame = decoder.next(&block, &mut at)?.expect("a heartbeat is there");
/// assert_eq!(frame.kind, FrameKind::Heartbeat);
/// assert_eq!(decoder.next(&block, &mut at)?, None);
/// assert_eq!(&block[at..], [1, 0, 1, 0, 0]); // to be presented again, with what follows
/// # Ok::<(), hopmq::wire::FrameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decoder {
    frame_max: u32,
    /// Nothing has been decoded yet: the peer may still prove to be no AMQP broker.
    fresh: bool,
    /// The body frame of which pieces were given out: its channel and what is missing.
    body: Option<PartialBody>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct PartialBody {
    channel: u16,
    missing: usize,
}

impl Decoder {
    /// A decoder at the start of a connection. Frames of more than `frame_max` bytes, overhead
    /// included, are refused; a limit below [`FRAME_MIN_SIZE`], as AMQP's 0, counts as that.
    pub fn new(frame_max: u32) -> Self {
        Self { frame_max: frame_max.max(FRAME_MIN_SIZE), fresh: true, body: None }
    }

    /// Changes the limit, as after `connection.tune`. A body frame begun before is not affected.
    pub fn set_frame_max(&mut self, frame_max: u32) {
        self.frame_max = frame_max.max(FRAME_MIN_SIZE);
    }

    /// The limit in force.
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// How much of a body frame is still to come, whose beginning was given out.
    pub(crate) fn missing_body(&self) -> usize {
        self.body.map_or(0, |body| body.missing)
    }

    /// Whether the next byte begins a frame of a connection that is known to speak AMQP.
    #[inline]
    pub(super) fn is_between_frames(&self) -> bool {
        self.body.is_none() && !self.fresh
    }

    /// The next frame, or piece of a body, in `block` from `*at` on; `*at` moves behind it.
    ///
    /// `None` when what is left is incomplete: present `block[*at..]` again with more behind it.
    /// A piece that does not end its frame is never empty.
    ///
    /// # Errors
    /// [`FrameError`]; it comes from the first bytes that show it, and comes again if asked again.
    #[inline]
    pub fn next(&mut self, block: &[u8], at: &mut usize) -> Result<Option<Frame>, FrameError> {
        if let Some(body) = self.body {
            return self.piece(body, block, at);
        }
        let Some(rest) = block.get(*at..) else { return Ok(None) };
        // Nearly every frame is one that has all arrived; all that may be wrong is asked of the others.
        if let Some(&[octet @ 1..=3, c0, c1, s0, s1, s2, s3]) = rest.first_chunk()
            && let size = u32::from_be_bytes([s0, s1, s2, s3])
            && size <= self.frame_max - FRAME_OVERHEAD as u32
            && let size = size as usize
            && rest.get(FRAME_HEADER_SIZE + size) == Some(&FRAME_END)
            && let Some(kind) = FrameKind::from_octet(octet)
        {
            let (start, channel) = (*at + FRAME_HEADER_SIZE, u16::from_be_bytes([c0, c1]));
            self.fresh = false;
            *at += size + FRAME_OVERHEAD;
            return Ok(Some(Frame { kind, channel, payload: start..start + size, ends: true }));
        }
        self.unusual(rest, block, at)
    }

    /// A frame that did not arrive whole, or is not well formed, or a heartbeat.
    #[cold]
    fn unusual(
        &mut self,
        rest: &[u8],
        block: &[u8],
        at: &mut usize,
    ) -> Result<Option<Frame>, FrameError> {
        if self.fresh && !greeted(rest)? {
            return Ok(None);
        }
        let Some(&[octet, c0, c1, s0, s1, s2, s3]) = rest.first_chunk::<FRAME_HEADER_SIZE>() else {
            return Ok(None);
        };
        let channel = u16::from_be_bytes([c0, c1]);
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        let kind = self.checked(octet, channel, size)?;
        let Ok(size) = usize::try_from(size) else { return Ok(None) };

        let start = *at + FRAME_HEADER_SIZE;
        match rest.get(FRAME_HEADER_SIZE + size) {
            Some(&FRAME_END) => {
                self.fresh = false;
                *at += size + FRAME_OVERHEAD;
                Ok(Some(Frame { kind, channel, payload: start..start + size, ends: true }))
            }
            Some(&found) if kind != FrameKind::Body || size < 2 => {
                Err(FrameError::BadEnd { kind, channel, found })
            }
            _ if kind == FrameKind::Body && rest.len() > FRAME_HEADER_SIZE + 1 => {
                self.fresh = false;
                *at = start;
                self.piece(PartialBody { channel, missing: size }, block, at)
            }
            _ => Ok(None),
        }
    }

    /// The next piece of a body frame that did not arrive whole, or ends badly: its payload comes
    /// before the error, as it does where they did not arrive together.
    #[cold]
    fn piece(
        &mut self,
        body: PartialBody,
        block: &[u8],
        at: &mut usize,
    ) -> Result<Option<Frame>, FrameError> {
        let PartialBody { channel, missing } = body;
        let Some(rest) = block.get(*at..) else { return Ok(None) };
        let start = *at;
        let (len, ends) = match rest.get(missing) {
            Some(&FRAME_END) => (missing, true),
            Some(&found) if missing < 2 => {
                return Err(FrameError::BadEnd { kind: FrameKind::Body, channel, found });
            }
            // The last byte waits for the end octet, so that the last piece is never empty.
            _ => (rest.len().min(missing.saturating_sub(1)), false),
        };
        self.body = (!ends).then_some(PartialBody { channel, missing: missing - len });
        if len == 0 && !ends {
            return Ok(None);
        }
        *at += if ends { len + 1 } else { len };
        Ok(Some(Frame { kind: FrameKind::Body, channel, payload: start..start + len, ends }))
    }

    /// The kind of a frame whose header may be taken.
    fn checked(&self, octet: u8, channel: u16, size: u32) -> Result<FrameKind, FrameError> {
        let Some(kind) = FrameKind::from_octet(octet) else {
            return Err(FrameError::UnknownKind { octet, channel });
        };
        if size > self.frame_max - FRAME_OVERHEAD as u32 {
            let (size, frame_max) = (u64::from(size) + FRAME_OVERHEAD as u64, self.frame_max);
            return Err(FrameError::TooLarge { kind, channel, size, frame_max });
        }
        if kind == FrameKind::Heartbeat && (channel, size) != (0, 0) {
            return Err(FrameError::BadHeartbeat { channel, size });
        }
        Ok(kind)
    }
}

/// Whether the first bytes of a connection may begin a frame; `false` while they may yet become
/// a protocol header.
#[cold]
fn greeted(first: &[u8]) -> Result<bool, FrameError> {
    let Some(&octet) = first.first() else { return Ok(false) };
    if FrameKind::from_octet(octet).is_some() {
        return Ok(true);
    }
    let (amqp, _) = PROTOCOL_HEADER.split_at(4);
    match first.first_chunk::<8>() {
        Some(header) if header.starts_with(amqp) => Err(FrameError::ProtocolHeader(*header)),
        None if first.iter().zip(amqp).all(|(have, want)| have == want) => Ok(false),
        _ => Err(FrameError::NotAmqp { first: FirstBytes::of(first) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::header;

    /// All frames of `block`, which ends with a whole one.
    fn frames(block: &[u8]) -> Vec<Frame> {
        let (mut decoder, mut at, mut frames) = (Decoder::new(4096), 0, Vec::new());
        while let Some(frame) = decoder.next(block, &mut at).unwrap() {
            frames.push(frame);
        }
        assert_eq!(at, block.len());
        frames
    }

    fn first_error(block: &[u8]) -> FrameError {
        Decoder::new(4096).next(block, &mut 0).unwrap_err()
    }

    #[test]
    fn whole_frames_are_found_in_place() {
        let block = b"\x01\0\x01\0\0\0\x04abcd\xCE\x08\0\0\0\0\0\0\xCE\x03\0\x02\0\0\0\0\xCE";
        let expected = [
            Frame { kind: FrameKind::Method, channel: 1, payload: 7..11, ends: true },
            Frame { kind: FrameKind::Heartbeat, channel: 0, payload: 19..19, ends: true },
            Frame { kind: FrameKind::Body, channel: 2, payload: 27..27, ends: true },
        ];
        assert_eq!(frames(block), expected);
    }

    #[test]
    fn a_body_comes_in_pieces_and_its_last_is_never_empty() {
        let mut decoder = Decoder::new(4096);
        let mut at = 0;
        let frame = decoder.next(b"\x03\0\x02\0\0\0\x03ab", &mut at).unwrap().unwrap();
        assert_eq!((frame.payload, frame.ends, at), (7..9, false, 9));
        at = 0;
        assert_eq!(decoder.next(b"c", &mut at), Ok(None), "the end octet is missing");
        assert_eq!(at, 0);
        let last = decoder.next(b"c\xCE", &mut at).unwrap().unwrap();
        let expected = Frame { kind: FrameKind::Body, channel: 2, payload: 0..1, ends: true };
        assert_eq!((last, at), (expected, 2));
        let mut decoder = Decoder::new(4096);
        decoder.next(b"\x03\0\x02\0\0\0\x03ab", &mut 0).unwrap();
        let bad = FrameError::BadEnd { kind: FrameKind::Body, channel: 2, found: b'!' };
        assert_eq!(decoder.next(b"c!", &mut 0), Err(bad));
    }

    #[test]
    fn a_body_that_ends_badly_comes_before_the_error_however_it_is_split() {
        let block = b"\x03\0\x02\0\0\0\x03abc!";
        let bad = FrameError::BadEnd { kind: FrameKind::Body, channel: 2, found: b'!' };
        for split in 8..=block.len() {
            let (mut decoder, mut at, mut body) = (Decoder::new(4096), 0, Vec::new());
            let mut end = Ok(());
            for until in [split, block.len()] {
                loop {
                    match decoder.next(&block[..until], &mut at) {
                        Ok(Some(frame)) => body.extend_from_slice(&block[frame.payload]),
                        Ok(None) => break,
                        Err(error) => {
                            end = Err(error);
                            break;
                        }
                    }
                }
            }
            assert_eq!((body.as_slice(), end), (&b"ab"[..], Err(bad.clone())), "split at {split}");
        }
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_from_its_header() {
        let claim = header(FrameKind::Method, 0, u32::MAX);
        assert_eq!(
            first_error(&claim),
            FrameError::TooLarge {
                kind: FrameKind::Method,
                channel: 0,
                size: u64::from(u32::MAX) + 8,
                frame_max: 4096
            }
        );
        let fits = header(FrameKind::Body, 1, 4088);
        assert_eq!(Decoder::new(0).next(&fits, &mut 0), Ok(None), "0 counts as the minimum");
        assert!(matches!(
            first_error(&header(FrameKind::Body, 1, 4089)),
            FrameError::TooLarge { size: 4097, .. }
        ));
        let mut decoder = Decoder::new(4096);
        decoder.set_frame_max(8192);
        assert_eq!(decoder.next(&header(FrameKind::Body, 1, 8184), &mut 0), Ok(None));
    }

    #[test]
    fn strangers_are_refused_from_their_first_bytes() {
        let version = *b"AMQP\x00\x01\x00\x00";
        for len in 0..8 {
            assert_eq!(Decoder::new(0).next(&version[..len], &mut 0), Ok(None));
        }
        let error = first_error(&version);
        assert_eq!(error, FrameError::ProtocolHeader(version));
        assert_eq!(error.to_string(), "the peer speaks AMQP 1.0.0 (protocol id 0)");
        for stranger in [&b"HTTP/1.1 400"[..], b"\x15\x03\x01", b"AMX", b"S", b"\0"] {
            assert!(matches!(first_error(stranger), FrameError::NotAmqp { .. }), "{stranger:?}");
        }
        // Later on, the same bytes are a frame of no known kind.
        let mut decoder = Decoder::new(0);
        decoder.next(b"\x08\0\0\0\0\0\0\xCE", &mut 0).unwrap();
        let unknown = FrameError::UnknownKind { octet: b'A', channel: 0x4D51 };
        assert_eq!(decoder.next(&version, &mut 0), Err(unknown));
    }

    #[test]
    fn a_heartbeat_is_empty_and_of_channel_0() {
        let error = first_error(&header(FrameKind::Heartbeat, 1, 0));
        assert_eq!(error, FrameError::BadHeartbeat { channel: 1, size: 0 });
        let error = first_error(&header(FrameKind::Heartbeat, 0, 5));
        assert_eq!(error, FrameError::BadHeartbeat { channel: 0, size: 5 });
    }
}
