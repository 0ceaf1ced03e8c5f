//! TLS for a broker's ports: its certificate, whom it asks for one, and what a client's says.

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    sync::Arc,
};

use tokio::net::TcpStream;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};

/// How a broker's TLS port presents itself, and whom it asks for a certificate.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use hopmq::broker::{Broker, ServerTls};
///
/// let chain = std::fs::read("server.pem")?;
/// let key = std::fs::read("server.key")?;
/// let tls = ServerTls::from_pem(&chain, &key)?;
/// let broker = Broker::builder().build().listen_tls("127.0.0.1:0", tls).await?;
/// println!("{}", broker.uri()); // amqps://guest:guest@127.0.0.1:41234
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ServerTls {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    clients: Option<Arc<RootCertStore>>,
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// The broker's certificate, with those that lead to its authority, and the key of it: both
    /// PEM. Clients need no certificate.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where they cannot be read, or do not go together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> io::Result<Self> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => invalid("no private key in the PEM"),
            other => invalid(other),
        })?;
        let key = Arc::new(key);
        let config = configured(&chain, &key, None)?;
        Ok(ServerTls { chain, key, clients: None, config })
    }

    /// Serves only clients that present a certificate of one of these authorities (PEM). Who has
    /// one may log in with it: the mechanism `EXTERNAL` is the user of the certificate's common
    /// name, as RabbitMQ has it with `ssl_cert_login_from = common_name`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where there is no usable certificate in it.
    pub fn client_authorities(mut self, pem: &[u8]) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(invalid)?;
        }
        let roots = Arc::new(roots);
        self.config = configured(&self.chain, &self.key, Some(Arc::clone(&roots)))?;
        self.clients = Some(roots);
        Ok(self)
    }

    /// The broker's side of a connection that was just accepted.
    pub(super) fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        let tls = ServerConnection::new(Arc::clone(&self.config)).map_err(invalid)?;
        Ok(Stream { stream, tls, left: false })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asks = self.clients.is_some();
        f.debug_struct("ServerTls").field("asks_for_certificates", &asks).finish_non_exhaustive()
    }
}

fn configured(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    clients: Option<Arc<RootCertStore>>,
) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().map_err(invalid)?)
        }
    };
    let config = builder.with_single_cert(chain.to_vec(), key.clone_key()).map_err(invalid)?;
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found.map_err(invalid)? {
        none if none.is_empty() => Err(invalid("no certificate in the PEM")),
        some => Ok(some),
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// An encrypted socket.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) stream: TcpStream,
    tls: ServerConnection,
    /// There is more to read than the last call took.
    left: bool,
}

impl Stream {
    /// Whether decrypted octets wait to be read.
    pub(super) fn has_left(&self) -> bool {
        self.left
    }

    /// Whether encrypted octets wait to be written.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// What has come and is decrypted. Zero is the end.
    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    self.left = matches!(read, Ok(count) if count == into.len());
                    return read;
                }
            }
            self.left = false;
            // At the end of the stream `read` says whether it was orderly.
            self.tls.read_tls(&mut Raw(&self.stream))?;
            let processed = self.tls.process_new_packets();
            // Also what tells the client why, where it was refused.
            self.flush()?;
            processed.map_err(invalid)?;
        }
    }

    /// Encrypts, and writes as much as the socket takes.
    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.tls.writer().write_vectored(slices)?;
        self.flush()?;
        match written {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            some => Ok(some),
        }
    }

    /// Writes what is encrypted already, as much as the socket takes.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Raw(&self.stream)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub(super) fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
        // Where the socket does not take it, the client learns it from its end.
        let _ = self.flush();
    }

    /// The common name of the client's certificate, once it has shown one.
    pub(super) fn client(&self) -> Option<Vec<u8>> {
        let certificate = self.tls.peer_certificates()?.first()?;
        common_name(certificate).map(<[u8]>::to_vec)
    }
}

/// The socket as rustls takes it.
struct Raw<'a>(&'a TcpStream);

impl Read for Raw<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The common name in a certificate's subject (RFC 5280 section 4.1): the verifier has checked
/// the rest of it.
fn common_name(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = field(certificate, SEQUENCE)?;
    let (mut fields, _) = field(certificate, SEQUENCE)?;
    if let Some((_, after)) = field(fields, VERSION) {
        fields = after;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        // Serial number, signature, issuer, validity.
        fields = field(fields, tag)?.1;
    }
    let (mut names, _) = field(fields, SEQUENCE)?;
    while let Some((set, after)) = field(names, SET) {
        names = after;
        let (attribute, _) = field(set, SEQUENCE)?;
        let (kind, value) = field(attribute, OBJECT)?;
        if kind == COMMON_NAME {
            let (tag, _) = value.split_first()?;
            return Some(field(value, *tag)?.0);
        }
    }
    None
}

/// The contents of a DER value with this tag, and what follows it.
fn field(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let octets = usize::from(long & 0x7f);
            let (length, rest) = rest.split_at_checked(octets).filter(|_| octets <= 4)?;
            (length.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
    };
    rest.split_at_checked(length)
}

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_found_and_garbage_has_none() {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "hopmq");
        params.distinguished_name.push(rcgen::DnType::CommonName, "shop");
        let key = rcgen::KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        assert_eq!(common_name(&der), Some(&b"shop"[..]));
        for end in 0..der.len() {
            // Cut anywhere, it has none or, where only the end is missing, still none.
            assert_eq!(common_name(&der[..end]), None);
        }
        for at in 0..der.len() {
            let mut broken = der.clone();
            broken[at] ^= 0xff;
            let _ = common_name(&broken);
        }
    }
}
