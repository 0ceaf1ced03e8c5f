//! From an address to a connection and back.

use hopmq::{
    Address, Blame, Chan, Conn, Connected, Credentials, Error, Open, Queue, broker::Broker,
    wire::ReplyCode,
};

use crate::place::{Outcome, Place, on_embedded, text};

on_both_brokers!(
    a_connection_opens_closes_and_is_dialled_again,
    a_connection_says_what_the_broker_is,
    a_closed_connection_says_so_on_every_call,
    channels_keep_the_connection_alive,
    wrong_credentials_are_refused,
    a_missing_virtual_host_is_refused,
    connections_are_separate,
);

async fn a_connection_opens_closes_and_is_dialled_again(at: Place) -> Outcome {
    let mut conn = Conn::new(at.config());
    for _ in 0..3 {
        let connected = conn.connect().await?;
        assert!(connected.close_reason().is_none());
        let connected = connected.into_disconnected().expect_err("it is alive");
        connected.open_channel().await?.close().await?;
        conn = connected.close().await?;
        assert_eq!(*conn.config(), at.config());
    }
    Ok(())
}

async fn a_connection_says_what_the_broker_is(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let properties = conn.server_properties();
    assert!(properties.get("product").and_then(|value| value.as_str()).is_some());
    let capabilities = properties.get("capabilities").and_then(|value| value.as_table());
    let confirms = capabilities.and_then(|table| table.get("publisher_confirms"));
    assert_eq!(confirms.and_then(|value| value.as_bool()), Some(true));
    assert_eq!(conn.block_reason(), None);
    Ok(())
}

async fn a_closed_connection_says_so_on_every_call(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?;
    let ended = conn.closed();
    let watching = tokio::spawn(ended);
    conn.close().await?;
    assert!(matches!(watching.await?, Error::Closed));
    for _ in 0..2 {
        let error = chan.declare(Queue::server_named()).await.unwrap_err();
        assert!(matches!(error, Error::Closed), "{error:?}");
        assert_eq!(error.blame(), Blame::Caller);
    }
    Ok(())
}

async fn channels_keep_the_connection_alive(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?;
    drop(conn);
    let queue = chan.declare(Queue::server_named()).await?;
    assert_eq!(chan.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn wrong_credentials_are_refused(at: Place) -> Outcome {
    let config = at.config().credentials(Credentials::new("guest", "wrong"));
    let failed = Conn::new(config.clone()).connect().await.expect_err("the password is wrong");
    let (error, conn) = failed.into_parts();
    assert_eq!(error.reply_code(), Some(ReplyCode::ACCESS_REFUSED), "{error:?}");
    assert!(error.reply_text().is_some_and(|text| text.contains("Login was refused")), "{error}");
    assert_eq!(error.blame(), Blame::Broker);
    assert!(!error.is_transient());
    assert_eq!(*conn.config(), config);
    Ok(())
}

async fn a_missing_virtual_host_is_refused(at: Place) -> Outcome {
    let config = at.config().vhost("hopmq-nobody-made-this");
    let (error, _) = Conn::new(config).connect().await.expect_err("no such host").into_parts();
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_ALLOWED), "{error:?}");
    assert_eq!(error.method().map(|method| method.to_string()).as_deref(), Some("connection.open"));
    assert!(!error.is_transient());
    Ok(())
}

async fn connections_are_separate(at: Place) -> Outcome {
    let (one, other) = (at.conn().await?, at.conn().await?);
    let chan = other.open_channel().await?;
    one.close().await?;
    chan.declare(Queue::server_named()).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let config = hopmq::Config::new().host(Address::plain("127.0.0.1").port(port));
    let failed = Conn::new(config).connect().await.expect_err("nobody listens");
    assert_eq!(failed.error().blame(), Blame::Network, "{failed:?}");
    assert!(failed.error().is_transient());
}

/// A broker that dies, and comes back at the same place.
#[tokio::test]
async fn a_dead_connection_can_be_dialled_again() {
    on_embedded(|_| async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let address = broker.address();
        let config: hopmq::Config = broker.uri().parse()?;
        let conn = Conn::new(config.without_recovery()).connect().await?;
        let chan = conn.open_channel().await?;
        drop(broker);
        let error = conn.closed().await;
        assert!(!matches!(error, Error::Closed), "{error:?}");
        let reason = conn.close_reason().map(|reason| reason.to_string());
        assert_eq!(reason, Some(error.to_string()));
        all_calls_say_why(&conn, &chan, &error).await;

        let broker = Broker::bind(address).await?;
        let conn = conn.into_disconnected().expect("it is dead").connect().await?;
        deliver_one(&conn.open_channel().await?).await?;
        drop(broker);
        Ok(())
    })
    .await;
}

async fn all_calls_say_why(conn: &Conn<Connected>, chan: &Chan<Open>, why: &Error) {
    let errors = [
        conn.open_channel().await.map(drop).unwrap_err(),
        chan.declare(Queue::server_named()).await.map(drop).unwrap_err(),
        chan.close_reason().expect("its connection is dead"),
    ];
    for error in errors {
        assert_eq!(error.to_string(), why.to_string());
    }
}

async fn deliver_one(chan: &Chan<Open>) -> Outcome {
    let queue = chan.declare(Queue::server_named()).await?;
    let default = crate::place::default_exchange();
    chan.publish_unconfirmed(&default, &queue, b"alive").await?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(text(&delivery), "alive");
    delivery.ack()?;
    Ok(())
}
