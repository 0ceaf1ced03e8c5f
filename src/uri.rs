//! Addresses: RabbitMQ's URI specification, its query parameters, and several hosts.
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::config::{
    Address, Config, Credentials, FRAME_MAX_LEAST, Mechanism, Scheme, Secret, Tls, Verify, is_host,
    is_ipv6, write_authority,
};

mod query;

/// A parsed address: `amqps://user:password@host,host:port,[::1]/vhost?parameter=value&...`
///
/// What RabbitMQ's URI specification says holds, and several hosts may be named, separated by
/// commas. Every part is percent-decoded. What is left out is the default of [`Config`], with
/// these rules:
///
/// - The vhost of `amqp://host` is `/`; of `amqp://host/` it is the vhost whose name is *empty*;
///   `/` written out is `amqp://host/%2f`.
/// - With a user and no password, the password is empty, and not `guest`.
/// - IPv6 stands in brackets: `amqp://[2001:db8::1]:5672`.
///
/// | Parameter | Value |
/// |---|---|
/// | `heartbeat` | seconds, 0 for none |
/// | `connection_timeout` | milliseconds for connecting in all, at least 1 |
/// | `channel_max`, `frame_max` | a number, 0 for no limit |
/// | `auth_mechanism` | `plain`, `amqplain`, `external`, `anonymous`; repeated in order of preference |
/// | `cacertfile` | PEM file of the authorities to trust instead of the system's |
/// | `certfile`, `keyfile` | PEM files of the client's certificate and key; the key may stand in `certfile` |
/// | `verify` | `verify_peer`, the default; `verify_none` needs [`Tls::danger_accept_any_certificate`] as well |
/// | `server_name_indication` | the name to ask for and expect, or `disable` to send none |
///
/// The last five need `amqps`. A parameter that is unknown, bad, repeated, or of TLS without TLS
/// is an error that names it: nothing is ignored.
///
/// ```
/// # use hopmq::{Uri, UriError};
/// let uri: Uri = "amqp://me:hunter2@[2001:db8::1]/shop?heartbeat=20".parse()?;
/// assert_eq!(uri.to_string(), "amqp://me:***@[2001:db8::1]:5672/shop");
/// let error = "amqp://localhost?hartbeat=20".parse::<Uri>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown parameter hartbeat");
/// # Ok::<(), UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Uri {
    scheme: Scheme,
    config: Config,
}

impl Uri {
    /// Whether the address is of TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The hosts, in the order written.
    pub fn hosts(&self) -> &[Address] {
        &self.config.hosts
    }

    /// The user's name and password, RabbitMQ's default ones if there were none.
    pub fn credentials(&self) -> &Credentials {
        &self.config.credentials
    }

    /// The virtual host.
    pub fn vhost(&self) -> &str {
        &self.config.vhost
    }

    pub(crate) fn into_config(self) -> Config {
        self.config
    }
}

/// The address without its parameters and with `***` for the password: fit for a log.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { credentials, hosts, vhost, .. } = &self.config;
        write!(f, "{}://{}:***@", self.scheme.name(), Encoded(&credentials.user))?;
        for (number, host) in hosts.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "," })?;
            write_authority(f, &host.host, host.port)?;
        }
        write!(f, "/{}", Encoded(vhost))
    }
}

/// A part of an address, for errors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UriPart {
    /// The user's name.
    User,
    /// The password.
    Password,
    /// A host.
    Host {
        /// Which one, counted from 1.
        number: usize,
    },
    /// The virtual host.
    Vhost,
    /// A parameter behind the `?`.
    Parameter {
        /// Its name; what is not a word is given by its number.
        name: String,
    },
}

impl fmt::Display for UriPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UriPart::User => f.write_str("the user"),
            UriPart::Password => f.write_str("the password"),
            UriPart::Host { number } => write!(f, "host {number}"),
            UriPart::Vhost => f.write_str("the vhost"),
            UriPart::Parameter { name } => write!(f, "parameter {name}"),
        }
    }
}

