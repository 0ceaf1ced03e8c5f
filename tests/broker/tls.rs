//! TLS ports: the client's own TLS against the broker's.

use hopmq::{
    Config, Conn, Mechanism, Queue, Tls, Uri, UriError,
    broker::{Broker, Event, ServerTls},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

impl Authority {
    /// A certificate for this host and its key, with a common name.
    fn sign(&self, name: &str) -> (String, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> ServerTls {
        let (certificate, key) = self.sign("server");
        ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap()
    }
}

fn config(uri: &str, authority: &Authority) -> std::result::Result<Config, UriError> {
    let mut config = Config::from(uri.parse::<Uri>()?);
    config.tls = Tls::default().ca_pem(authority.pem.clone());
    Ok(config)
}

#[tokio::test]
async fn messages_of_every_size_go_through_tls() -> Result {
    let ours = authority();
    let broker = Broker::builder().build().listen_tls("127.0.0.1:0", ours.server()).await?;
    assert!(broker.uri().starts_with("amqps://guest:guest@127.0.0.1:"));
    let conn = Conn::new(config(&broker.uri(), &ours)?).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let default = hopmq::Exchange::default_exchange();
    for size in [0, 1, 16_384, 100_000, 3_000_000] {
        let body = vec![7; size];
        chan.publish(&default, &inbox, body.clone()).await?.await?;
        let got = chan.get(&inbox).await?.expect("a message");
        assert_eq!(got.body().len(), size);
        got.ack()?;
    }
    conn.close().await?;
    Ok(())
}

#[tokio::test]
async fn plain_and_tls_ports_serve_the_same_queues() -> Result {
    let ours = authority();
    let broker = Broker::bind("127.0.0.1:0").await?;
    let secure = broker.also_listen_tls("127.0.0.1:0", ours.server()).await?;
    let plain = Conn::new(broker.uri().parse::<Uri>()?).connect().await?;
    let chan = plain.open_channel().await?;
    chan.declare(Queue::classic("inbox")).await?;
    let uri = format!("amqps://guest:guest@{secure}");
    let conn = Conn::new(config(&uri, &ours)?).connect().await?;
    let chan = conn.open_channel().await?;
    chan.declare(Queue::classic("inbox").passive()).await?;
    // Who does not speak TLS there is hung up on, and nobody notices.
    let uri = format!("amqp://guest:guest@{secure}");
    assert!(Conn::new(uri.parse::<Uri>()?).connect().await.is_err());
    chan.declare(Queue::classic("inbox").passive()).await?;
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_asked_for_and_logs_in() -> Result {
    let ours = authority();
    let tls = ours.server().client_authorities(ours.pem.as_bytes())?;
    let broker = Broker::builder().user("shop", "secret").build();
    let mut events = broker.events();
    let broker = broker.listen_tls("127.0.0.1:0", tls).await?;
    let uri = format!("amqps://{}", broker.address());

    let without = config(&uri, &ours)?;
    assert!(Conn::new(without).connect().await.is_err());

    for (name, comes_in) in [("shop", true), ("nobody", false)] {
        let (certificate, key) = ours.sign(name);
        let mut config = config(&uri, &ours)?;
        config.tls = config.tls.identity_pem(certificate, key);
        config.mechanisms = vec![Mechanism::External];
        assert_eq!(Conn::new(config).connect().await.is_ok(), comes_in, "{name}");
        let login = loop {
            match events.next().await.ok_or("the broker is gone")? {
                Event::Authenticated { user, .. } => break (user, true),
                Event::LoginDenied { user, .. } => break (user, false),
                _ => {}
            }
        };
        assert_eq!(login, (name.to_owned(), comes_in));
    }
    Ok(())
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let ours = authority();
    let (certificate, _) = ours.sign("one");
    let (_, key) = ours.sign("other");
    assert!(ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).is_err());
    assert!(ServerTls::from_pem(b"nothing", key.as_bytes()).is_err());
}
