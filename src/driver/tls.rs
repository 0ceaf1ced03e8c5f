//! TLS: whom to trust, who we are, which name to expect, and why it failed.
use std::error::Error;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use zeroize::Zeroizing;

use crate::config::{Identity, Pem, ServerNameSetting, Tls, Verify};

/// An encrypted stream.
pub(crate) type TlsStream = tokio_rustls::client::TlsStream<TcpStream>;

type Cause = Box<dyn Error + Send + Sync>;

/// Why TLS could not be established, or was ended by the broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The broker's certificate has expired.
    #[error("the broker's certificate has expired")]
    Expired(#[source] Cause),
    /// The broker's certificate is not valid yet; one of the two clocks may be wrong.
    #[error("the broker's certificate is not valid yet")]
    NotValidYet(#[source] Cause),
    /// The broker's certificate is for other hosts.
    #[error("the broker's certificate is not for {expected} but for {}", presented.join(", "))]
    WrongHost {
        /// The name that was expected: the host's, or the one that was configured.
        expected: String,
        /// The names that the certificate is for.
        presented: Vec<String>,
    },
    /// The broker's certificate is for no host at all: it has no subject alternative name. (A
    /// common name does not count, RFC 9525, 2.)
    #[error(
        "the broker's certificate has no subject alternative name, so it is not for {expected}"
    )]
    NoSubjectName {
        /// The name that was expected: the host's, or the one that was configured.
        expected: String,
    },
    /// The broker's certificate is from an authority that is not trusted here.
    #[error("the broker's certificate is from an authority that is not trusted")]
    UnknownAuthority(#[source] Cause),
    /// The broker's certificate is bad in another way.
    #[error("the broker's certificate is not acceptable")]
    Certificate(#[source] Cause),
    /// The broker wants a certificate from us, and none is configured.
    #[error("the broker demands a client certificate")]
    ClientCertificateDemanded(#[source] Cause),
    /// The broker ended TLS, for instance since it does not trust our certificate.
    #[error("the broker refused")]
    Refused(#[source] Cause),
    /// What answers at this port does not speak TLS.
    #[error("what answers there does not speak TLS; is it a port for amqp:// ?")]
    NotTls(#[source] Cause),
    /// The two sides found nothing in common, or one broke the protocol.
    #[error("the TLS protocol failed")]
    Protocol(#[source] Cause),
    /// The connection broke.
    #[error("the connection broke during the TLS handshake")]
    Io(#[source] io::Error),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A PEM file or text does not hold what it should. What it holds is not quoted.
    #[error("{origin} holds no usable {wanted}")]
    Pem {
        /// Which file, or which text.
        origin: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The private key is encrypted.
    #[error("the private key in {origin} is encrypted, which is not supported: decrypt it")]
    EncryptedKey {
        /// Which file, or which text.
        origin: String,
    },
    /// Certificate and private key do not go together, or are of an unsupported kind.
    #[error("the client certificate and its key cannot be used")]
    Identity(#[source] Cause),
    /// The operating system has no root certificates.
    #[error("the operating system has no root certificates: name an authority's file")]
    NoSystemRoots {
        /// The first thing that went wrong in looking for them.
        source: Option<Cause>,
    },
    /// The name to expect is neither a DNS name nor an IP address.
    #[error("{name} cannot stand in a certificate")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The address says `verify=verify_none`, and the program did not agree to that.
    #[error(
        "the address says verify=verify_none, which needs Tls::danger_accept_any_certificate in the program as well"
    )]
    VerificationOff,
}

impl TlsError {
    /// Whether only another configuration can help.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, TlsError::ServerName { .. } | TlsError::VerificationOff)
    }

    /// What an error of the socket holds, as the driver has put it there.
    pub(crate) fn of_socket(error: &io::Error) -> Option<&TlsError> {
        error.get_ref()?.downcast_ref()
    }

    /// What a failed read or write says, if it is about TLS: that a client's certificate is not
    /// wanted is told only after the handshake (TLS 1.3, RFC 8446, 4.4.2.4).
    pub(crate) fn from_io(error: io::Error) -> Result<TlsError, io::Error> {
        match error.downcast::<rustls::Error>() {
            Ok(error) => Ok(explain(error)),
            Err(error) => Err(error),
        }
    }
}

fn explain(error: rustls::Error) -> TlsError {
    use CertificateError as Bad;
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(Bad::NotValidForNameContext { expected, presented }) => {
            let expected = expected.to_str().into_owned();
            if presented.is_empty() {
                TlsError::NoSubjectName { expected }
            } else {
                TlsError::WrongHost { expected, presented }
            }
        }
        E::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            TlsError::Expired(error.into())
        }
        E::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            TlsError::NotValidYet(error.into())
        }
        E::InvalidCertificate(Bad::UnknownIssuer) => TlsError::UnknownAuthority(error.into()),
        E::InvalidCertificate(_) | E::NoCertificatesPresented => {
            TlsError::Certificate(error.into())
        }
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            TlsError::ClientCertificateDemanded(error.into())
        }
        E::AlertReceived(_) => TlsError::Refused(error.into()),
        E::InvalidMessage(_) => TlsError::NotTls(error.into()),
        _ => TlsError::Protocol(error.into()),
    }
}

/// Makes connections encrypted, as configured.
#[derive(Clone)]
pub(crate) struct Connector {
    connector: TlsConnector,
    server_name: ServerNameSetting,
    verify: Verify,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Connector {
    /// Reads the certificates that the configuration names.
    pub(crate) async fn new(tls: &Tls) -> Result<Self, TlsError> {
        if tls.verify == Verify::NothingAsked {
            return Err(TlsError::VerificationOff);
        }
        let tls = tls.clone();
        // Reading files blocks, and the system's roots are many.
        let reading = tokio::task::spawn_blocking(move || Connector::read(tls));
        reading.await.unwrap_or_else(|error| Err(TlsError::Io(error.into())))
    }

    fn read(tls: Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(explain)?;
        let builder = match tls.verify {
            Verify::Peer => builder.with_root_certificates(roots(&tls)?),
            Verify::Nothing | Verify::NothingAsked => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))),
        };
        let mut config = match &tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = read_identity(identity)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsError::Identity(error.into()))?
            }
        };
        config.enable_sni = tls.server_name != ServerNameSetting::Unsent;
        Ok(Connector {
            connector: TlsConnector::from(Arc::new(config)),
            server_name: tls.server_name,
            verify: tls.verify,
        })
    }

    /// Encrypts a connection to a host. The name comes from the configuration alone, never from
    /// what the peer says.
    pub(crate) async fn connect(&self, tcp: TcpStream, host: &str) -> Result<TlsStream, TlsError> {
        let name = match &self.server_name {
            ServerNameSetting::Named(name) => name,
            ServerNameSetting::Host | ServerNameSetting::Unsent => host,
        };
        if self.verify != Verify::Peer {
            tracing::warn!(
                name,
                "the broker's certificate is not verified: whoever is in between can read all"
            );
        }
        let connecting = self.connector.connect(expected_name(name)?, tcp);
        connecting.await.map_err(|error| TlsError::from_io(error).unwrap_or_else(TlsError::Io))
    }
}

