//! Short strings: a length octet and up to 255 bytes (AMQP 0-9-1, section 4.2.5.3).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::Utf8Error;
use std::sync::Arc;

/// The longest short string, in bytes: its length travels as one octet.
pub const SHORT_STRING_MAX: usize = 255;

/// A name does not fit a short string: AMQP 0-9-1 gives its length one octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a name of {len} bytes is too long: AMQP carries at most 255 bytes in a short string")]
pub struct NameTooLong {
    /// The length of the refused name, in bytes.
    pub len: usize,
}

/// A borrowed short string: at most 255 bytes, by construction.
///
/// AMQP wants UTF-8, yet peers may send anything: [`ShortStr::to_str`] says whether it is text,
/// and `Display` replaces what is not.
///
/// ```
/// use hopmq::wire::ShortStr;
///
/// let key = ShortStr::new("order.eu.created")?;
/// assert_eq!(key.as_bytes(), b"order.eu.created");
/// assert!(ShortStr::new(&"x".repeat(256)).is_err());
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortStr<'a>(&'a [u8]);

impl<'a> ShortStr<'a> {
    /// Borrows `text` as a short string.
    ///
    /// # Errors
    /// [`NameTooLong`] when it has more than 255 bytes.
    #[inline]
    pub const fn new(text: &'a str) -> Result<Self, NameTooLong> {
        Self::from_bytes(text.as_bytes())
    }

    /// Borrows `bytes`, of any content, as a short string.
    ///
    /// # Errors
    /// [`NameTooLong`] when there are more than 255.
    #[inline]
    pub const fn from_bytes(bytes: &'a [u8]) -> Result<Self, NameTooLong> {
        if bytes.len() > SHORT_STRING_MAX {
            return Err(NameTooLong { len: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The empty short string.
    #[inline]
    pub const fn empty() -> Self {
        Self(&[])
    }

    /// The bytes as they are on the wire, without the length octet.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The length in bytes, at most 255.
    #[inline]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The text.
    ///
    /// # Errors
    /// [`Utf8Error`] when the peer sent something else than UTF-8.
    #[inline]
    pub const fn to_str(self) -> Result<&'a str, Utf8Error> {
        std::str::from_utf8(self.0)
    }
}

impl fmt::Display for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self.0), f)
    }
}

impl PartialEq<str> for ShortStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// An owned short string of UTF-8: at most 255 bytes, by construction, and cheap to clone.
///
/// ```
/// use hopmq::wire::ShortString;
///
/// let queue = ShortString::new("inbox")?;
/// let same = queue.clone();
/// assert_eq!(same.as_str(), "inbox");
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone)]
pub struct ShortString(Text);

/// Literals and the empty string, which are frequent, cost no allocation.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl ShortString {
    /// The empty short string.
    pub const EMPTY: Self = Self(Text::Static(""));

    /// Takes `text` as a short string.
    ///
    /// # Errors
    /// [`NameTooLong`] when it has more than 255 bytes.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, NameTooLong> {
        // Checked before the conversion, which may copy.
        match text.as_ref().len() {
            0 => Ok(Self::EMPTY),
            1..=SHORT_STRING_MAX => Ok(Self(Text::Shared(text.into()))),
            len => Err(NameTooLong { len }),
        }
    }

    /// Takes a literal, without an allocation.
    ///
    /// # Errors
    /// [`NameTooLong`] when it has more than 255 bytes.
    pub const fn from_static(text: &'static str) -> Result<Self, NameTooLong> {
        if text.len() > SHORT_STRING_MAX {
            return Err(NameTooLong { len: text.len() });
        }
        Ok(Self(Text::Static(text)))
    }

    /// Copies what a peer sent; what is not UTF-8 becomes U+FFFD, and what that lengthens past
    /// 255 bytes is cut at a character boundary.
    pub fn from_short_lossy(short: ShortStr<'_>) -> Self {
        if short.is_empty() {
            return Self::EMPTY;
        }
        let text = String::from_utf8_lossy(short.as_bytes());
        let kept = text.get(..text.floor_boundary(SHORT_STRING_MAX)).unwrap_or_default();
        Self(Text::Shared(Arc::from(kept)))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// The same string, borrowed as the wire wants it.
    #[inline]
    pub fn as_short(&self) -> ShortStr<'_> {
        ShortStr(self.as_str().as_bytes())
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }
}

/// `str::floor_char_boundary`, which our minimum Rust does not have yet.
trait FloorBoundary {
    fn floor_boundary(&self, at: usize) -> usize;
}

impl FloorBoundary for str {
    fn floor_boundary(&self, at: usize) -> usize {
        let at = at.min(self.len());
        (0..=at).rev().find(|&at| self.is_char_boundary(at)).unwrap_or(0)
    }
}

impl Default for ShortString {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Display for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for ShortString {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ShortString {}

impl PartialEq<str> for ShortString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ShortString {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialOrd for ShortString {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShortString {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// Hashes as `str` does, so that maps keyed by it can be asked with a `&str`.
impl Hash for ShortString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for ShortString {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ShortString {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl From<ShortString> for Arc<str> {
    fn from(short: ShortString) -> Self {
        match short.0 {
            Text::Static(text) => Arc::from(text),
            Text::Shared(text) => text,
        }
    }
}

impl TryFrom<&str> for ShortString {
    type Error = NameTooLong;

    fn try_from(text: &str) -> Result<Self, NameTooLong> {
        Self::new(text)
    }
}

impl TryFrom<String> for ShortString {
    type Error = NameTooLong;

    fn try_from(text: String) -> Result<Self, NameTooLong> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_string_ends_at_255_bytes() {
        let longest = "é".repeat(127) + "x";
        assert_eq!(ShortStr::new(&longest).unwrap().len(), 255);
        assert_eq!(ShortString::new(longest.as_str()).unwrap().as_str(), longest);
        let longer = "é".repeat(128);
        assert_eq!(ShortStr::new(&longer), Err(NameTooLong { len: 256 }));
        assert_eq!(ShortString::new(longer), Err(NameTooLong { len: 256 }));
        assert!(NameTooLong { len: 300 }.to_string().contains("300 bytes"));
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_within_the_bound() {
        let short = ShortStr::from_bytes(&[0xff; 255]).unwrap();
        assert!(short.to_str().is_err());
        let owned = ShortString::from_short_lossy(short);
        assert_eq!(owned.as_str(), "\u{fffd}".repeat(85));
        assert_eq!(format!("{}", ShortStr::from_bytes(b"a\xffb").unwrap()), "a\u{fffd}b");
    }

    #[test]
    fn literals_and_shared_strings_are_equal_and_hash_alike() {
        let map = std::collections::HashMap::from([(ShortString::new("q").unwrap(), 1)]);
        assert_eq!(map.get("q"), Some(&1));
        assert_eq!(map.get(&ShortString::from_static("q").unwrap()), Some(&1));
        assert_eq!(ShortString::default(), ShortString::new("").unwrap());
    }
}
