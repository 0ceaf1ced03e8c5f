//! What must not be seen: passwords, and the credentials that hold them.
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A text that is never printed, and is overwritten in memory when its last clone is dropped.
///
/// Clones share one buffer, so that there is one place to wipe. The string it was made from is the
/// caller's own to wipe.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes a text over as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(Arc::new(Zeroizing::new(text.into())))
    }

    /// The secret itself: named so that every place which reveals it is easily found.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Secret::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret::new(text)
    }
}

/// Who logs in: a user's name and password.
///
/// The default is RabbitMQ's own, `guest` with the password `guest`, which a broker takes from its
/// own machine only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(::serde::Serialize, ::serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Credentials {
    /// The user's name. May be empty, as RabbitMQ's OAuth 2 plugin expects it.
    pub user: String,
    /// The password, or the token of an OAuth 2 login.
    #[cfg_attr(feature = "serde", serde(skip_serializing))]
    pub password: Secret,
}

impl Credentials {
    /// Credentials of a user's name and a password.
    ///
    /// ```
    /// # use hopmq::Credentials;
    /// let shown = format!("{:?}", Credentials::new("shop", "hunter2"));
    /// assert!(shown.contains("shop") && !shown.contains("hunter2"));
    /// ```
    pub fn new(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Credentials { user: user.into(), password: password.into() }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Credentials::new("guest", "guest")
    }
}

/// A way to log in (a SASL mechanism). Which of ours is used is the first that the broker offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// `PLAIN`: user and password as they are (RFC 4616).
    Plain,
    /// `AMQPLAIN`: user and password in a field table, from before AMQP 0-9-1.
    Amqplain,
    /// `EXTERNAL`: the client's TLS certificate says who it is.
    External,
    /// `ANONYMOUS`: nobody in particular, where the broker allows that.
    Anonymous,
}

impl Mechanism {
    /// The name that goes over the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Amqplain => "AMQPLAIN",
            Mechanism::External => "EXTERNAL",
            Mechanism::Anonymous => "ANONYMOUS",
        }
    }

    /// The mechanism of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        use Mechanism::*;
        [Plain, Amqplain, External, Anonymous]
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        assert!(!format!("{:#?}", Credentials::new("me", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn clones_of_a_secret_share_the_one_buffer_that_is_wiped() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.reveal().as_ptr(), secret.clone().reveal().as_ptr());
    }

    #[test]
    fn mechanisms_are_found_by_name_in_any_case() {
        assert_eq!(Mechanism::from_name("external"), Some(Mechanism::External));
        assert_eq!(Mechanism::from_name("AmqPlain"), Some(Mechanism::Amqplain));
        assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
    }
}