/// Why a text is no address.
///
/// Errors name the part and never quote it: a badly encoded password may stand anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `amqp://` or `amqps://`.
    #[error("an address begins with amqp:// or amqps://")]
    Scheme,
    /// There is an `@` where none may stand, most likely in a password.
    #[error(
        "an @ in the user, password, vhost or a parameter is written %40, a / in a password %2F, a ? %3F and a # %23"
    )]
    StrayAt,
    /// There is a `#`.
    #[error("an address has no fragment: a # is written %23")]
    Fragment,
    /// A part holds a space, a control character, or another that must be percent-encoded.
    #[error("{part} holds a character that must be percent-encoded")]
    Character {
        /// Where.
        part: UriPart,
    },
    /// A `%` is not followed by two hexadecimal digits.
    #[error("{part} holds a % without two hexadecimal digits behind it")]
    PercentEncoding {
        /// Where.
        part: UriPart,
    },
    /// A part, decoded, is not UTF-8.
    #[error("{part} is not UTF-8")]
    NotUtf8 {
        /// Where.
        part: UriPart,
    },
    /// A host is neither a name nor an IP address.
    #[error("host {number} is neither a name nor an IP address (IPv6 stands in brackets)")]
    Host {
        /// Which one, counted from 1.
        number: usize,
    },
    /// A port is not a number from 1 to 65535.
    #[error("the port of host {number} is not a number from 1 to 65535")]
    Port {
        /// Which host's, counted from 1.
        number: usize,
    },
    /// The path has a second `/`.
    #[error("a / in the vhost is written %2F")]
    VhostSlash,
    /// The vhost is longer than AMQP can say.
    #[error("the vhost is longer than 255 bytes")]
    VhostTooLong,
    /// There is no such parameter.
    #[error("unknown parameter {name}")]
    UnknownParameter {
        /// Its name; what is not a word is given by its number.
        name: String,
    },
    /// RabbitMQ's Erlang client knows that parameter, we do not.
    #[error("parameter {name} is not supported: {instead}")]
    UnsupportedParameter {
        /// Its name.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A parameter's value is not what it has to be.
    #[error("parameter {name} must be {expected}")]
    BadParameter {
        /// Its name.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A parameter stands there twice.
    #[error("parameter {name} is given twice")]
    RepeatedParameter {
        /// Its name.
        name: &'static str,
    },
    /// A parameter of TLS stands on an address without TLS.
    #[error("parameter {name} is of TLS, and the address is amqp:// and not amqps://")]
    NotTls {
        /// Its name.
        name: &'static str,
    },
    /// A key without its certificate.
    #[error("parameter keyfile needs certfile")]
    KeyWithoutCertificate,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = split_scheme(text)?;
        // Only one `@` may stand in an address, before any `/`, `?` and `#`. Else a password with
        // one of these unencoded would be taken for a host, a vhost or a parameter, and quoted.
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).ok_or(UriError::Scheme)?;
        if tail.contains('@') || authority.matches('@').count() > 1 {
            return Err(UriError::StrayAt);
        }
        if tail.contains('#') {
            return Err(UriError::Fragment);
        }
        let mut config = Config::default();
        let hosts = match authority.split_once('@') {
            Some((userinfo, hosts)) => {
                config.credentials = parse_credentials(userinfo)?;
                hosts
            }
            None => authority,
        };
        config.hosts = parse_hosts(scheme, hosts)?;
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, query),
            None => (tail, ""),
        };
        if let Some(vhost) = path.strip_prefix('/') {
            config.vhost = parse_vhost(vhost)?;
        }
        query::apply(&mut config, scheme, query)?;
        Ok(Uri { scheme, config })
    }
}