/// The name as certificates have it: an IPv6 address without its zone, which is local.
fn expected_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    let unzoned = name.split_once('%').map_or(name, |(ip, _)| ip);
    if let Ok(ip) = unzoned.parse::<IpAddr>() {
        return Ok(ServerName::IpAddress(ip.into()));
    }
    ServerName::try_from(name.to_owned())
        .map_err(|_| TlsError::ServerName { name: name.to_owned() })
}

fn roots(tls: &Tls) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in &tls.authorities {
        let unusable = || unusable(pem, "certificate");
        let certificates = read_certificates(pem)?;
        for certificate in certificates {
            roots.add(certificate).map_err(|_| unusable())?;
        }
    }
    if tls.authorities.is_empty() || tls.and_system_roots {
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            let source = system.errors.into_iter().next().map(Into::into);
            return Err(TlsError::NoSystemRoots { source });
        }
    }
    Ok(roots)
}

fn read_identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = read_certificates(&identity.chain)?;
    let text = read(&identity.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        if is_encrypted_key(&text) {
            TlsError::EncryptedKey { origin: identity.key.origin() }
        } else {
            unusable(&identity.key, "private key")
        }
    })?;
    // The old format marks encryption in its headers, which the parser skips.
    if is_encrypted_key(&text) {
        return Err(TlsError::EncryptedKey { origin: identity.key.origin() });
    }
    Ok((chain, key))
}

fn is_encrypted_key(pem: &[u8]) -> bool {
    let holds = |mark: &[u8]| pem.windows(mark.len()).any(|window| window == mark);
    holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED")
}

fn read_certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(pem)?;
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        // The error's text may quote a line of the file, and the key may be in the same one.
        _ => Err(unusable(pem, "certificate")),
    }
}

fn unusable(pem: &Pem, wanted: &'static str) -> TlsError {
    TlsError::Pem { origin: pem.origin(), wanted }
}

fn read(pem: &Pem) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match pem {
        Pem::File(path) => std::fs::read(path)
            .map(Zeroizing::new)
            .map_err(|source| TlsError::File { path: path.clone(), source }),
        Pem::Text(text) => Ok(Zeroizing::new(text.reveal().as_bytes().to_vec())),
    }
}

/// Takes any certificate; that the peer holds its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
