//! Reply codes (AMQP 0-9-1, section 1.2): why a message came back, a channel or connection ended.

use std::fmt;

/// The code in `basic.return`, `channel.close` and `connection.close`.
///
/// ```
/// use hopmq::wire::ReplyCode;
///
/// let code = ReplyCode(404);
/// assert_eq!(code, ReplyCode::NOT_FOUND);
/// assert_eq!(code.to_string(), "404 NOT_FOUND");
/// assert!(!code.is_connection_error());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(pub u16);

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $class:ident;)*) => {
        impl ReplyCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code of the spec.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code's name as RabbitMQ writes it (`NOT_FOUND`), when it is a known one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            const fn class(self) -> Class {
                match self.0 {
                    $($code => Class::$class,)*
                    _ => Class::Other,
                }
            }
        }
    };
}

enum Class {
    /// Not an error.
    Success,
    /// A channel exception.
    Soft,
    /// A connection exception.
    Hard,
    /// Not in the spec.
    Other,
}

reply_codes! {
    /// All went well: the code of an ordinary close.
    REPLY_SUCCESS = 200 Success;
    /// The content is larger than the peer takes.
    CONTENT_TOO_LARGE = 311 Soft;
    /// A mandatory message reached no queue (in `basic.return`).
    NO_ROUTE = 312 Soft;
    /// An immediate message found no ready consumer (in `basic.return`).
    NO_CONSUMERS = 313 Soft;
    /// An operator or the broker itself closed the connection, as in a shutdown.
    CONNECTION_FORCED = 320 Hard;
    /// The virtual host is not known.
    INVALID_PATH = 402 Hard;
    /// Credentials or permissions do not suffice.
    ACCESS_REFUSED = 403 Soft;
    /// No such queue or exchange.
    NOT_FOUND = 404 Soft;
    /// Another connection holds the queue exclusively.
    RESOURCE_LOCKED = 405 Soft;
    /// A precondition does not hold: a redeclaration with other arguments, an unknown delivery tag.
    PRECONDITION_FAILED = 406 Soft;
    /// A frame could not be decoded.
    FRAME_ERROR = 501 Hard;
    /// A frame had an illegal field.
    SYNTAX_ERROR = 502 Hard;
    /// Frames came in an order that the protocol does not allow.
    COMMAND_INVALID = 503 Hard;
    /// A channel that was not opened, or that was opened twice.
    CHANNEL_ERROR = 504 Hard;
    /// A frame that was not expected here, as content without its header.
    UNEXPECTED_FRAME = 505 Hard;
    /// The peer ran out of a resource.
    RESOURCE_ERROR = 506 Hard;
    /// The peer does not allow this, by its policy.
    NOT_ALLOWED = 530 Hard;
    /// The peer does not implement this.
    NOT_IMPLEMENTED = 540 Hard;
    /// The peer failed within.
    INTERNAL_ERROR = 541 Hard;
}

impl ReplyCode {
    /// Whether the spec has it end the connection (a "hard error").
    pub const fn is_connection_error(self) -> bool {
        matches!(self.class(), Class::Hard)
    }

    /// Whether the spec has it end the channel only (a "soft error").
    ///
    /// RabbitMQ sends `403 ACCESS_REFUSED` through `connection.close` too, when the login fails:
    /// what ended is said by the method that carries the code.
    pub const fn is_channel_error(self) -> bool {
        matches!(self.class(), Class::Soft)
    }

    /// Whether it is the code of an ordinary close.
    pub const fn is_success(self) -> bool {
        matches!(self.class(), Class::Success)
    }
}

impl From<u16> for ReplyCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<ReplyCode> for u16 {
    fn from(code: ReplyCode) -> Self {
        code.0
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_print_their_names_and_know_their_severity() {
        assert_eq!(ReplyCode::CONNECTION_FORCED.to_string(), "320 CONNECTION_FORCED");
        assert_eq!(ReplyCode(999).to_string(), "999");
        assert!(ReplyCode::FRAME_ERROR.is_connection_error());
        assert!(ReplyCode::ACCESS_REFUSED.is_channel_error());
        assert!(ReplyCode::REPLY_SUCCESS.is_success());
        let odd = ReplyCode(999);
        assert!(!odd.is_connection_error() && !odd.is_channel_error() && !odd.is_success());
    }
}