/// Reads one host alone: `amqps://host:port`.
impl FromStr for Address {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, host) = split_scheme(text)?;
        if host.contains('@') {
            return Err(UriError::StrayAt);
        }
        parse_host(scheme, host, 1)
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), UriError> {
    let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
    [Scheme::Amqp, Scheme::Amqps]
        .into_iter()
        .find(|known| known.name().eq_ignore_ascii_case(scheme))
        .map(|known| (known, rest))
        .ok_or(UriError::Scheme)
}

fn parse_credentials(userinfo: &str) -> Result<Credentials, UriError> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    // `amqp://@host` names nobody: the default, as if there were no `@`.
    if user.is_empty() && password.is_none() {
        return Ok(Credentials::default());
    }
    let password = decode_bytes(password.unwrap_or(""), || UriPart::Password)?;
    let password = std::str::from_utf8(&password)
        .map_err(|_| UriError::NotUtf8 { part: UriPart::Password })?;
    Ok(Credentials::new(decode(user, || UriPart::User)?, Secret::new(password)))
}

fn parse_hosts(scheme: Scheme, hosts: &str) -> Result<Vec<Address>, UriError> {
    let several = hosts.contains(',');
    let parse = |(at, host): (usize, &str)| {
        // A lone missing host is the default one; a gap in a list is a mistake.
        if several && host.is_empty() {
            return Err(UriError::Host { number: at + 1 });
        }
        parse_host(scheme, host, at + 1)
    };
    hosts.split(',').enumerate().map(parse).collect()
}

fn parse_host(scheme: Scheme, text: &str, number: usize) -> Result<Address, UriError> {
    let bad_host = || UriError::Host { number };
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, behind) = bracketed.split_once(']').ok_or_else(bad_host)?;
            let ip = decode(ip, || UriPart::Host { number })?;
            if !is_ipv6(&ip) {
                return Err(bad_host());
            }
            match (behind, behind.strip_prefix(':')) {
                ("", _) => (ip, None),
                (_, Some(port)) => (ip, Some(port)),
                (_, None) => return Err(bad_host()),
            }
        }
        None => {
            let (name, port) = match text.split_once(':') {
                // A second colon: IPv6 without its brackets.
                Some((_, port)) if port.contains(':') => return Err(bad_host()),
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            let name = decode(name, || UriPart::Host { number })?;
            // IPv6 with its colons encoded is still without its brackets.
            if name.contains(':') {
                return Err(bad_host());
            }
            (name, port)
        }
    };
    let host = if host.is_empty() { Address::default().host } else { host };
    if !is_host(&host) {
        return Err(bad_host());
    }
    let port = match port {
        None => scheme.default_port(),
        Some(digits) => {
            parse_number(digits).filter(|port| *port != 0).ok_or(UriError::Port { number })?
        }
    };
    Ok(Address::new(scheme, host).port(port))
}

fn parse_vhost(path: &str) -> Result<String, UriError> {
    if path.contains('/') {
        return Err(UriError::VhostSlash);
    }
    let vhost = decode(path, || UriPart::Vhost)?;
    if vhost.len() > usize::from(u8::MAX) {
        return Err(UriError::VhostTooLong);
    }
    Ok(vhost)
}

/// A number of digits only: `str::parse` would also take a `+`.
fn parse_number<N: FromStr>(digits: &str) -> Option<N> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Percent-decodes a part that is text.
fn decode(text: &str, part: impl Fn() -> UriPart) -> Result<String, UriError> {
    let bytes = decode_bytes(text, &part)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| UriError::NotUtf8 { part: part() })?;
    Ok(text.to_owned())
}

/// Percent-decodes a part, into a buffer that is wiped and never grows (which would leave copies).
fn decode_bytes(text: &str, part: impl Fn() -> UriPart) -> Result<Zeroizing<Vec<u8>>, UriError> {
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit(), digit());
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            decoded.push(value.ok_or_else(|| UriError::PercentEncoding { part: part() })?);
        } else if byte.is_ascii_control() || b" \"<>\\^`{|}[]".contains(&byte) {
            return Err(UriError::Character { part: part() });
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}

/// Prints a part percent-encoded.
struct Encoded<'a>(&'a str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
