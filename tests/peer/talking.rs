//! Messages, both ways.

use hopmq::{
    Message,
    broker::Event,
    peer::{NotSent, PeerEvent, Settings},
};

use crate::{Outcome, Pair, Place, at_both_brokers, number, read, receive_in_order, send_all};

async fn both_sides_send_and_receive_at_once_in_order(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    tokio::try_join!(
        send_all(&ours, 0, 3_000),
        send_all(&theirs, 0, 3_000),
        receive_in_order(&ours, 0, 3_000),
        receive_in_order(&theirs, 0, 3_000),
    )?;
    assert_eq!((ours.unconfirmed(), theirs.unconfirmed()), (0, 0));
    Ok(())
}

async fn a_message_arrives_as_it_was_sent(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let sent = Message::text("hello").content_type("text/plain").header("colour", "red");
    let outcome = ours.send(sent.clone()).await?;
    let received = theirs.receive().await.expect("a message");
    outcome.await?;
    assert_eq!(received.body(), sent.body());
    assert_eq!(received.properties(), sent.properties());
    Ok(())
}

async fn a_large_message_arrives_whole(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let body: Vec<u8> = (0..3_000_000u32).map(|at| at as u8).collect();
    let outcome = ours.send(body.clone()).await?;
    let received = theirs.receive().await.expect("a message");
    assert_eq!(received.into_body().into_bytes(), body);
    outcome.await?;
    Ok(())
}

async fn sending_waits_while_the_other_side_takes_nothing(place: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.window_messages = 10;
    settings.send_timeout = std::time::Duration::from_millis(300);
    let Pair { ours, theirs, .. } = place.pair(settings).await?;
    let mut outcomes = Vec::new();
    for next in 0..10 {
        outcomes.push(ours.send(number(next)).await?);
    }
    let refused = ours.send(number(10)).await.expect_err("there is room for ten");
    assert!(matches!(refused.reason(), NotSent::Full { .. }), "{refused}");
    let (_, message) = refused.into_parts();
    assert_eq!(read(&message), 10, "it comes back");

    receive_in_order(&theirs, 0, 10).await?;
    for outcome in outcomes {
        outcome.await?;
    }
    let outcome = ours.send(message).await?;
    receive_in_order(&theirs, 10, 1).await?;
    outcome.await?;
    Ok(())
}

async fn what_is_larger_than_the_window_is_refused(place: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.window_bytes = 1_000;
    let Pair { ours, .. } = place.pair(settings).await?;
    let refused = ours.send(vec![0; 1_000]).await.expect_err("it never fits");
    assert!(matches!(refused.reason(), NotSent::TooLarge { most: 1_000, .. }), "{refused}");
    drop(ours.send(vec![0; 900]).await?);
    Ok(())
}

async fn both_sides_are_told_what_happens(place: Place) -> Outcome {
    let shop = place.listening("shop", Settings::default()).await?;
    let till = hopmq::peer::Peer::new(crate::unique("till"));
    let (mut at_shop, mut at_till) = (shop.events(), till.events());
    let ours = till.connect(shop.name()).at(place.config.clone()).await?;
    let theirs = shop.accept().await;
    let sent = ours.send(number(1)).await?;
    let _ = theirs.receive().await.expect("a message");
    sent.await?;
    let id = ours.id();
    ours.close().await;
    theirs.ended().await;

    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(PeerEvent::Disconnected { .. })) {
        seen.push(at_till.next().await.expect("an event"));
    }
    assert!(
        matches!(&seen[..], [
            PeerEvent::Connected { queue, to },
            PeerEvent::Sent { number: 1, .. },
            PeerEvent::Disconnected { end: hopmq::peer::End::Closed, .. },
        ] if *queue == id && to == shop.name()),
        "{seen:?}"
    );
    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(PeerEvent::Disconnected { .. })) {
        seen.push(at_shop.next().await.expect("an event"));
    }
    assert!(
        matches!(&seen[..], [
            PeerEvent::Accepted { queue, from },
            PeerEvent::Arrived { number: 1, .. },
            PeerEvent::Disconnected { end: hopmq::peer::End::ClosedByPeer, .. },
        ] if *queue == id && from == till.name()),
        "{seen:?}"
    );
    Ok(())
}

at_both_brokers!(
    both_sides_send_and_receive_at_once_in_order,
    a_message_arrives_as_it_was_sent,
    a_large_message_arrives_whole,
    sending_waits_while_the_other_side_takes_nothing,
    what_is_larger_than_the_window_is_refused,
    both_sides_are_told_what_happens,
);

#[tokio::test]
async fn the_brokers_own_listeners_are_told_as_well() -> Outcome {
    let place = Place::embedded().await?;
    let broker = place.broker.as_ref().expect("embedded");
    let shop = place.listening("shop", Settings::default()).await?;
    let other = hopmq::peer::Peer::new(crate::unique("other"));
    other.listen_in_process()?;
    let mut events = broker.events();
    let queue = shop.connect(other.name()).in_process().await?;
    queue.close().await;
    let refused = shop.connect("nobody").in_process().await;
    assert!(refused.is_err());

    let mut seen = Vec::new();
    while seen.len() < 3 {
        match events.next().await.expect("an event") {
            Event::Connected { remote } => seen.push(format!("connected to {remote}")),
            Event::DisconnectedFrom { remote, .. } => seen.push(format!("left {remote}")),
            Event::NotConnected { remote, .. } => seen.push(format!("not connected to {remote}")),
            _ => {}
        }
    }
    let name = other.name();
    let expected = [format!("connected to {name}"), format!("left {name}")];
    assert_eq!(seen[..2], expected);
    assert_eq!(seen[2], "not connected to nobody");
    Ok(())
}
