//! Content headers: what goes between a method with content and its body (section 4.2.6.1).

use super::octets::{Reader, Short};
use super::properties;

/// The shortest payload of a content header: class, weight, body size, property flags.
pub const CONTENT_HEADER_MIN: usize = 14;

/// The payload of a content header frame, its properties still encoded.
///
/// ```
/// use hopmq::wire::ContentHeader;
///
/// let payload = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0x10, 0, 2];
/// let header = ContentHeader::decode(&payload)?;
/// assert_eq!((header.class, header.body_size), (60, 16));
/// assert_eq!(header.properties, [0x10, 0, 2]); // delivery_mode: 2
/// # Ok::<(), hopmq::wire::ContentHeaderError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentHeader<'a> {
    /// The class of the method before it, 60 for `basic`.
    pub class: u16,
    /// The size of the body in bytes, over all its frames. What a peer announces here is no
    /// reason to allocate: up to 2^64 - 1 can be said.
    pub body_size: u64,
    /// Flags and list of the properties, from byte [`ContentHeader::PROPERTIES_AT`] of the payload
    /// to its end; not looked into, see [`Properties::validate`](super::Properties::validate).
    pub properties: &'a [u8],
}

/// A content header could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ContentHeaderError {
    /// It ends within its fixed part.
    #[error("a content header of {len} bytes; it has 14 at least")]
    Truncated {
        /// The length of the payload.
        len: usize,
    },
    /// The weight, which the spec has as zero, is not.
    #[error("a content header of weight {weight}; only 0 is defined")]
    Weight {
        /// The weight.
        weight: u16,
    },
}

impl<'a> ContentHeader<'a> {
    /// Where in the payload the properties begin.
    pub const PROPERTIES_AT: usize = 12;

    /// Reads the payload of a content header frame.
    ///
    /// # Errors
    /// [`ContentHeaderError`] when it is too short or not of AMQP 0-9-1.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<Self, ContentHeaderError> {
        if payload.len() < CONTENT_HEADER_MIN {
            return Err(ContentHeaderError::Truncated { len: payload.len() });
        }
        let mut from = Reader::new(payload);
        let fixed = (|| Ok::<_, Short>((from.u16()?, from.u16()?, from.u64()?)))();
        match fixed {
            Ok((class, 0, body_size)) => Ok(Self { class, body_size, properties: from.rest() }),
            Ok((_, weight, _)) => Err(ContentHeaderError::Weight { weight }),
            Err(Short) => Err(ContentHeaderError::Truncated { len: payload.len() }),
        }
    }

    /// The fixed part of the payload; `properties` follow it.
    #[inline]
    pub const fn encode_fixed(&self) -> [u8; 12] {
        let [c0, c1] = self.class.to_be_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.body_size.to_be_bytes();
        [c0, c1, 0, 0, b0, b1, b2, b3, b4, b5, b6, b7]
    }
}

/// The class whose methods have content.
pub(crate) const BASIC: u16 = properties::CLASS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_part_round_trips() {
        let header = ContentHeader { class: 60, body_size: u64::MAX, properties: &[0, 0] };
        let payload = [&header.encode_fixed()[..], header.properties].concat();
        assert_eq!(payload.len(), CONTENT_HEADER_MIN);
        assert_eq!(ContentHeader::decode(&payload), Ok(header));
    }

    #[test]
    fn a_short_or_heavy_header_is_refused() {
        for len in 0..CONTENT_HEADER_MIN {
            let short = ContentHeader::decode(&[0; CONTENT_HEADER_MIN][..len]);
            assert_eq!(short, Err(ContentHeaderError::Truncated { len }));
        }
        let mut heavy = [0; CONTENT_HEADER_MIN];
        heavy[3] = 1;
        assert_eq!(ContentHeader::decode(&heavy), Err(ContentHeaderError::Weight { weight: 1 }));
    }
}
