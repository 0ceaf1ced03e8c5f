use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;

use super::*;
use crate::config::{Address, Config};
use crate::driver::dial::tests::log_of;
use crate::driver::dial::{AttemptError, DialError, DialStep, Dialer, Stream};

/// An authority, and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
struct Signed {
    certificate: String,
    key: String,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

impl Authority {
    fn sign(&self, names: &[&str]) -> Signed {
        self.sign_with(names, |_| ())
    }

    fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        // As a careless authority would: a common name counts for nothing.
        params.distinguished_name.push(DnType::CommonName, "localhost");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

fn accept(server: &Signed, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let pem = authority.pem.as_bytes();
            roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(server.key.as_bytes()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}

/// Serves one connection: sends back five bytes, and gives the server name that it was asked for.
async fn serve(config: ServerConfig) -> (u16, JoinHandle<io::Result<Option<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut stream = acceptor.accept(listener.accept().await?.0).await?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await?;
        stream.write_all(&bytes).await?;
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        stream.shutdown().await?;
        Ok(name)
    });
    (port, serving)
}

/// Connects to a host at that port.
async fn reach(tls: Tls, host: &str, port: u16) -> Result<Stream, DialError> {
    let config = Config::new().host(Address::tls(host).port(port)).tls(tls);
    let deadline = tokio::time::Instant::now() + config.connection_timeout;
    Dialer::new(Arc::new(config), 0, deadline).next().await.map(|dialed| dialed.stream)
}

/// Connects to a server as `localhost`.
async fn reach_server(server: &Signed, tls: Tls) -> Result<Stream, DialError> {
    let (port, _serving) = serve(accept(server, None)).await;
    reach(tls, "localhost", port).await
}

/// How TLS failed. (`localhost` may be ::1 as well, where nobody listens.)
fn cause(result: &Result<Stream, DialError>) -> &TlsError {
    let attempts = result.as_ref().expect_err("it must fail").attempts();
    let causes = attempts.iter().map(|attempt| &attempt.cause);
    let mut of_tls = causes.filter_map(|cause| match cause {
        AttemptError::Tls(error) => Some(error),
        _ => None,
    });
    of_tls.next().unwrap_or_else(|| panic!("no attempt failed at TLS: {attempts:?}"))
}

async fn echo(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await?;
    assert_eq!(&bytes, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_the_host_from_a_trusted_authority_is_taken() {
    let authority = authority("ours");
    let (port, serving) = serve(accept(&authority.sign(&["localhost"]), None)).await;
    let mut stream = reach(Tls::new().ca_pem(&authority.pem), "localhost", port).await.unwrap();
    assert!(stream.tcp().nodelay().unwrap());
    echo(&mut stream).await.unwrap();
    assert_eq!(serving.await.unwrap().unwrap().as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_certificate_for_an_ip_address_is_taken() {
    let authority = authority("ours");
    let (port, _serving) = serve(accept(&authority.sign(&["127.0.0.1"]), None)).await;
    let mut stream = reach(Tls::new().ca_pem(&authority.pem), "127.0.0.1", port).await.unwrap();
    echo(&mut stream).await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_refused_as_that() {
    let authority = authority("ours");
    let expired =
        authority.sign_with(&["localhost"], |params| params.not_after = date_time_ymd(2001, 1, 1));
    let result = reach_server(&expired, Tls::new().ca_pem(&authority.pem)).await;
    assert!(matches!(cause(&result), TlsError::Expired(_)), "{result:?}");
    assert!(result.unwrap_err().to_string().contains("has expired"));
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_refused_as_that() {
    let authority = authority("ours");
    let early =
        authority.sign_with(&["localhost"], |params| params.not_before = date_time_ymd(4000, 1, 1));
    let result = reach_server(&early, Tls::new().ca_pem(&authority.pem)).await;
    assert!(matches!(cause(&result), TlsError::NotValidYet(_)), "{result:?}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused_with_both_names() {
    let authority = authority("ours");
    let other = authority.sign(&["other.example"]);
    let result = reach_server(&other, Tls::new().ca_pem(&authority.pem)).await;
    let TlsError::WrongHost { expected, presented } = cause(&result) else { panic!("{result:?}") };
    assert_eq!(expected, "localhost");
    assert!(presented.iter().any(|name| name.contains("other.example")), "{presented:?}");
}

#[tokio::test]
async fn a_certificate_without_a_subject_name_is_refused_as_that() {
    let authority = authority("ours");
    let result = reach_server(&authority.sign(&[]), Tls::new().ca_pem(&authority.pem)).await;
    let TlsError::NoSubjectName { expected } = cause(&result) else { panic!("{result:?}") };
    assert_eq!(expected, "localhost");
}

#[tokio::test]
async fn a_certificate_from_another_authority_is_refused_as_that() {
    let (ours, other) = (authority("ours"), authority("other"));
    let server = other.sign(&["localhost"]);
    let result = reach_server(&server, Tls::new().ca_pem(&ours.pem)).await;
    assert!(matches!(cause(&result), TlsError::UnknownAuthority(_)), "{result:?}");
    assert!(!result.unwrap_err().is_permanent());
    // Several authorities can be trusted.
    let both = Tls::new().ca_pem(&ours.pem).ca_pem(&other.pem);
    reach_server(&server, both).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let (authority, clients) = (authority("ours"), authority("clients"));
    let server = authority.sign(&["localhost"]);
    let client = clients.sign(&[]);
    let (port, serving) = serve(accept(&server, Some(&clients))).await;
    let tls = Tls::new().ca_pem(&authority.pem).identity_pem(client.certificate, client.key);
    let mut stream = reach(tls, "localhost", port).await.unwrap();
    echo(&mut stream).await.unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_client_certificate_is_told_from_a_bad_one() {
    let (authority, clients) = (authority("ours"), authority("clients"));
    let server = authority.sign(&["localhost"]);
    let trusting = || Tls::new().ca_pem(&authority.pem);
    let refusal = async |tls| {
        let (port, _serving) = serve(accept(&server, Some(&clients))).await;
        // TLS 1.3 tells a client only after its own handshake is done. Nothing is written here:
        // what a server has not read when it closes resets the connection, and the reason is lost.
        let mut stream = reach(tls, "localhost", port).await.unwrap();
        TlsError::from_io(stream.read_u8().await.unwrap_err()).unwrap()
    };
    let error = refusal(trusting()).await;
    assert!(matches!(error, TlsError::ClientCertificateDemanded(_)), "{error:?}");
    let bad = authority.sign(&[]);
    let error = refusal(trusting().identity_pem(bad.certificate, bad.key)).await;
    assert!(matches!(error, TlsError::Refused(_)), "{error:?}");
}

#[tokio::test]
async fn another_server_name_is_asked_for_and_expected() {
    let authority = authority("ours");
    let server = authority.sign(&["broker.example"]);
    let (port, serving) = serve(accept(&server, None)).await;
    let tls = Tls::new().ca_pem(&authority.pem).server_name("broker.example");
    let mut stream = reach(tls.clone(), "127.0.0.1", port).await.unwrap();
    echo(&mut stream).await.unwrap();
    assert_eq!(serving.await.unwrap().unwrap().as_deref(), Some("broker.example"));

    let result = reach_server(&authority.sign(&["localhost"]), tls).await;
    assert!(matches!(cause(&result), TlsError::WrongHost { .. }), "{result:?}");
}

#[tokio::test]
async fn without_a_server_name_the_hosts_is_still_expected() {
    let authority = authority("ours");
    let tls = Tls::new().ca_pem(&authority.pem).without_server_name();
    let (port, serving) = serve(accept(&authority.sign(&["localhost"]), None)).await;
    let mut stream = reach(tls.clone(), "localhost", port).await.unwrap();
    echo(&mut stream).await.unwrap();
    assert_eq!(serving.await.unwrap().unwrap(), None);

    let result = reach_server(&authority.sign(&["other.example"]), tls).await;
    assert!(matches!(cause(&result), TlsError::WrongHost { .. }), "{result:?}");
}

#[tokio::test]
async fn verification_is_off_only_when_the_program_says_so() {
    let server = authority("unknown").sign(&["other.example"]);
    let address = "amqps://localhost?verify=verify_none";
    let asked = address.parse::<Config>().unwrap().tls;
    let result = reach_server(&server, asked.clone()).await;
    assert!(matches!(cause(&result), TlsError::VerificationOff), "{result:?}");
    assert!(result.unwrap_err().is_permanent());

    let mut stream = reach_server(&server, asked.danger_accept_any_certificate()).await.unwrap();
    echo(&mut stream).await.unwrap();
}

#[test]
fn turning_verification_off_is_warned_about() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log = log_of(|| {
        runtime.block_on(async {
            let server = authority("unknown").sign(&["localhost"]);
            reach_server(&server, Tls::new().danger_accept_any_certificate()).await.unwrap();
        });
    });
    assert!(log.contains("WARN") && log.contains("not verified"), "{log}");
}

#[tokio::test]
async fn a_port_without_tls_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 64];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        // The rest of the hello is read, so that closing does not reset the connection.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    });
    let result = reach(Tls::new().danger_accept_any_certificate(), "127.0.0.1", port).await;
    assert!(matches!(cause(&result), TlsError::NotTls(_)), "{result:?}");
    serving.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_is_silent_costs_no_more_than_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Config::new()
        .host(Address::tls("127.0.0.1").port(port))
        .tls(Tls::new().danger_accept_any_certificate());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(300);
    let error = Dialer::new(Arc::new(config), 0, deadline).next().await.unwrap_err();
    let cause = &error.attempts()[0].cause;
    assert!(matches!(cause, AttemptError::TimedOut { step: DialStep::Tls, .. }), "{error}");
    assert!(deadline.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test]
async fn files_are_read_at_each_attempt_and_named_when_they_are_bad() {
    let folder = std::env::temp_dir().join(format!("hopmq-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (ca, both) = (folder.join("ca.pem"), folder.join("client.pem"));
    let (ca_named, both_named) = (ca.display().to_string(), both.display().to_string());
    let address = format!(
        "amqps://localhost?cacertfile={ca_named}&certfile={both_named}&keyfile={both_named}"
    );
    let tls = || address.parse::<Config>().unwrap().tls;
    let authority = authority("ours");
    let server = authority.sign(&["localhost"]);

    let result = reach_server(&server, tls()).await;
    assert!(matches!(cause(&result), TlsError::File { path, .. } if *path == ca), "{result:?}");
    std::fs::write(&ca, "no certificate").unwrap();
    let result = reach_server(&server, tls()).await;
    let TlsError::Pem { origin, wanted } = cause(&result) else { panic!("{result:?}") };
    assert_eq!((origin, *wanted), (&ca_named, "certificate"));

    std::fs::write(&ca, &authority.pem).unwrap();
    let Signed { certificate, key } = authority.sign(&[]);
    std::fs::write(&both, &certificate).unwrap();
    let result = reach_server(&server, tls()).await;
    let TlsError::Pem { origin, wanted } = cause(&result) else { panic!("{result:?}") };
    assert_eq!((origin, *wanted), (&both_named, "private key"));

    let encrypted = key.replace(" PRIVATE", " ENCRYPTED PRIVATE");
    std::fs::write(&both, format!("{certificate}{encrypted}")).unwrap();
    let result = reach_server(&server, tls()).await;
    assert!(
        matches!(cause(&result), TlsError::EncryptedKey { origin } if *origin == both_named),
        "{result:?}"
    );

    let other = authority.sign(&[]).key;
    std::fs::write(&both, format!("{certificate}{other}")).unwrap();
    let result = reach_server(&server, tls()).await;
    assert!(matches!(cause(&result), TlsError::Identity(_)), "{result:?}");

    std::fs::write(&both, format!("{certificate}{key}")).unwrap();
    reach_server(&server, tls()).await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_broken_key_is_not_quoted() {
    let authority = authority("ours");
    let Signed { certificate, key } = authority.sign(&[]);
    for broken in [
        key.replace("-----END", "-----hunter2"),
        key.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN hunter2"),
        key.replace("\n-----END", "!!hunter2!!\n-----END"),
        "hunter2".to_owned(),
    ] {
        let tls = Tls::new().ca_pem(&authority.pem).identity_pem(&certificate, broken);
        let result = reach_server(&authority.sign(&["localhost"]), tls).await;
        assert!(matches!(cause(&result), TlsError::Pem { .. }), "{result:?}");
        let error = result.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn the_system_has_roots_or_the_error_says_that_it_has_none() {
    match roots(&Tls::new()) {
        Ok(roots) => assert!(!roots.is_empty()),
        Err(error) => assert!(matches!(error, TlsError::NoSystemRoots { .. }), "{error:?}"),
    }
}

#[test]
fn a_zone_is_no_part_of_the_name_in_a_certificate() {
    assert_eq!(expected_name("fe80::1%eth0").unwrap(), expected_name("fe80::1").unwrap());
    assert!(matches!(expected_name("a..b"), Err(TlsError::ServerName { .. })));
}
