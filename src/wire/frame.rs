//! Frames: seven bytes of header, the payload, one end octet (AMQP 0-9-1, section 4.2.3).

use std::fmt;
use std::ops::Range;

/// What a client of AMQP 0-9-1 sends first (section 4.2.2).
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// The length of a frame's header: kind, channel, size of the payload.
pub const FRAME_HEADER_SIZE: usize = 7;

/// What a frame has besides its payload: the header and the end octet.
pub const FRAME_OVERHEAD: usize = 8;

/// The frame size that every peer must take (section 4.2.3): no `frame_max` may be below it.
pub const FRAME_MIN_SIZE: u32 = 4096;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A method.
    Method,
    /// A content header: size and properties of a message.
    Header,
    /// A piece of a message's body.
    Body,
    /// Nothing: the peer is alive.
    Heartbeat,
}

impl FrameKind {
    /// The octet that stands for it.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    /// The kind for which `octet` stands, if any.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Method => "method",
            Self::Header => "content header",
            Self::Body => "body",
            Self::Heartbeat => "heartbeat",
        })
    }
}

/// A frame found by the [`Decoder`](super::Decoder), or a piece of a body frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// The channel; 0 is the connection itself.
    pub channel: u16,
    /// Where in the block its payload is.
    pub payload: Range<usize>,
    /// Whether the frame ends with this piece. Only pieces of bodies may say no.
    pub ends: bool,
}

/// What came is not a frame that may be taken; the connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The broker answered with a protocol header: it does not speak our version (section 4.2.2).
    /// A server finds its client's greeting here.
    #[error("the peer speaks AMQP {}.{}.{} (protocol id {})", .0[5], .0[6], .0[7], .0[4])]
    ProtocolHeader([u8; 8]),
    /// The first bytes are not AMQP at all.
    #[error("the peer does not speak AMQP: {first}")]
    NotAmqp {
        /// What came first.
        first: FirstBytes,
    },
    /// The kind octet stands for nothing.
    #[error("unknown frame kind {octet} on channel {channel}")]
    UnknownKind {
        /// The octet.
        octet: u8,
        /// The channel it names.
        channel: u16,
    },
    /// The frame is larger than was negotiated. Found in its header: nothing was allocated.
    #[error("a {kind} frame of {size} bytes on channel {channel} exceeds frame_max, {frame_max}")]
    TooLarge {
        /// The kind of frame.
        kind: FrameKind,
        /// Its channel.
        channel: u16,
        /// The size of the whole frame, its overhead included.
        size: u64,
        /// What was negotiated.
        frame_max: u32,
    },
    /// The octet behind the payload is not [`FRAME_END`]: the peers have lost step.
    #[error("a {kind} frame on channel {channel} ends with {found:#04x} instead of 0xce")]
    BadEnd {
        /// The kind of frame.
        kind: FrameKind,
        /// Its channel.
        channel: u16,
        /// What was found.
        found: u8,
    },
    /// A heartbeat with a payload or on a channel other than 0 (section 4.2.7).
    #[error("a heartbeat on channel {channel} with {size} bytes: it has neither")]
    BadHeartbeat {
        /// Its channel.
        channel: u16,
        /// The size of its payload.
        size: u32,
    },
}

/// The first bytes of a peer that does not speak AMQP, and what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FirstBytes {
    bytes: [u8; 8],
    len: u8,
}

impl FirstBytes {
    pub(crate) fn of(block: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let mut len = 0;
        for (to, from) in bytes.iter_mut().zip(block) {
            *to = *from;
            len += 1;
        }
        Self { bytes, len }
    }

    /// The bytes, eight at most.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Whether they begin a TLS record: a TLS listener was addressed in the clear.
    pub fn is_tls(&self) -> bool {
        // Alert or handshake, then the major version, which is 3 in every TLS.
        matches!(self.as_bytes(), [0x15 | 0x16] | [0x15 | 0x16, 3, ..])
    }

    /// Whether they begin an answer of HTTP.
    pub fn is_http(&self) -> bool {
        self.as_bytes().starts_with(b"HTTP")
    }
}

impl fmt::Display for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls() {
            f.write_str("it answers with TLS, as an amqps:// port does ")?;
        } else if self.is_http() {
            f.write_str("it answers with HTTP ")?;
        }
        write!(f, "(first bytes \"{}\")", self.as_bytes().escape_ascii())
    }
}

/// The header of a frame with `size` bytes of payload, for who writes bodies without copying them:
/// header, payload, [`FRAME_END`].
#[inline]
pub const fn header(kind: FrameKind, channel: u16, size: u32) -> [u8; FRAME_HEADER_SIZE] {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size.to_be_bytes();
    [kind.octet(), c0, c1, s0, s1, s2, s3]
}

/// What a server does first: takes the client's protocol header from `block[*at..]`. `false` when
/// it has not come whole yet.
///
/// # Errors
/// [`FrameError::ProtocolHeader`] for another version, to be answered with [`PROTOCOL_HEADER`] and
/// the end of the connection (section 4.2.2); [`FrameError::NotAmqp`] for anything else.
pub fn take_protocol_header(block: &[u8], at: &mut usize) -> Result<bool, FrameError> {
    let came = block.get(*at..).unwrap_or_default();
    let (amqp, _) = PROTOCOL_HEADER.split_at(4);
    match came.first_chunk::<8>() {
        Some(&PROTOCOL_HEADER) => {
            *at += PROTOCOL_HEADER.len();
            Ok(true)
        }
        Some(header) if header.starts_with(amqp) => Err(FrameError::ProtocolHeader(*header)),
        None if came.iter().zip(amqp).all(|(have, want)| have == want) => Ok(false),
        _ => Err(FrameError::NotAmqp { first: FirstBytes::of(came) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_octets_agree() {
        let known = (0..=255).filter_map(|octet| {
            FrameKind::from_octet(octet).inspect(|kind| assert_eq!(kind.octet(), octet))
        });
        assert_eq!(known.count(), 4);
        assert_eq!(header(FrameKind::Body, 0x0102, 0x03040506), [3, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_server_takes_its_client_s_header() {
        let came = [&b"x"[..], &PROTOCOL_HEADER, b"y"].concat();
        let mut at = 1;
        assert_eq!(take_protocol_header(&came[..8], &mut at), Ok(false));
        assert_eq!(take_protocol_header(&came, &mut at), Ok(true));
        assert_eq!(at, 9);
        let other = *b"AMQP\x03\x01\x00\x00";
        assert_eq!(take_protocol_header(&other, &mut 0), Err(FrameError::ProtocolHeader(other)));
        for stranger in [&b"G"[..], b"GET / HTTP/1.1", b"AMQX"] {
            let error = take_protocol_header(stranger, &mut 0).unwrap_err();
            assert!(matches!(error, FrameError::NotAmqp { .. }));
        }
    }

    #[test]
    fn strangers_are_recognised() {
        let tls = FirstBytes::of(&[0x15, 3, 3, 0, 2, 2, 10, 99, 99]);
        assert_eq!(tls.as_bytes().len(), 8);
        assert!(tls.is_tls() && tls.to_string().contains("amqps://"));
        let http = FirstBytes::of(b"HTTP/1.1 400 Bad Request");
        assert!(http.is_http());
        assert_eq!(http.to_string(), "it answers with HTTP (first bytes \"HTTP/1.1\")");
        assert_eq!(FirstBytes::of(b"SSH").to_string(), "(first bytes \"SSH\")");
    }
}
