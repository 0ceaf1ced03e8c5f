//! Settings of TLS: whom to trust, who we are, which name to expect.
use std::fmt;
use std::path::PathBuf;

use super::Secret;

/// How an `amqps://` connection is secured.
///
/// The default trusts the roots of the operating system and expects the name of the host that was
/// dialled. Both come from the caller alone, never from what the peer announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub(crate) authorities: Vec<Pem>,
    pub(crate) and_system_roots: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: ServerNameSetting,
    pub(crate) verify: Verify,
}

impl Tls {
    /// The default: system roots, no client certificate, the name of the host.
    pub fn new() -> Self {
        Tls::default()
    }

    /// Trusts the certificates of this PEM file, *instead of* the system's roots. May be called
    /// several times. The file is read at each attempt to connect, so that it may be replaced.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities.push(Pem::File(path.into()));
        self
    }

    /// Trusts the certificates of this PEM text, *instead of* the system's roots. May be called
    /// several times.
    pub fn ca_pem(mut self, pem: impl Into<String>) -> Self {
        self.authorities.push(Pem::Text(Secret::new(pem)));
        self
    }

    /// Trusts the system's roots as well as those given with [`ca_file`](Tls::ca_file) and
    /// [`ca_pem`](Tls::ca_pem).
    pub fn and_system_roots(mut self) -> Self {
        self.and_system_roots = true;
        self
    }

    /// Shows this certificate (a chain in PEM, the client's own first) with this private key to
    /// the broker. One file may hold both. The key must not be encrypted.
    pub fn identity_files(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity =
            Some(Identity { chain: Pem::File(certificate.into()), key: Pem::File(key.into()) });
        self
    }

    /// Shows this certificate with this private key, both PEM texts, to the broker.
    pub fn identity_pem(mut self, certificate: impl Into<String>, key: impl Into<Secret>) -> Self {
        self.identity = Some(Identity {
            chain: Pem::Text(Secret::new(certificate)),
            key: Pem::Text(key.into()),
        });
        self
    }

    /// Asks for, and expects in the broker's certificate, this name instead of the host's: for
    /// brokers reached by IP address or through a tunnel.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = ServerNameSetting::Named(name.into());
        self
    }

    /// Sends no server name (no SNI). The certificate is still checked against the host's name.
    pub fn without_server_name(mut self) -> Self {
        self.server_name = ServerNameSetting::Unsent;
        self
    }

    /// **Dangerous**: takes any certificate of anybody. The connection is encrypted, with whom is
    /// not known; whoever sits in between reads the password. Every connection made so is logged
    /// as a warning.
    ///
    /// An address with `verify=verify_none` alone does not do this: connecting to it is refused
    /// until the program agrees by this call.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.verify = Verify::Nothing;
        self
    }
}

/// PEM in a file or at hand. A text is kept as a secret, since it may hold a private key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pem {
    File(PathBuf),
    Text(Secret),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pem::File(path) => path.fmt(f),
            Pem::Text(_) => f.write_str("<PEM text>"),
        }
    }
}

impl Pem {
    /// Where it comes from, for errors.
    #[cfg(feature = "tls")]
    pub(crate) fn origin(&self) -> String {
        match self {
            Pem::File(path) => path.display().to_string(),
            Pem::Text(_) => "the PEM text".to_owned(),
        }
    }
}

/// A client certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) chain: Pem,
    pub(crate) key: Pem,
}

/// Which name is sent and expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerNameSetting {
    /// The host's.
    #[default]
    Host,
    /// Another, for both.
    Named(String),
    /// None is sent, the host's is expected.
    Unsent,
}

/// How much of the broker's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verify {
    /// Chain, dates and name.
    #[default]
    Peer,
    /// An address asked for `verify_none`; refused until the program agrees.
    NothingAsked,
    /// The program agreed to verify nothing.
    Nothing,
}
