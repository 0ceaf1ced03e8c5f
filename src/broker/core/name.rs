//! Names as the peer sent them. The protocol calls them UTF-8, but RabbitMQ carries any octets
//! unchanged, and so does this broker.

use std::{borrow::Borrow, fmt};

use bytes::Bytes;

use crate::wire::ShortStr;

/// The name of an exchange, queue or consumer, or a routing key: octets that are cheap to clone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(Bytes);

impl Name {
    /// The empty name.
    pub(crate) const EMPTY: Name = Name(Bytes::new());

    /// A name that owns a copy of these octets.
    pub(crate) fn copy(octets: &[u8]) -> Self {
        if octets.is_empty() { Name::EMPTY } else { Name(Bytes::copy_from_slice(octets)) }
    }

    /// A name that shares these octets.
    pub(crate) const fn shared(octets: Bytes) -> Self {
        Name(octets)
    }

    /// A name known at compile time.
    pub(crate) const fn literal(name: &'static str) -> Self {
        Name(Bytes::from_static(name.as_bytes()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a short string of the wire. Names come from short strings, so that they always fit.
    pub(crate) fn as_short(&self) -> ShortStr<'_> {
        ShortStr::from_bytes(&self.0).unwrap_or(ShortStr::empty())
    }
}

impl From<ShortStr<'_>> for Name {
    fn from(short: ShortStr<'_>) -> Self {
        Name::copy(short.as_bytes())
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Name::copy(name.as_bytes())
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}
