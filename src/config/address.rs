//! Where a broker is.
use std::fmt;
use std::net::Ipv6Addr;

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `amqp://`: plain TCP, port 5672 unless another is named.
    Amqp,
    /// `amqps://`: TLS from the first byte on, port 5671 unless another is named.
    Amqps,
}

impl Scheme {
    /// The port that is meant where none is named.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Amqp => 5672,
            Scheme::Amqps => 5671,
        }
    }

    /// The name as it stands in an address, without `://`.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::Amqp => "amqp",
            Scheme::Amqps => "amqps",
        }
    }
}

/// One host of a broker: a name or an IP address, a port, and whether to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Address {
    /// A DNS name, or an IP address; IPv6 without brackets, possibly with a zone (`fe80::1%eth0`).
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Plain or TLS.
    pub scheme: Scheme,
}

impl Address {
    /// A host reached without TLS, on port 5672.
    pub fn plain(host: impl Into<String>) -> Self {
        Address::new(Scheme::Amqp, host)
    }

    /// A host reached with TLS, on port 5671.
    pub fn tls(host: impl Into<String>) -> Self {
        Address::new(Scheme::Amqps, host)
    }

    /// A host on the default port of the scheme.
    pub fn new(scheme: Scheme, host: impl Into<String>) -> Self {
        Address { host: host.into(), port: scheme.default_port(), scheme }
    }

    /// The same host on another port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

impl Default for Address {
    fn default() -> Self {
        Address::plain("localhost")
    }
}

/// As in an address: `amqps://[::1]:5671`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        write_authority(f, &self.host, self.port)
    }
}

/// `host:port`, with brackets around IPv6 and the zone's `%` encoded, as RFC 6874 has it.
pub(crate) fn write_authority(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') {
        write!(f, "[{}]:{port}", host.replace('%', "%25"))
    } else {
        write!(f, "{host}:{port}")
    }
}

/// Whether the text can be a host: a DNS name, IPv4, or IPv6 with or without a zone.
pub(crate) fn is_host(text: &str) -> bool {
    if text.contains(':') {
        return is_ipv6(text);
    }
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Whether the text is an IPv6 address, with or without a zone.
pub(crate) fn is_ipv6(text: &str) -> bool {
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let zone_ok = zone.is_none_or(|zone| {
        !zone.is_empty()
            && zone.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    });
    zone_ok && ip.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_is_written() {
        assert_eq!(Address::tls("a.example").to_string(), "amqps://a.example:5671");
        assert_eq!(Address::plain("::1").port(1).to_string(), "amqp://[::1]:1");
        assert_eq!(Address::plain("fe80::1%eth0").to_string(), "amqp://[fe80::1%25eth0]:5672");
    }

    #[test]
    fn a_host_is_a_name_or_an_ip_address() {
        for good in ["a", "a.b-c.d_e", "127.0.0.1", "::1", "2001:db8::1", "fe80::1%eth0"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "ü", "::g", "1:2", "fe80::1%", "a%b", "a\0"] {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
