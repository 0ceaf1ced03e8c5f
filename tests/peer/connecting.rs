//! Connecting, and being refused: a typed error and an event.

use hopmq::{
    Address, Config, Credentials,
    peer::{ListenError, Peer, PeerEvent, Refused, Settings},
};

use crate::{Outcome, Place, at_both_brokers, number, unique};

/// The error, and that the event says the same.
async fn refused(to: &str, at: Config) -> Refused {
    let till = Peer::new(unique("till"));
    let mut events = till.events();
    let refused = till.connect(to).at(at).await.expect_err("it is refused");
    match events.next().await {
        Some(PeerEvent::Refused { to: told, reason }) => {
            assert_eq!(told, to);
            assert_eq!(reason.to_string(), refused.to_string());
        }
        other => panic!("{other:?}"),
    }
    refused
}

async fn nobody_of_that_name_is_there(place: Place) -> Outcome {
    let reason = refused("nobody", place.config.clone()).await;
    assert!(matches!(&reason, Refused::NoSuchPeer { name } if name == "nobody"), "{reason:?}");
    Ok(())
}

async fn who_stopped_listening_is_not_there(place: Place) -> Outcome {
    let shop = place.listening("shop", Settings::default()).await?;
    let name = shop.name().to_owned();
    drop(shop);
    // Its connection takes a moment to be gone from the broker.
    let till = Peer::new(unique("till"));
    loop {
        match till.connect(&name).at(place.config.clone()).await {
            Err(Refused::NoSuchPeer { .. }) => return Ok(()),
            Err(Refused::NoAnswer { .. }) | Ok(_) => {}
            Err(other) => return Err(other.into()),
        }
    }
}

async fn wrong_credentials_are_refused(place: Place) -> Outcome {
    let config = place.config.clone().credentials(Credentials::new("guest", "wrong"));
    let reason = refused("shop", config).await;
    assert!(matches!(reason, Refused::Credentials(_)), "{reason:?}");
    Ok(())
}

async fn a_virtual_host_that_is_not_there_is_refused(place: Place) -> Outcome {
    let reason = refused("shop", place.config.clone().vhost("nowhere")).await;
    assert!(matches!(reason, Refused::Vhost(_)), "{reason:?}");
    Ok(())
}

async fn a_name_is_taken_once(place: Place) -> Outcome {
    let shop = place.listening("shop", Settings::default()).await?;
    let second = Peer::new(shop.name());
    let taken = second.listen_at(place.config.clone()).await.expect_err("it is taken");
    assert!(matches!(taken, ListenError::NameTaken { .. }), "{taken:?}");
    Ok(())
}

async fn beyond_the_backlog_peers_are_refused(place: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.backlog = 1;
    let shop = place.listening("shop", settings).await?;
    let till = Peer::new(unique("till"));
    let first = till.connect(shop.name()).at(place.config.clone()).await?;
    let reason = refused(shop.name(), place.config.clone()).await;
    assert!(matches!(reason, Refused::Busy { .. }), "{reason:?}");
    // The first one waits, ready.
    let sent = first.send(number(1)).await?;
    let _ = shop.accept().await.receive().await.expect("a message");
    sent.await?;
    Ok(())
}

#[tokio::test]
async fn no_broker_is_there() -> Outcome {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = Config::new().host(Address::plain("127.0.0.1").port(free.port()));
    let reason = refused("shop", config).await;
    assert!(matches!(reason, Refused::Unreachable(_)), "{reason:?}");
    Ok(())
}

#[tokio::test]
async fn a_name_has_1_to_64_bytes() -> Outcome {
    let reason = refused("", Config::new()).await;
    assert!(matches!(reason, Refused::Name { length: 0 }), "{reason:?}");
    let listening = Peer::new("x".repeat(65)).listen_in_process();
    assert!(matches!(listening, Err(ListenError::Name { length: 65 })));
    Ok(())
}

at_both_brokers!(
    nobody_of_that_name_is_there,
    who_stopped_listening_is_not_there,
    wrong_credentials_are_refused,
    a_virtual_host_that_is_not_there_is_refused,
    a_name_is_taken_once,
    beyond_the_backlog_peers_are_refused,
);
