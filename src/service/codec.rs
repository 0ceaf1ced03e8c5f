//! How a payload becomes the body of a message, and the other way round.

use bytes::Bytes;

use crate::wire::TableError;

/// Any error, as codecs and handlers have them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A format of payloads: what it is called in a message's properties.
///
/// What it writes is [`Encode`], what it reads [`Decode`], for each type that it knows. With the
/// feature `json` there is [`Json`](super::Json); [`Raw`] and [`Text`] are always there; another is
/// three small implementations:
///
/// ```
/// use bytes::Bytes;
/// use hopmq::service::{BoxError, Codec, Decode, Encode};
///
/// /// A number in decimal digits.
/// #[derive(Clone, Copy)]
/// struct Decimal;
///
/// impl Codec for Decimal {
///     fn content_type(&self) -> &str {
///         "text/x-decimal"
///     }
/// }
///
/// impl Encode<u64> for Decimal {
///     fn encode(&self, payload: &u64) -> Result<Bytes, BoxError> {
///         Ok(payload.to_string().into())
///     }
/// }
///
/// impl Decode<u64> for Decimal {
///     fn decode(&self, body: &[u8]) -> Result<u64, BoxError> {
///         Ok(std::str::from_utf8(body)?.parse()?)
///     }
/// }
/// # assert_eq!(Decimal.decode(b"7").unwrap(), 7);
/// ```
pub trait Codec: Send + Sync + 'static {
    /// The MIME type that messages say: the property content-type.
    fn content_type(&self) -> &str;

    /// The encoding around it, such as `gzip`, if any: the property content-encoding.
    fn content_encoding(&self) -> Option<&str> {
        None
    }

    /// Whether it reads what says to be of that type and in that encoding.
    ///
    /// By itself: its own type, whatever the parameters and the case (`application/json;
    /// charset=utf-8`), or none at all, since many programs say none; and its own encoding, where
    /// `identity` and `utf-8` count as none.
    fn accepts(&self, content_type: Option<&str>, content_encoding: Option<&str>) -> bool {
        let same_type = content_type.is_none_or(|said| essence_eq(said, self.content_type()));
        let own = self.content_encoding().and_then(encoding);
        let said = content_encoding.and_then(encoding);
        same_type && own.map(str::to_ascii_lowercase) == said.map(str::to_ascii_lowercase)
    }
}

/// Writes payloads of the type `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not write payloads of the type `{T}`",
    label = "no `Encode<{T}>` for this codec",
    note = "`Json` writes what implements `serde::Serialize`, `Text` strings, `Raw` bytes"
)]
pub trait Encode<T>: Codec {
    /// The bytes of a payload.
    ///
    /// # Errors
    /// What the format cannot say.
    fn encode(&self, payload: &T) -> Result<Bytes, BoxError>;
}

/// Reads payloads of the type `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not read payloads of the type `{T}`",
    label = "no `Decode<{T}>` for this codec",
    note = "`Json` reads what implements `serde::de::DeserializeOwned`, `Text` strings, `Raw` bytes"
)]
pub trait Decode<T>: Codec {
    /// The payload of these bytes.
    ///
    /// # Errors
    /// Why they are none. They come from a peer: an implementation must not panic on them.
    fn decode(&self, body: &[u8]) -> Result<T, BoxError>;
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw;

impl Codec for Raw {
    fn content_type(&self) -> &str {
        "application/octet-stream"
    }

    /// Bytes of any type, in any encoding.
    fn accepts(&self, _: Option<&str>, _: Option<&str>) -> bool {
        true
    }
}

impl Encode<Bytes> for Raw {
    fn encode(&self, payload: &Bytes) -> Result<Bytes, BoxError> {
        Ok(payload.clone())
    }
}

impl Decode<Bytes> for Raw {
    fn decode(&self, body: &[u8]) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(body))
    }
}

/// Text in UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text;

impl Codec for Text {
    fn content_type(&self) -> &str {
        "text/plain; charset=utf-8"
    }
}

impl Encode<String> for Text {
    fn encode(&self, payload: &String) -> Result<Bytes, BoxError> {
        Ok(Bytes::copy_from_slice(payload.as_bytes()))
    }
}

impl Decode<String> for Text {
    fn decode(&self, body: &[u8]) -> Result<String, BoxError> {
        Ok(std::str::from_utf8(body)?.to_owned())
    }
}

/// JSON, by serde: what is `Serialize` is written, what is `DeserializeOwned` is read.
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

#[cfg(feature = "json")]
impl Codec for Json {
    fn content_type(&self) -> &str {
        "application/json"
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> Encode<T> for Json {
    fn encode(&self, payload: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(payload)?.into())
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned> Decode<T> for Json {
    fn decode(&self, body: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(body)?)
    }
}

/// A payload could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be written as {content_type}")]
pub struct EncodeError {
    /// What it was to become.
    pub content_type: String,
    /// Why not.
    pub source: BoxError,
}

/// A message is not what its consumer reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It says to be of a type, or in an encoding, that the codec does not read.
    #[error(
        "the message says to be {}{}, which is not {expected}",
        .content_type.as_deref().unwrap_or("of no type"),
        .content_encoding.as_ref().map(|how| format!(" in {how}")).unwrap_or_default()
    )]
    Unsupported {
        /// The type that it says.
        content_type: Option<String>,
        /// The encoding that it says.
        content_encoding: Option<String>,
        /// What the codec reads.
        expected: String,
    },
    /// Its headers are no table.
    #[error("the headers cannot be decoded")]
    Headers(#[source] TableError),
    /// Its body is no payload.
    #[error("the body is no payload in {content_type}")]
    Payload {
        /// What it should be.
        content_type: String,
        /// Why it is not.
        source: BoxError,
    },
}

/// A media type without its parameters (RFC 9110, 8.3.1).
fn essence_eq(one: &str, other: &str) -> bool {
    let essence =
        |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence(one) == essence(other)
}

/// The encoding, where it changes anything. Celery and others say the charset there.
fn encoding(said: &str) -> Option<&str> {
    let said = said.trim();
    let nothing = ["", "identity", "utf-8"];
    (!nothing.iter().any(|known| said.eq_ignore_ascii_case(known))).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zipped;

    impl Codec for Zipped {
        fn content_type(&self) -> &str {
            "application/json"
        }

        fn content_encoding(&self) -> Option<&str> {
            Some("gzip")
        }
    }

    #[test]
    fn a_type_is_known_whatever_its_parameters_and_case() {
        for said in [Some("text/plain"), Some("Text/PLAIN ; charset=ascii"), None] {
            assert!(Text.accepts(said, None), "{said:?}");
        }
        assert!(!Text.accepts(Some("application/json"), None));
        assert!(!Text.accepts(Some(""), None));
    }

    #[test]
    fn an_encoding_that_nobody_undoes_is_refused() {
        assert!(Text.accepts(None, Some("identity")) && Text.accepts(None, Some("UTF-8")));
        assert!(!Text.accepts(None, Some("gzip")));
        assert!(Zipped.accepts(Some("application/json"), Some("GZIP")));
        assert!(!Zipped.accepts(Some("application/json"), None));
        assert!(Raw.accepts(Some("image/png"), Some("br")));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert!(Decode::<String>::decode(&Text, b"\xff").is_err());
        assert_eq!(Decode::<String>::decode(&Text, "ä".as_bytes()).unwrap(), "ä");
    }
}
