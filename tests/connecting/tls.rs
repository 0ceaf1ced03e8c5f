//! TLS with RabbitMQ: the server's certificate and the client's, good ones and each kind of bad one.

use std::path::PathBuf;

use hopmq::{Address, Config, Conn, Error, Tls, TlsError};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use crate::{Outcome, works};

/// A certificate and its key, both PEM.
struct Signed {
    certificate: String,
    key: String,
}

/// An authority of our own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Signed { certificate, key: key.serialize_pem() }
    }

    /// For a client.
    fn sign_client(&self) -> Signed {
        self.sign(&["client"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }
}

/// The node that all tests share, over TLS.
fn shared() -> Config {
    Config::from_env("HOPMQ_TEST_AMQPS_URL").expect("tests/run sets it")
}

fn file(variable: &str) -> PathBuf {
    std::env::var_os(variable).expect("tests/run sets it").into()
}

fn trusting() -> Tls {
    Tls::new().ca_file(file("HOPMQ_TEST_CA"))
}

/// Why connecting failed.
async fn refused(config: Config) -> Error {
    let failed = Conn::new(config.without_recovery()).connect().await.expect_err("it is refused");
    let (error, _) = failed.into_parts();
    assert!(!error.is_transient(), "{error:?}");
    error
}

fn told(error: &Error) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_node_of_an_authority_that_is_trusted_is_taken() -> Outcome {
    works(&Conn::new(shared().tls(trusting())).connect().await?).await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn an_address_alone_says_all_that_mutual_tls_needs() -> Outcome {
    let address = format!(
        "{}?cacertfile={}&certfile={}&keyfile={}&verify=verify_peer",
        std::env::var("HOPMQ_TEST_AMQPS_URL")?,
        file("HOPMQ_TEST_CA").display(),
        file("HOPMQ_TEST_CLIENT_CERT").display(),
        file("HOPMQ_TEST_CLIENT_KEY").display(),
    );
    works(&Conn::new(address.parse::<hopmq::Uri>()?).connect().await?).await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_node_of_an_authority_that_is_not_trusted_is_refused() {
    let another = Authority::new("another").pem;
    let error = refused(shared().tls(Tls::new().ca_pem(another))).await;
    assert!(matches!(error.tls(), Some(TlsError::UnknownAuthority(_))), "{error:?}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn another_name_can_be_expected() -> Outcome {
    let by_ip = shared().hosts([Address::tls("127.0.0.1").port(shared().hosts[0].port)]);
    works(&Conn::new(by_ip.clone().tls(trusting().server_name("localhost"))).connect().await?)
        .await?;
    let error = refused(by_ip.tls(trusting().server_name("rabbit.example"))).await;
    let Some(TlsError::WrongHost { expected, presented }) = error.tls() else {
        panic!("{error:?}")
    };
    assert_eq!(expected, "rabbit.example");
    assert!(presented.iter().any(|name| name.contains("localhost")), "{presented:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn tls_to_the_plain_port_and_the_other_way_round_are_told_apart() {
    let plain = Config::from_env("HOPMQ_TEST_AMQP_URL").expect("tests/run sets it");
    let port = |config: &Config| config.hosts[0].port;
    let tls_at_plain = plain.clone().host(Address::tls("127.0.0.1").port(port(&plain)));
    let error = refused(tls_at_plain.tls(trusting())).await;
    assert!(matches!(error.tls(), Some(TlsError::NotTls(_))), "{error:?}");
    let plain_at_tls = plain.host(Address::plain("127.0.0.1").port(port(&shared())));
    let error = refused(plain_at_tls).await;
    assert!(matches!(error, Error::Peer(_)), "{error:?}");
    assert!(told(&error).contains("TLS"), "{}", told(&error));
}

/// What TLS 1.3 tells only when the handshake is over for us.
#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_client_certificate_of_another_authority_is_refused_by_the_node() {
    let client = Authority::new("another").sign_client();
    let tls = trusting().identity_pem(client.certificate, client.key.as_str());
    let error = refused(shared().tls(tls)).await;
    assert!(matches!(error.tls(), Some(TlsError::Refused(_))), "{error:?}");
    assert!(told(&error).contains("the broker refused"), "{}", told(&error));
}

mod own_nodes {
    use std::fs;

    use super::*;
    use crate::{blocking, node::Node};

    /// A node that demands a client's certificate, and is given one server's certificate after the other.
    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn each_bad_certificate_is_refused_with_what_is_wrong_with_it() -> Outcome {
        let demand = "ssl_options.fail_if_no_peer_cert = true\n";
        let node = blocking(|| Node::start_with(demand, "[].", &[])).await;
        let folder = node.ca().parent().expect("its folder").to_owned();
        let ours = Authority::new("ours");
        let config: Config = node.tls_uri().parse()?;
        let trusting = Tls::new().ca_pem(&ours.pem);
        let identity =
            |tls: Tls| tls.identity_files(folder.join("client.pem"), folder.join("client.key"));

        let node = present(node, ours.sign(&["localhost"], |_| ())).await?;
        let good = config.clone().tls(identity(trusting.clone()));
        works(&Conn::new(good.clone()).connect().await?).await?;

        // Without the client's certificate, and with one of somebody else.
        let error = refused(config.clone().tls(trusting.clone())).await;
        let demanded = matches!(
            error.tls(),
            Some(TlsError::ClientCertificateDemanded(_) | TlsError::Refused(_))
        );
        assert!(demanded, "{error:?}");
        let stranger = Authority::new("another").sign_client();
        let stranger = trusting.clone().identity_pem(stranger.certificate, stranger.key.as_str());
        let error = refused(config.clone().tls(stranger)).await;
        assert!(matches!(error.tls(), Some(TlsError::Refused(_))), "{error:?}");

        let expired = ours.sign(&["localhost"], |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        });
        let node = present(node, expired).await?;
        let error = refused(good.clone()).await;
        assert!(matches!(error.tls(), Some(TlsError::Expired(_))), "{error:?}");
        assert!(told(&error).contains("has expired"), "{}", told(&error));

        let node = present(node, ours.sign(&["rabbit.example"], |_| ())).await?;
        let error = refused(good.clone()).await;
        assert!(matches!(error.tls(), Some(TlsError::WrongHost { .. })), "{error:?}");
        assert!(told(&error).contains("not for localhost but for"), "{}", told(&error));

        let node = present(node, Authority::new("another").sign(&["localhost"], |_| ())).await?;
        let error = refused(good.clone()).await;
        assert!(matches!(error.tls(), Some(TlsError::UnknownAuthority(_))), "{error:?}");

        // It has a common name, which does not count.
        let node = present(node, ours.sign(&[], |_| ())).await?;
        let error = refused(good.clone()).await;
        assert!(matches!(error.tls(), Some(TlsError::NoSubjectName { .. })), "{error:?}");
        assert!(told(&error).contains("no subject alternative name"), "{}", told(&error));

        let node = present(node, ours.sign(&["localhost"], |_| ())).await?;
        works(&Conn::new(good).connect().await?).await?;
        blocking(move || drop(node)).await;
        Ok(())
    }

    /// From now on the node shows this certificate.
    async fn present(node: Node, signed: Signed) -> Outcome<Node> {
        let folder = node.ca().parent().expect("its folder").to_owned();
        fs::write(folder.join("server.pem"), signed.certificate)?;
        fs::write(folder.join("server.key"), signed.key)?;
        blocking(move || {
            node.ctl(&["eval", "ssl:clear_pem_cache()."]);
            Ok(node)
        })
        .await
    }
}
