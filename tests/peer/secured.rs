//! Queues through brokers that speak TLS alone.

use hopmq::{
    Config, Tls,
    broker::{Broker, ServerTls},
    peer::{Peer, Refused},
};

use crate::{Outcome, receive_in_order, send_all, soon, unique};

async fn peers_meet_and_talk_through_tls(config: Config) -> Outcome {
    let shop = Peer::new(unique("shop"));
    shop.listen_at(config.clone()).await?;
    let till = Peer::new(unique("till"));
    let ours = till.connect(shop.name()).at(config.clone()).await?;
    let theirs = shop.accept().await;
    tokio::try_join!(
        send_all(&ours, 0, 500),
        send_all(&theirs, 0, 500),
        receive_in_order(&ours, 0, 500),
        receive_in_order(&theirs, 0, 500),
    )?;
    ours.close().await;
    theirs.ended().await;

    // Who does not know the authority does not talk to it.
    let stranger = till.connect(shop.name()).at(config.tls(Tls::default())).await;
    assert!(matches!(stranger, Err(Refused::Unreachable(_))), "{stranger:?}");
    Ok(())
}

#[tokio::test]
async fn an_embedded_broker_that_speaks_tls_only() -> Outcome {
    soon(async {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes())?;
        let broker = Broker::builder().build().listen_tls("127.0.0.1:0", tls).await?;
        let uri = broker.uri().replace("127.0.0.1", "localhost");
        let config: Config = uri.parse()?;
        peers_meet_and_talk_through_tls(config.tls(Tls::default().ca_pem(certificate))).await
    })
    .await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn a_rabbitmq_that_speaks_tls() -> Outcome {
    soon(async {
        // A broker that was given from outside may have none.
        let Ok(ca) = std::env::var("HOPMQ_TEST_CA") else { return Ok(()) };
        let config = Config::from_env("HOPMQ_TEST_AMQPS_URL")?;
        peers_meet_and_talk_through_tls(config.tls(Tls::default().ca_file(ca))).await
    })
    .await
}
